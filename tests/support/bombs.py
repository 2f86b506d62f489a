"""Small files that are large when they are opened, and files that claim what they do not hold."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable
from fractions import Fraction
from functools import cache
from typing import Any

import av

MANY = 60_000_000


def box(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def muxed(packets: Iterable[bytes], container: str, codec: str, width: int, height: int, pix_fmt: str) -> bytes:
    """Return a file of pictures that are encoded already."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream: Any = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        for number, content in enumerate(packets):
            packet = av.Packet(content)
            packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, number, number, True
            packet.time_base = Fraction(1, 25)
            output.mux(packet)
    return file.getvalue()


@cache
def encoded(
    container: str,
    codec: str,
    width: int = 64,
    height: int = 48,
    frames: int = 25,
    movflags: str = "",
) -> bytes:
    """Return a file of grey pictures."""
    file = io.BytesIO()
    with av.open(file, "w", format=container, options={"movflags": movflags} if movflags else {}) as output:
        stream: Any = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for _ in range(frames):
            frame = av.VideoFrame(width, height, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def with_sound(container: str, codec: str, sound: str) -> bytes:
    """Return a file of a second of grey pictures and of silence."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        video: Any = output.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio: Any = output.add_stream(sound, rate=48_000, layout="stereo")
        for number in range(25):
            output.mux(video.encode(av.VideoFrame(64, 48, "yuv420p")))
            frame = av.AudioFrame(format=audio.format.name, layout="stereo", samples=audio.frame_size or 960)
            frame.sample_rate, frame.pts = 48_000, number * frame.samples
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            output.mux(audio.encode(frame))
        output.mux(video.encode(None))
        output.mux(audio.encode(None))
    return file.getvalue()


def png(side: int) -> bytes:
    """Return a picture of nothing, of so many pixels across and down: of hundreds."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(9, wbits=-15)
    rows = packer.compress(bytes(1 + 3 * side) * 100) + packer.flush(zlib.Z_FULL_FLUSH)  # may be repeated as it is
    assert side % 100 == 0
    checksum = (side * (1 + 3 * side)) % 65_521 << 16 | 1  # Adler-32 of so many zeros
    pixels = b"\x78\xda" + rows * (side // 100) + packer.flush() + struct.pack(">I", checksum)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def with_numbers(content: bytes, kind: bytes, at: int, layout: str, *numbers: int, which: int = 0) -> bytes:
    """Write numbers into a box, so many bytes behind its name; ``which`` of several, from 0."""
    start = -1
    for _ in range(which + 1):
        start = content.index(kind, start + 1)
    start += 4 + at
    return content[:start] + struct.pack(layout, *numbers) + content[start + struct.calcsize(layout) :]


def with_cover(content: bytes, picture: bytes) -> bytes:
    """Put a cover picture into the header of an MP4, which is to be the last box."""
    data = box(b"data", struct.pack(">II", 14, 0) + picture)
    meta = box(b"meta", bytes(4) + box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9)) + box(b"ilst", box(b"covr", data)))
    cover = box(b"udta", meta)
    start = content.index(b"moov") - 4
    size = struct.unpack(">I", content[start : start + 4])[0]
    assert start + size == len(content)
    return content[:start] + struct.pack(">I", size + len(cover)) + content[start + 4 :] + cover
