"""Read an MP4's boxes (ISO/IEC 14496-12): whether it is whole, and what its header says of the picture.

It reads some hundred bytes of a file of any size, needs no library, and finds what a player that opens the beginning
does not: a file that ends too soon.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from airflow_provider_pika.exceptions import VideoRejected

#: Boxes of one level that are looked at: more than a file has that is none made to be in the way.
_MOST_BOXES = 10_000


@dataclass(frozen=True)
class Clip:
    """What a file shows: the picture in pixels, its length in seconds, frames a second (None: not known)."""

    width: int
    height: int
    seconds: float
    frame_rate: float | None


@dataclass(frozen=True)
class _Box:
    kind: bytes
    start: int
    end: int


def is_mp4(file: IO[bytes]) -> bool:
    """Tell whether a file begins as an MP4 does."""
    file.seek(4)
    return file.read(4) == b"ftyp"


def check_whole(file: IO[bytes], size: int) -> None:
    """Refuse an MP4 whose boxes do not end where the file does, or that lacks its header or its pictures.

    :raises VideoRejected: naming what is missing.
    """
    kinds = {box.kind for box in _boxes(file, 0, size)}
    if b"moov" not in kinds or not kinds & {b"mdat", b"moof"}:
        raise VideoRejected("The file is no whole MP4: it has no header, or no pictures.")


def read(file: IO[bytes], size: int) -> Clip:
    """Give what the header of an MP4 says.

    :raises VideoRejected: it cannot be read, or has no video stream.
    """
    moov = _only(file, b"moov", 0, size)
    for track in _boxes(file, moov.start, moov.end):
        if track.kind != b"trak":
            continue
        media = _only(file, b"mdia", track.start, track.end)
        if _field(file, _only(file, b"hdlr", media.start, media.end), ">8x4s")[0] == b"vide":
            return _clip(file, track, media)
    raise VideoRejected("The file holds no video stream.")


def _clip(file: IO[bytes], track: _Box, media: _Box) -> Clip:
    header = _only(file, b"tkhd", track.start, track.end)
    width, height = _field(file, _Box(b"tkhd", header.end - 8, header.end), ">II")  # 16.16, the last of its fields
    timing = _only(file, b"mdhd", media.start, media.end)
    is_long = _field(file, timing, ">B")[0] == 1
    scale, duration = _field(file, timing, ">20xIQ" if is_long else ">12xII")
    info = _only(file, b"minf", media.start, media.end)
    table = _only(file, b"stbl", info.start, info.end)
    frames = _field(file, _only(file, b"stsz", table.start, table.end), ">8xI")[0]
    if not (scale and duration and frames and width and height):
        raise VideoRejected("Its header does not say how long and how large it is; PyAV (pip install av) reads it.")
    seconds = duration / scale
    return Clip(width >> 16, height >> 16, seconds, frames / seconds)


def _boxes(file: IO[bytes], start: int, end: int) -> Iterator[_Box]:
    for _ in range(_MOST_BOXES):
        if start == end:
            return
        size, kind = _field(file, _Box(b"", start, end), ">I4s")
        body = start + 8
        if size == 1:
            size, body = _field(file, _Box(b"", body, end), ">Q")[0], body + 8
        stop = end if size == 0 else start + size  # 0: to the end of the file
        if not body <= stop <= end:
            raise VideoRejected(f"The file ends before its box {kind.decode('latin-1')!r} does: it is cut off.")
        yield _Box(kind, body, stop)
        start = stop
    raise VideoRejected("The file has too many boxes for a clip.")


def _only(file: IO[bytes], kind: bytes, start: int, end: int) -> _Box:
    for box in _boxes(file, start, end):
        if box.kind == kind:
            return box
    raise VideoRejected(f"The file is no whole MP4: it has no box {kind.decode()!r}.")


def _field(file: IO[bytes], box: _Box, layout: str) -> tuple[Any, ...]:
    file.seek(box.start)
    data = file.read(min(struct.calcsize(layout), box.end - box.start))
    try:
        return struct.unpack(layout, data)
    except struct.error:
        raise VideoRejected("The file is no whole MP4: a box is too short.") from None
