"""Clips: what a player gets to see."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import av
import pytest

from airflow_provider_pika.emulator.engine.clip import FRAMES_PER_SECOND, ROUND, Clip, render

SMALL = Clip("a cat on a wall", 7, 854, 480, 12)


def frames(path: Path) -> list[bytes]:
    """Return each decoded frame as a hash of its planes."""
    with av.open(str(path)) as container:
        return [
            hashlib.sha256(b"".join(bytes(plane) for plane in frame.planes)).digest()
            for frame in container.decode(video=0)
        ]


def drawn(clip: Clip, path: Path) -> list[bytes]:
    render(clip, path)
    return frames(path)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    return drawn(SMALL, tmp_path_factory.mktemp("small") / "clip.mp4")


@pytest.mark.parametrize(
    ("width", "height", "seconds"), [(854, 480, 5), (1280, 720, 1), (720, 900, 1), (1620, 1080, 1)]
)
def test_a_clip_has_the_asked_size_length_and_coding(tmp_path: Path, width: int, height: int, seconds: int) -> None:
    path = tmp_path / "clip.mp4"
    render(Clip("a cat", None, width, height, seconds * FRAMES_PER_SECOND), path)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (width, height)
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.average_rate == FRAMES_PER_SECOND
        assert container.duration == seconds * 1_000_000
        assert sum(1 for _ in container.decode(stream)) == seconds * FRAMES_PER_SECOND


def test_the_index_comes_before_the_frames(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    render(SMALL, path)
    content = path.read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


def test_the_same_prompt_and_seed_make_the_same_frames(small: list[bytes], tmp_path: Path) -> None:
    assert drawn(SMALL, tmp_path / "again.mp4") == small


@pytest.mark.parametrize("change", [{"seed": 8}, {"seed": None}, {"prompt": "a dog on a wall"}])
def test_another_prompt_or_seed_makes_other_frames(
    small: list[bytes], tmp_path: Path, change: dict[str, object]
) -> None:
    other = replace(SMALL, **change)  # type: ignore[arg-type]
    assert not set(small) & set(drawn(other, tmp_path / "other.mp4"))


def test_the_picture_moves(small: list[bytes]) -> None:
    assert len(set(small)) == SMALL.frames


def test_a_clip_longer_than_a_round_goes_on_with_its_frames_and_may_end_anywhere(tmp_path: Path) -> None:
    found = drawn(replace(SMALL, frames=2 * ROUND + 5), tmp_path / "clip.mp4")
    assert found == [found[number % ROUND] for number in range(2 * ROUND + 5)]
    assert len(set(found)) == ROUND


def test_the_prompt_is_on_the_picture(tmp_path: Path) -> None:
    """White letters on a dark band are side by side; the background is never that bright and that dark."""
    path = tmp_path / "clip.mp4"
    render(replace(SMALL, prompt="HHHH " * 40, frames=1), path)
    with av.open(str(path)) as container:
        brightness = next(container.decode(video=0)).planes[0]
    band = bytes(brightness)[300 * brightness.line_size : 440 * brightness.line_size]
    assert sum(value > 215 for value in band) > 0.02 * len(band)
    assert sum(value < 110 for value in band) > 0.5 * len(band)


@pytest.mark.parametrize("prompt", ["", "x" * 5000, "word " * 3000, "\u732b \U0001f408 \x00 \n"])
def test_any_prompt_can_be_drawn(tmp_path: Path, prompt: str) -> None:
    assert len(drawn(Clip(prompt, None, 854, 480, 2), tmp_path / "clip.mp4")) == 2


def test_a_rendering_ends_when_its_progress_says_so(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        render(SMALL, tmp_path / "clip.mp4", stop)
