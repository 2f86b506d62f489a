"""Files that would take a worker's memory or its time: each is refused, for little of both.

Each is opened in a process of its own, which is measured, and so are its children.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.bombs import MANY, box, encoded, muxed, png, with_cover, with_numbers

HEAD = box(b"ftyp", b"isom\0\0\2\0isom")

MEASURED = """
import importlib.util, json, resource, sys, time
from airflow_provider_pika.media.verify import probe
from airflow_provider_pika.exceptions import PikaError
if sys.argv[2] == "without":
    importlib.util.find_spec = lambda name: None
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
path = sys.argv[1]
with open(path, "rb") as file:
    size = file.seek(0, 2)
    before, began = peak(), time.monotonic()
    try:
        said = repr(probe(file, size, lambda line: None, with_poster=True))
    except PikaError as error:
        said = f"{type(error).__name__}: {error.message}"
took = time.monotonic() - began
child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps({"said": said, "grown": peak() - before, "child": child, "took": took}))
"""


def measured(content: bytes, folder: Path, with_pyav: bool = True) -> dict[str, Any]:
    """Return what is said of a file, the kibibytes that the process grew by and its child had, and the seconds."""
    path = folder / "bomb.mp4"
    path.write_bytes(content)
    command = [sys.executable, "-c", MEASURED, str(path), "with" if with_pyav else "without"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return dict(json.loads(done.stdout))


def check_small(found: dict[str, Any]) -> None:
    assert found["grown"] < 50 * 1024, found
    assert found["child"] < 300 * 1024, found
    assert found["took"] < 30, found


@pytest.fixture(scope="module")
def bomb() -> bytes:
    return png(16_000)


def clip(**arguments: Any) -> bytes:
    return encoded("mp4", "libx264", **arguments)


def png_in(container: str) -> Callable[[bytes], bytes]:
    return lambda bomb: muxed([bomb], container, "png", 16_000, 16_000, "rgb24")


def png_that_says_it_is_small(name: bytes, esds: bool) -> Callable[[bytes], bytes]:
    """Return what says in its header that it is a small H.264 or MPEG-4, and only FFmpeg sees what it is."""

    def build(bomb: bytes) -> bytes:
        content = muxed([bomb], "mp4" if esds else "mov", "png", 16_000, 16_000, "rgb24")
        small = struct.pack(">HH", 640, 360)
        content = content.replace(struct.pack(">HH", 16_000, 16_000), small)
        content = content.replace(
            struct.pack(">II", 16_000 << 16, 16_000 << 16), struct.pack(">II", 640 << 16, 360 << 16)
        )
        return content.replace(b"mp4v" if esds else b"png ", name)

    return build


PICTURES: dict[str, Callable[[bytes], bytes]] = {
    "png in mov": png_in("mov"),
    "png in mp4, as mp4v": png_in("mp4"),
    "png as a small png": png_that_says_it_is_small(b"png ", esds=False),
    "png in avi": png_in("avi"),
    "png as a small mp4v": png_that_says_it_is_small(b"mp4v", esds=True),
    "png as a small avc1 by its esds": png_that_says_it_is_small(b"avc1", esds=True),
    "png as a small avc1": png_that_says_it_is_small(b"avc1", esds=False),
    "png as a small mp4v without esds": png_that_says_it_is_small(b"mp4v", esds=False),
    "png as a small av01": png_that_says_it_is_small(b"av01", esds=False),
    "the picture itself": lambda bomb: bomb,
}


@pytest.mark.parametrize("build", PICTURES.values(), ids=PICTURES)
def test_a_picture_of_a_gigabyte_in_a_file_of_a_megabyte_is_refused(
    build: Callable[[bytes], bytes], bomb: bytes, tmp_path: Path
) -> None:
    content = build(bomb)
    assert len(content) < 2_000_000
    found = measured(content, tmp_path)
    assert found["said"].startswith("VideoRejected"), found
    check_small(found)


def test_a_cover_that_is_one_costs_no_clip_and_no_memory(bomb: bytes, tmp_path: Path) -> None:
    found = measured(with_cover(clip(), bomb), tmp_path)
    assert found["said"] == "Clip(width=64, height=48, seconds=1.0, frame_rate=25.0)"
    check_small(found)


LARGE: dict[str, Callable[[], bytes]] = {
    "mpeg4 in avi": lambda: encoded("avi", "mpeg4", 8000, 5000, 1),
    "mpeg4 in mkv": lambda: encoded("matroska", "mpeg4", 8000, 5000, 1),
    "h264 in mkv": lambda: encoded("matroska", "libx264", 8448, 64, 1),
    "h264 in mpegts": lambda: encoded("mpegts", "libx264", 8448, 64, 1),
    "h264 in mp4": lambda: clip(width=8448, height=64, frames=1),
    "h264 in mp4, hidden": lambda: hidden(clip(width=8448, height=64, frames=1), 8448, 64),
    "mpeg4 in mp4, hidden": lambda: hidden(encoded("mp4", "mpeg4", 8000, 5000, 1), 8000, 5000),
    "its track header alone": lambda: with_numbers(clip(), b"tkhd", 76, ">II", 16_000 << 16, 16_000 << 16),
    "its format alone": lambda: with_numbers(clip(), b"avc1", 24, ">HH", 65_535, 65_535, which=1),
    "mkv that only claims it": lambda: claiming_mkv(),
    "avi that only claims it": lambda: claiming_avi(),
}


def hidden(content: bytes, width: int, height: int) -> bytes:
    """Have the boxes say less than the pictures do."""
    content = content.replace(struct.pack(">II", width << 16, height << 16), struct.pack(">II", 64 << 16, 48 << 16))
    return content.replace(struct.pack(">HH", width, height), struct.pack(">HH", 64, 48))


def claiming_mkv() -> bytes:
    content = encoded("matroska", "mpeg4", 640, 480, 2)
    claimed = content.replace(b"\xb0\x82" + struct.pack(">H", 640), b"\xb0\x82" + struct.pack(">H", 65_000))
    claimed = claimed.replace(b"\xba\x82" + struct.pack(">H", 480), b"\xba\x82" + struct.pack(">H", 65_000))
    assert claimed != content
    # the stream's own header is garbage, so that there is only the claim
    return claimed.replace(b"\x00\x00\x01\x20", b"\x00\x00\x09\x20")


def claiming_avi() -> bytes:
    content = encoded("avi", "mpeg4", 640, 480, 2)
    claimed = content.replace(struct.pack("<II", 640, 480), struct.pack("<II", 65_000, 65_000))
    assert claimed != content
    return claimed.replace(b"\x00\x00\x01\x20", b"\x00\x00\x09\x20")


@pytest.mark.parametrize("build", LARGE.values(), ids=LARGE)
def test_a_picture_larger_than_8k_is_refused_wherever_it_says_so(build: Callable[[], bytes], tmp_path: Path) -> None:
    found = measured(build(), tmp_path)
    assert found["said"].startswith("VideoRejected"), found
    check_small(found)


def fragmented() -> bytes:
    return clip(movflags="frag_keyframe+empty_moov")


def with_a_second_track() -> bytes:
    """Return a clip with a second track, the same, whose claims are the last of the file."""
    content = clip()
    start = content.index(b"trak") - 4
    track = content[start : start + struct.unpack(">I", content[start : start + 4])[0]]
    moov = content.index(b"moov") - 4
    size = struct.unpack(">I", content[moov : moov + 4])[0]
    end = start + len(track)
    grown = content[:end] + track + content[end:]
    return grown[:moov] + struct.pack(">I", size + len(track)) + grown[moov + 4 :]


CLAIMS: dict[str, Callable[[], bytes]] = {
    "stsz": lambda: with_numbers(clip(), b"stsz", 4, ">II", 1, MANY),
    "stsz and stts": lambda: with_numbers(
        with_numbers(clip(), b"stsz", 4, ">II", 1, MANY), b"stts", 4, ">III", 1, MANY, 1
    ),
    "stsz without its table": lambda: with_numbers(clip(), b"stsz", 4, ">II", 0, 1_000_000),
    "stz2": lambda: with_numbers(clip(), b"stsz", 4, ">II", 0, MANY).replace(b"stsz", b"stz2"),
    "stts": lambda: with_numbers(clip(), b"stts", 4, ">III", 1, MANY, 1),
    "stts's table": lambda: with_numbers(clip(), b"stts", 4, ">I", 0xFFFF_FFFF),
    "ctts": lambda: with_numbers(clip(), b"ctts", 8, ">I", MANY),
    "stsc": lambda: with_numbers(clip(), b"stsc", 12, ">I", MANY),
    "stco": lambda: with_numbers(clip(), b"stco", 4, ">I", MANY),
    "trun": lambda: with_numbers(fragmented(), b"trun", 4, ">I", MANY),
    "elst": lambda: with_numbers(clip(), b"elst", 4, ">I", 1_000_000),
    "another track's stsz": lambda: with_numbers(with_a_second_track(), b"stsz", 4, ">II", 1, MANY, which=1),
    "an hour and more": lambda: with_numbers(clip(), b"mdhd", 16, ">I", 0xFFFF_FFF0),
    "an hour and more of all": lambda: with_numbers(clip(), b"mvhd", 16, ">I", 0xFFFF_FFF0),
    "frames of an hour each": lambda: with_numbers(clip(), b"stts", 12, ">I", 0xFFFF_FFF0),
    "a header of another kind": lambda: clip().replace(b"mvhd", b"cmov"),
}


@pytest.mark.parametrize("with_pyav", [True, False])
@pytest.mark.parametrize("build", CLAIMS.values(), ids=CLAIMS)
def test_a_kilobyte_that_claims_sixty_million_samples_is_refused(
    build: Callable[[], bytes], with_pyav: bool, tmp_path: Path
) -> None:
    content = build()
    assert len(content) < 10_000
    found = measured(content, tmp_path, with_pyav)
    assert found["said"].startswith("VideoRejected"), found
    check_small(found)


def nested(kind: bytes, content: bytes, depth: int) -> bytes:
    for _ in range(depth):
        content = box(kind, content)
    return content


TRACK = box(b"trak", box(b"mdia", box(b"hdlr", bytes(8) + b"vide" + bytes(12))))

FLOODS: dict[str, Callable[[], bytes]] = {
    "free boxes": lambda: HEAD + box(b"free") * 3_000_000,
    "free boxes behind a clip": lambda: clip() + box(b"free") * 3_000_000,
    "free boxes in the header": lambda: HEAD + box(b"mdat") + box(b"moov", box(b"free") * 3_000_000),
    "free boxes in a small header": lambda: HEAD + box(b"mdat") + box(b"moov", box(b"free") * 1_000_000),
    "tracks": lambda: HEAD + box(b"mdat") + box(b"moov", TRACK * 100_000),
    "fragments": lambda: HEAD + box(b"moov") + box(b"moof") * 3_000_000,
    "fragments of fragments": lambda: (
        HEAD + box(b"moov") + box(b"moof", box(b"traf", box(b"trun", bytes(8))) * 300_000)
    ),
    "headers": lambda: HEAD + box(b"mdat") + box(b"moov") * 3_000_000,
    "headers in headers": lambda: HEAD + box(b"mdat") + nested(b"moov", b"", 3_000),
    "every box in itself": lambda: (
        HEAD + box(b"mdat") + box(b"moov", nested(b"trak", nested(b"mdia", b"", 2_000), 2_000))
    ),
    "formats": lambda: (
        HEAD
        + box(b"mdat")
        + box(
            b"moov",
            box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", box(b"stsd", bytes(8) + box(b"avc1") * 900_000))))),
        )
    ),
    "one table": lambda: (
        HEAD
        + box(b"mdat")
        + box(b"moov", box(b"trak", box(b"edts", box(b"stts", struct.pack(">II", 0, 999_999) + bytes(8 * 999_999)))))
    ),
}


@pytest.mark.parametrize("build", FLOODS.values(), ids=FLOODS)
def test_a_flood_of_boxes_is_refused(build: Callable[[], bytes], tmp_path: Path) -> None:
    found = measured(build(), tmp_path)
    assert found["said"].startswith("VideoRejected"), found
    check_small(found)
