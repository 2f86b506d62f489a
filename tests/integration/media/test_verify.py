"""The process that decodes: what it says is not believed, and where there is none, no good clip is lost."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_pika.exceptions import DownloadInterrupted, VideoRejected
from airflow_provider_pika.media import decoder, decoding, verify
from airflow_provider_pika.media.mp4 import Clip
from tests.support.bombs import encoded, with_sound
from tests.support.decoding import answer, decoding_with

SHOWN = Clip(64, 48, 1.0, 25.0)


@pytest.fixture(scope="module")
def clip() -> bytes:
    return encoded("mp4", "libx264")


@pytest.fixture(scope="module")
def webm() -> bytes:
    return encoded("webm", "libvpx")


CLIPS = {
    "h264 in mp4": lambda: encoded("mp4", "libx264"),
    "h264 in mov": lambda: encoded("mov", "libx264"),
    "h264 in mpegts": lambda: encoded("mpegts", "libx264"),
    "h264 in mkv": lambda: encoded("matroska", "libx264"),
    "h265 in mp4": lambda: encoded("mp4", "libx265"),
    "av1 in mp4": lambda: encoded("mp4", "libsvtav1", 64, 64),
    "vp9 in mp4": lambda: encoded("mp4", "libvpx-vp9"),
    "vp9 in webm": lambda: encoded("webm", "libvpx-vp9"),
    "mpeg4 in mp4": lambda: encoded("mp4", "mpeg4"),
    "mpeg4 in avi": lambda: encoded("avi", "mpeg4"),
    "mpeg2 in mp4": lambda: encoded("mp4", "mpeg2video"),
    "h264 and aac in mp4": lambda: with_sound("mp4", "libx264", "aac"),
    "h264 and pcm in mov": lambda: with_sound("mov", "libx264", "pcm_s16le"),
    "vp8 and opus in webm": lambda: with_sound("webm", "libvpx", "libopus"),
    "fragments of a frame": lambda: encoded("mp4", "libx264", movflags="frag_every_frame+empty_moov"),
}


@pytest.mark.parametrize("build", CLIPS.values(), ids=CLIPS)
def test_a_clip_of_any_kind_that_models_and_editors_make_is_told(build: Callable[[], bytes]) -> None:
    content = build()
    found = verify.probe(io.BytesIO(content), len(content))
    assert (found.width, found.height in (48, 64)) == (64, True)
    assert found.seconds == pytest.approx(1.0, abs=0.1)
    assert found.frame_rate == pytest.approx(25, abs=2)


BROKEN = {
    "crash": "print('ready', flush=True); os.abort()",
    "killed": "print('ready', flush=True); os.kill(os.getpid(), 9)",
    "out of memory": "print('ready', flush=True); bytearray(1 << 30)",
    "no end": "print('ready', flush=True)\nwhile True: pass",
    "silence": "print('ready', flush=True); time.sleep(60)",
    "nothing": "print('ready')",
    "half an answer": "print('ready'); print('{\"width\": 64', end='')",
    "garbage": "print('ready', flush=True); sys.stdout.buffer.write(b'\\xff\\xfe\\x00\\n')",
    "no object": "print('ready'); print('[1]')",
    "no end of words": "print('ready')\nwhile True: print('x' * 100000, end='')",
    "deep": "print('ready'); print('[' * 4000)",
    "a file": "print('ready', flush=True); open(sys.argv[0] + '.out', 'w').write('x' * 10)",
    "nan": answer(seconds=float("nan")),
    "infinity": answer(seconds=float("inf")),
    "a huge number": "print('ready'); print('{\"width\": 64, \"height\": 48, \"seconds\": 1' + '0' * 3000 + '}')",
    "no seconds": answer(seconds=None),
    "seconds below zero": answer(seconds=-1),
    "an hour": answer(seconds=3601),
    "no width": answer(width=0),
    "a width below zero": answer(width=-64),
    "a wide picture": answer(width=8193),
    "a large picture": answer(width=8192, height=8192),
    "a width in words": answer(width="64"),
    "a rate in words": answer(frame_rate="25"),
    "true": answer(height=True),
    "nothing of it": "print('ready'); print('{}')",
    "an error": "print('ready'); print('{\"error\": \"\\\\u001b[31m\\\\u0000\\\\ud83d' + 'x' * 3000 + '\"}')",
}


@pytest.mark.parametrize("code", BROKEN.values(), ids=BROKEN)
def test_a_decoder_that_breaks_or_lies_is_the_files_fault(
    code: str, clip: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoding_with(monkeypatch, tmp_path, code)
    monkeypatch.setattr(decoding, "_ANSWER", 4.0)
    began = time.monotonic()
    with pytest.raises(VideoRejected) as raised:
        verify.probe(io.BytesIO(clip), len(clip))
    assert time.monotonic() - began < 20
    assert len(raised.value.message) < 500
    assert raised.value.message.isprintable()


@pytest.mark.parametrize("rate", [None, 0, 100_000, -1])
def test_a_rate_that_no_clip_has_is_not_known(
    rate: int | None, clip: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoding_with(monkeypatch, tmp_path, answer(frame_rate=rate))
    assert verify.probe(io.BytesIO(clip), len(clip)) == Clip(64, 48, 1.0, None)


def without_a_process(monkeypatch: pytest.MonkeyPatch, way: str, folder: Path) -> None:
    program = folder / "python"
    if way in ("a program that says nothing", "a program that says something else"):
        program.write_text("#!/bin/sh\n" + ("exit 1" if way.endswith("nothing") else "echo usage: airflow"))
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))
    else:
        monkeypatch.setattr(sys, "executable", {"none": None, "empty": "", "missing": str(program)}[way])


WAYS = ["none", "empty", "missing", "a program that says nothing", "a program that says something else"]


@pytest.mark.parametrize("way", WAYS)
def test_where_no_process_can_be_started_a_good_mp4_is_told_by_its_header(
    way: str, clip: bytes, webm: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fragmented = encoded("mp4", "libx264", movflags="frag_keyframe+empty_moov")
    without_a_process(monkeypatch, way, tmp_path)
    told: list[str] = []
    assert verify.probe(io.BytesIO(clip), len(clip), told.append) == SHOWN
    assert "was not decoded, because no process can be started" in told[0]
    for content in (webm, fragmented):
        with pytest.raises(DownloadInterrupted, match="no process can be started"):
            verify.probe(io.BytesIO(content), len(content), told.append)


def test_a_file_without_a_name_is_decoded_and_is_left_where_it_was_read(webm: bytes) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(webm)
        file.seek(10)
        file.read(5)
        assert (verify.probe(file, len(webm)).width, file.fileno() >= 0) == (64, True)
        file.seek(0)
        assert file.read() == webm


def test_the_decoder_has_no_key_in_its_environment(
    clip: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAL_KEY", "secret")
    monkeypatch.setenv("AIRFLOW_CONN_PIKA_DEFAULT", "secret")
    decoding_with(monkeypatch, tmp_path, "print('ready'); print(json.dumps({'error': ' '.join(os.environ)}))")
    with pytest.raises(VideoRejected, match="PYTHONPATH") as raised:
        verify.probe(io.BytesIO(clip), len(clip))
    assert "FAL" not in raised.value.message
    assert "AIRFLOW" not in raised.value.message


def test_no_process_is_left_where_it_stops_talking(
    clip: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = tmp_path / "pid"
    decoding_with(monkeypatch, tmp_path, "os.close(1); time.sleep(60)")
    script = Path(decoder.__file__)
    script.write_text(f"import os; open({str(pid)!r}, 'w').write(str(os.getpid()))\n" + script.read_text())
    assert verify.probe(io.BytesIO(clip), len(clip), lambda line: None) == SHOWN
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_the_limits_hold_for_what_they_name() -> None:
    code = (
        "import resource, sys; sys.path.insert(0, sys.argv[1]); from decoder import give_up; give_up(1 << 30, 7)\n"
        "print([resource.getrlimit(getattr(resource, 'RLIMIT_' + name)) for name in ('AS', 'CPU', 'CORE', 'FSIZE')])"
    )
    command = [sys.executable, "-c", code, str(Path(decoder.__file__).parent)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads(said.replace("(", "[").replace(")", "]")) == [[1 << 30] * 2, [7, 7], [0, 0], [0, 0]]
