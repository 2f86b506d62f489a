from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable

import av
import pytest
from PIL import Image

from airflow_provider_pika.media import decoder, jpeg


@pytest.fixture(scope="module")
def poster() -> bytes:
    frame = av.VideoFrame(320, 180, "yuv420p")
    for plane in frame.planes:
        plane.update(bytes(range(256)) * (plane.buffer_size // 256) + bytes(plane.buffer_size % 256))
    return decoder.poster_of(av, frame, 1.0)


def by_pillow(width: int, height: int, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(file, "jpeg", **options)
    return file.getvalue()


def test_a_jpeg_has_the_size_that_its_picture_has(poster: bytes) -> None:
    assert jpeg.size_of(poster) == (320, 180)
    assert jpeg.size_of(by_pillow(7, 5)) == (7, 5)


def part(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, kind, 2 + len(content)) + content


MORE: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda content: b"",
    "its beginning alone": lambda content: content[:2],
    "cut off": lambda content: content[:-2],
    "cut off and ended": lambda content: content[:100] + b"\xff\xd9",
    "something behind it": lambda content: content + b"PK\3\4",
    "another file behind it": lambda content: content + b"<script>" + content,
    "another file behind its end": lambda content: content + b"<script>\xff\xd9",
    "a comment": lambda content: content[:2] + part(0xFE, b"<script>") + content[2:],
    "EXIF": lambda content: content[:2] + part(0xE1, b"Exif\0\0") + content[2:],
    "a thumbnail": lambda content: content[:2] + part(0xE0, b"JFIF\0" + bytes(300)) + content[2:],
    "two sizes": lambda content: content[:2] + part(0xC0, bytes(15)) + content[2:],
    "a PNG": lambda content: b"\x89PNG\r\n\x1a\n" + content,
    "a page": lambda content: b"<!DOCTYPE html>",
    "a part without end": lambda content: content[:2] + b"\xff\xdb\xff\xff" + content[2:],
    "a part below its own length": lambda content: content[:2] + b"\xff\xdb\0\1" + content[2:],
}


@pytest.mark.parametrize("kind", MORE)
def test_what_is_more_or_less_than_a_picture_is_none(kind: str, poster: bytes) -> None:
    assert jpeg.size_of(MORE[kind](poster)) is None


def test_one_that_is_progressive_is_none_of_ours() -> None:
    assert jpeg.size_of(by_pillow(64, 48, progressive=True)) is None


def test_whatever_bytes_there_are_they_are_told(poster: bytes) -> None:
    rolled = random.Random(1)
    for _ in range(3000):
        content = bytearray(poster)
        for _ in range(rolled.choice([1, 2, 10])):
            content[rolled.randrange(len(content))] = rolled.randrange(256)
        del content[: rolled.choice([0, 0, 0, rolled.randrange(len(content))])]
        jpeg.size_of(bytes(content))
