"""A clip's poster: a picture that shows something, small, and never the reason that a clip is refused."""

from __future__ import annotations

import base64
import io
import json
import random
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image, ImageStat

from airflow_provider_pika.media import decoder, decoding, jpeg, verify
from airflow_provider_pika.media.mp4 import Clip
from tests.support.bombs import encoded, with_numbers
from tests.support.decoding import answer, decoding_with

#: Pictures a second: as few as do, for each is made here.
RATE = 10


#: What has x264 and libvpx take little time; other codecs leave it alone.
FAST = {"preset": "ultrafast", "deadline": "realtime", "cpu-used": "8"}


def pictured(
    light: Callable[[float], float],
    size: tuple[int, int] = (320, 180),
    seconds: float = 4.0,
    container: str = "mp4",
    codec: str = "libx264",
    ratio: Fraction | None = None,
    **options: str,
) -> bytes:
    """Return a clip of a chequered board in a light that changes with the time, from 0 to 1."""
    width, height = size
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt, stream.options = width, height, "yuv420p", {**FAST, **options}
        if ratio:
            stream.codec_context.sample_aspect_ratio = ratio
        for number in range(int(seconds * RATE)):
            frame = av.VideoFrame(width, height, "yuv420p")
            lit = light(number / RATE)
            board = [bytes([int(16 + 219 * lit)]) * 20, bytes([int(16 + 40 * lit)]) * 20]
            rows = [b"".join(board[(x + y) % 2] for x in range(width // 20 + 2)) for y in (0, 1)]
            for plane, content in zip(frame.planes, (rows, [b"\x80" * 9999], [b"\x80" * 9999]), strict=True):
                length = plane.line_size
                each = [content[(y // 20) % len(content)][:length].ljust(length, b"\0") for y in range(plane.height)]
                plane.update(b"".join(each))
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def noise(width: int, height: int) -> bytes:
    """Return a clip of noise, of which no JPEG is small."""
    rolled = random.Random(1)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream: Any = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.options = width, height, "yuv420p", {**FAST, "crf": "5"}
        for _ in range(3):
            frame = av.VideoFrame(width, height, "yuv420p")
            for plane in frame.planes:
                plane.update(rolled.randbytes(plane.buffer_size))
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def probed(content: bytes) -> tuple[Clip, list[str]]:
    told: list[str] = []
    return verify.probe(io.BytesIO(content), len(content), told.append, with_poster=True), told


def poster_of(content: bytes) -> Image.Image:
    clip, told = probed(content)
    assert clip.poster is not None, told
    assert told == []
    assert len(clip.poster) <= 100_000
    image = Image.open(io.BytesIO(clip.poster))
    image.load()
    return image


def light_of(image: Image.Image) -> float:
    return float(ImageStat.Stat(image.convert("L")).mean[0])


def lit(_: float) -> float:
    return 0.9


FADES: dict[str, Callable[[float], float]] = {
    "a fade from black": lambda at: min(at / 1.5, 0.9),
    "a long fade from black": lambda at: at / 4,
    "black for a second": lambda at: 0.9 if at > 1 else 0,
    "black for three quarters": lambda at: 0.9 if at > 3 else 0,
    "a fade to black": lambda at: max(0.9 - at / 2, 0),
    "light from one to two": lambda at: 0.9 if 1 <= at <= 2.1 else 0,
}
KINDS = {
    "one key picture": {},
    "key pictures": {"g": "10"},
    "a mkv": {"container": "matroska"},
    "a webm": {"container": "webm", "codec": "libvpx"},
    "an avi": {"container": "avi", "codec": "mpeg4"},
    "a transport stream": {"container": "mpegts"},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fade", FADES)
def test_it_is_a_picture_that_is_not_black(fade: str, kind: str) -> None:
    options: Any = KINDS[kind]
    assert light_of(poster_of(pictured(FADES[fade], **options))) > 40


def test_a_fragmented_clip_has_one() -> None:
    content = encoded("mp4", "libx264", movflags="frag_keyframe+empty_moov")
    assert poster_of(content).size == (64, 48)


def test_of_a_lit_clip_it_is_not_the_first_picture() -> None:
    content = pictured(lambda at: 0.5 if at < 0.5 else 0.9)
    first = light_of(poster_of(pictured(lambda at: 0.5)))
    assert light_of(poster_of(content)) > first + 20


@pytest.mark.parametrize("light", [0.0, 0.02])
def test_a_clip_that_is_black_has_one_all_the_same(light: float) -> None:
    assert poster_of(pictured(lambda at: light)).size == (320, 180)


@pytest.mark.parametrize("frames", [1, 2])
def test_a_clip_of_a_picture_or_two_has_one(frames: int) -> None:
    assert poster_of(pictured(lit, seconds=frames / RATE)).size == (320, 180)


def test_a_clip_that_does_not_say_how_long_it_is_has_one_that_is_not_black() -> None:
    content = pictured(FADES["black for a second"])
    assert light_of(poster_of(with_numbers(content, b"mdhd", 16, ">I", 0xFFFF_FFFF))) > 40


@pytest.mark.parametrize(
    ("size", "ratio", "expected"),
    [
        ((1280, 720), None, (640, 360)),
        ((720, 1280), None, (360, 640)),
        ((960, 960), None, (640, 640)),
        ((640, 360), None, (640, 360)),
        ((320, 180), None, (320, 180)),
        ((98, 50), None, (98, 50)),
        ((720, 576), Fraction(64, 45), (640, 360)),
        ((320, 240), Fraction(2, 1), (320, 120)),
        ((320, 240), Fraction(1, 2), (160, 240)),
        ((2048, 16), None, (640, 5)),
    ],
    ids=str,
)
def test_the_aspect_is_kept_the_long_side_has_640_pixels_and_none_is_enlarged(
    size: tuple[int, int], ratio: Fraction | None, expected: tuple[int, int]
) -> None:
    assert poster_of(pictured(lit, size, seconds=0.2, ratio=ratio)).size == expected


def test_of_noise_it_is_worse_or_smaller_but_not_too_large() -> None:
    image = poster_of(noise(960, 960))
    assert max(image.size) in (320, 640)


@pytest.mark.parametrize(("tag", "size"), [(1, (320, 240)), (6, (320, 240)), (1, (1280, 720)), (6, (1280, 720))])
def test_its_colours_are_the_clips(tag: int, size: tuple[int, int]) -> None:
    wanted, (width, height) = (220, 40, 60), size
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream: Any = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.codec_context.colorspace = width, height, "yuv420p", tag
        frame = av.VideoFrame(width, height, "rgb24")
        line = (bytes(wanted) * width).ljust(frame.planes[0].line_size, b"\0")
        frame.planes[0].update(line * height)
        output.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace={1: "ITU709", 6: "ITU601"}[tag])))
        output.mux(stream.encode(None))
    found: Any = poster_of(file.getvalue()).convert("RGB").getpixel((50, 50))
    assert all(abs(one - other) < 8 for one, other in zip(found, wanted, strict=True)), found


def test_of_a_clip_that_breaks_off_in_its_pictures_it_is_what_came_before() -> None:
    content = pictured(lit, g="10")
    start = content.index(b"mdat") + 4
    middle = start + (content.index(b"moov") - start) // 2
    broken = content[:middle] + b"\xff" * (content.index(b"moov") - 4 - middle) + content[content.index(b"moov") - 4 :]
    assert light_of(poster_of(broken)) > 40


def test_the_same_clip_has_the_same_poster_to_the_byte() -> None:
    content = pictured(lit)
    assert probed(content)[0].poster == probed(content)[0].poster


def test_where_none_is_asked_for_none_is_made() -> None:
    content = encoded("mp4", "libx264")
    assert verify.probe(io.BytesIO(content), len(content)).poster is None


def test_without_pyav_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    clip, told = probed(encoded("mp4", "libx264"))
    assert (clip, told) == (Clip(64, 48, 1.0, 25.0), [])


def line(content: bytes) -> str:
    return f"; print({json.dumps({'poster': base64.b64encode(content).decode()})!r})"


SMALL = decoder.poster_of(av, av.VideoFrame(64, 48, "yuv420p"), 1.0)
WIDE = decoder._encoded(av, av.VideoFrame(1280, 720, "yuvj420p"), 31)
LARGE = SMALL[:-2] + bytes(100_000) + SMALL[-2:]

BROKEN = {
    "a crash": "; sys.stdout.flush(); os.abort()",
    "no memory": "; sys.stdout.flush(); bytearray(1 << 30)",
    "no end": "; sys.stdout.flush()\nwhile True: pass",
    "silence": "; sys.stdout.flush(); time.sleep(60)",
    "nothing": "",
    "half a poster": "; print('{\"poster\": \"', end='')",
    "no end of words": "\nwhile True: print('x' * 100000, end='')",
    "garbage": "; sys.stdout.flush(); sys.stdout.buffer.write(b'\\xff\\xfe\\x00\\n')",
    "depth": "; print('[' * 100_000)",
    "no object": "; print('[1]')",
    "null": "; print('null')",
    "an empty object": "; print('{}')",
    "a number": "; print('{\"poster\": 7}')",
    "no base64": '; print(\'{"poster": "\\\\u20ac!"}\')',
    "a page": line(b"<!DOCTYPE html>"),
    "a PNG": line(b"\x89PNG\r\n\x1a\n" + bytes(100)),
    "a picture with a page behind it": line(SMALL + b"<!DOCTYPE html>"),
    "a picture that is too wide": line(WIDE),
    "a picture of too many bytes": line(LARGE),
    "an error": "; print('{\"error\": \"\\\\u001b[31m\\\\u0000\\\\ud83d' + 'x' * 3000 + '\"}')",
    "an error that is none": "; print('{\"error\": [7]}')",
}


@pytest.mark.parametrize("code", BROKEN.values(), ids=BROKEN)
def test_a_poster_that_breaks_or_is_none_costs_no_clip(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert jpeg.size_of(WIDE) == (1280, 720)
    decoding_with(monkeypatch, tmp_path, answer() + code)
    monkeypatch.setattr(decoding, "_POSTER", 3.0)
    began = time.monotonic()
    clip, told = probed(encoded("mp4", "libx264"))
    assert time.monotonic() - began < 20
    assert (clip, clip.poster) == (Clip(64, 48, 1.0, 25.0), None)
    [line] = told
    assert line.startswith("No poster was made: ")
    assert line.isprintable()
    assert len(line) < 500


def test_a_poster_that_is_one_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoding_with(monkeypatch, tmp_path, answer() + line(SMALL))
    clip, told = probed(encoded("mp4", "libx264"))
    assert (clip.poster, told) == (SMALL, [])
