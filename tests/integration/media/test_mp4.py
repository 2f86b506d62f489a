from __future__ import annotations

import io
import struct
from pathlib import Path

import av
import pytest

from airflow_provider_pika.emulator.engine.clip import Clip as Drawn
from airflow_provider_pika.emulator.engine.clip import render
from airflow_provider_pika.exceptions import VideoRejected
from airflow_provider_pika.media import mp4, verify
from airflow_provider_pika.media.mp4 import Clip
from tests.support import bombs


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path: Path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    render(Drawn("a fox", 1, 320, 180, 48), path)
    return path.read_bytes()


def encoded(options: dict[str, str], name: str = "clip.mp4") -> bytes:
    file = io.BytesIO()
    file.name = name
    with av.open(file, "w", format=name.rpartition(".")[2], options=options) as container:
        stream = container.add_stream("libx264" if name.endswith("mp4") else "libvpx", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(50):
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def without_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


def probed(content: bytes) -> Clip:
    return verify.probe(io.BytesIO(content), len(content))


@pytest.mark.parametrize("with_pyav", [True, False])
def test_a_clip_is_told_the_same_with_pyav_and_without(
    clip: bytes, with_pyav: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_pyav:
        without_pyav(monkeypatch)
    assert probed(clip) == Clip(320, 180, 2.0, 24.0)


@pytest.mark.parametrize("with_pyav", [True, False])
def test_a_header_at_the_end_is_found(with_pyav: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded({})
    assert content.index(b"mdat") < content.index(b"moov")
    if not with_pyav:
        without_pyav(monkeypatch)
    assert probed(content) == Clip(64, 48, 2.0, 25.0)


@pytest.mark.parametrize("with_pyav", [True, False])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_a_clip_that_is_cut_off_is_refused_though_its_beginning_plays(
    clip: bytes, share: float, with_pyav: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_pyav:
        without_pyav(monkeypatch)
    with pytest.raises(VideoRejected, match=r"cut off|no whole MP4"):
        probed(clip[: int(len(clip) * share)])


@pytest.mark.parametrize("with_pyav", [True, False])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 1000,
        b"<!DOCTYPE html><html></html>",
        b"\x00\x00\x00\x10ftypisom" + b"\x00" * 4,
        b"\x00\x00\x00\x10ftypisom" + b"\x00" * 4 + b"\x00\x00\x00\x08moov\x00\x00\x00\x08mdat",
        b"\x00\x00\x00\x10ftypisom" + b"\x00" * 4 + b"\x00\x00\x00\x04moov",
        b"\x00\x00\x00\x10ftypisom" + b"\x00" * 4 + b"\x00\x00\x00\x01mdat" + struct.pack(">Q", 1 << 60),
    ],
    ids=["nothing", "zeros", "html", "only ftyp", "empty header", "a box below its header", "a box beyond the end"],
)
def test_what_is_no_video_is_refused(content: bytes, with_pyav: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not with_pyav:
        without_pyav(monkeypatch)
    with pytest.raises(VideoRejected):
        probed(content)


def test_a_header_that_claims_absurd_things_is_refused_and_takes_no_time(clip: bytes) -> None:
    many = clip[:32] + struct.pack(">I4s", 8, b"free") * 20_000
    with pytest.raises(VideoRejected, match="too many boxes"):
        mp4.read(io.BytesIO(many), len(many))


def test_a_clip_whose_pictures_are_garbage_is_refused_where_pyav_can_look(clip: bytes) -> None:
    start = clip.index(b"mdat") + 4
    with pytest.raises(VideoRejected):
        probed(clip[:start] + b"\xff" * (len(clip) - start))


def test_a_file_with_sound_alone_is_no_video(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44100, layout="stereo")
        for number in range(10):
            frame = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
            frame.sample_rate, frame.pts = 44100, number * 1024
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(VideoRejected, match="no video stream"):
        probed(file.getvalue())
    without_pyav(monkeypatch)
    with pytest.raises(VideoRejected, match="no video stream"):
        probed(file.getvalue())


def test_another_container_needs_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded({}, "clip.webm")
    shown = probed(content)
    assert (shown.width, shown.height) == (64, 48)
    without_pyav(monkeypatch)
    with pytest.raises(VideoRejected, match="pip install av"):
        probed(content)


def test_a_fragmented_clip_needs_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded({"movflags": "frag_keyframe+empty_moov"})
    assert probed(content).seconds == pytest.approx(2.0, abs=0.1)
    without_pyav(monkeypatch)
    with pytest.raises(VideoRejected, match="pip install av"):
        probed(content)


def test_bytes_that_nobody_reads_may_follow(clip: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    padded = clip + struct.pack(">I4s", 1000, b"free") + bytes(992)
    without_pyav(monkeypatch)
    assert probed(padded) == Clip(320, 180, 2.0, 24.0)


FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
TAILS = {
    "a line's end": b"\n",
    "a word": b"hello",
    "a text": b"<!-- made by a tool that signs what it makes -->",
    "a text of three bytes": b"end",
    "a page": b"<!DOCTYPE html>" + b"<p>" * 10_000,
    "zeros": bytes(100),
    "five zeros": bytes(5),
    "ones": b"\xff" * 50,
    "a size below a header's": b"\0\0\0\4abcdefgh",
    "a box that is cut off and that no player needs": b"\0\0\1\0freexyz",
    "a long box that is cut off in its size": b"\0\0\0\1uuid\0\0",
    "a tag": b"TAG" + b"a title".ljust(125, b"\0"),
}


@pytest.mark.parametrize("with_pyav", [True, False], ids=["with PyAV", "without"])
@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
def test_whatever_stands_behind_the_last_box_costs_no_clip(
    clip: bytes, tail: bytes, with_pyav: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fragmented = encoded(FRAGMENTED)
    assert mp4.read(io.BytesIO(fragmented + tail), len(fragmented + tail)).is_video
    if not with_pyav:
        without_pyav(monkeypatch)
    assert probed(clip + tail) == Clip(320, 180, 2.0, 24.0)


@pytest.mark.parametrize("kind", [b"moov", b"moof", b"mdat", b"styp"])
@pytest.mark.parametrize("there", [8, 9, 100])
def test_a_box_that_a_player_needs_must_be_whole_though_an_earlier_one_is(clip: bytes, kind: bytes, there: int) -> None:
    content = clip + (struct.pack(">I4s", 200, kind) + bytes(92))[:there]
    with pytest.raises(VideoRejected, match="cut off"):
        probed(content)


@pytest.mark.parametrize("there", range(1, 8))
def test_a_fragment_of_which_only_the_first_bytes_came_is_missing(there: int) -> None:
    content = encoded(FRAGMENTED)
    for size in (200, 100_000_000):
        with pytest.raises(VideoRejected, match="no whole MP4"):
            probed(content + struct.pack(">I4s", size, b"moof")[:there])


def with_long_length(content: bytes, kind: bytes, duration: int) -> bytes:
    """Rewrite a box of the length to its second version, which has 64 bits for it."""
    at = content.index(kind) - 4
    size = struct.unpack(">I", content[at : at + 4])[0]
    scale = content[at + 20 : at + 24]
    long = struct.pack(">I4s", size + 12, kind) + b"\1\0\0\0" + bytes(16) + scale + struct.pack(">Q", duration)
    grown = content[:at] + long + content[at + 28 : at + size] + content[at + size :]
    for parent in (b"moov", b"trak", b"mdia")[: 1 if kind == b"mvhd" else 3]:
        place = grown.index(parent) - 4
        old = struct.unpack(">I", grown[place : place + 4])[0]
        grown = grown[:place] + struct.pack(">I", old + 12) + grown[place + 4 :]
    return grown


@pytest.mark.parametrize("with_pyav", [True, False], ids=["with PyAV", "without"])
@pytest.mark.parametrize("kinds", [[b"mdhd"], [b"mvhd"], [b"mdhd", b"mvhd"]], ids=str)
@pytest.mark.parametrize(
    "length",
    [0xFFFF_FFFF, 0x7FFF_FFFF, 0, -1, -2, -3],
    ids=["ones", "signed", "none", "long ones", "long signed", "long ones of 32 bits"],
)
def test_a_length_that_stands_for_none_is_the_sum_of_the_samples(
    length: int, kinds: list[bytes], with_pyav: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bombs.encoded("mp4", "libx264")  # its header is last, so that nothing moves
    for kind in kinds:
        if length < 0:
            content = with_long_length(content, kind, {-1: (1 << 64) - 1, -2: (1 << 63) - 1, -3: 0xFFFF_FFFF}[length])
        else:
            content = bombs.with_numbers(content, kind, 16, ">I", length)
    if not with_pyav:
        without_pyav(monkeypatch)
    assert probed(content) == Clip(64, 48, 1.0, 25.0)


def test_a_text_that_names_another_file_is_no_video_though_ffmpeg_would_play_it(clip: bytes, tmp_path: Path) -> None:
    (tmp_path / "owl.mp4").write_bytes(clip)
    text = tmp_path / "fox.mp4"
    text.write_bytes(b"ffconcat version 1.0\nfile owl.mp4\n")
    with text.open("rb") as file, pytest.raises(VideoRejected):
        verify.probe(file, text.stat().st_size)


def test_a_title_in_no_known_alphabet_costs_no_clip() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        container.metadata["title"] = "a title"
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(25):
            container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode(None))
    content = file.getvalue().replace(b"a title", b"a t\xeftle")
    assert probed(content).seconds == 1.0
