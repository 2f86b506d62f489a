"""Read an MP4's boxes (ISO/IEC 14496-12): whether it is whole, what it claims, and what its header says of the picture.

It needs no library and reads no more than the headers of the boxes and the tables of ``moov``, so a file may be of any
size. It finds what a player that opens the beginning does not: a file that ends too soon. And since it runs before any
player, nothing that a player would take a file's word for goes unbounded: pictures, samples, seconds, boxes.
"""

from __future__ import annotations

import operator
import re
import struct
import sys
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from airflow_provider_pika.exceptions import VideoRejected

#: Boxes of a file, in all: a clip of a minute in fragments of a second has some hundred.
MOST_BOXES = 10_000

#: Bytes of all the headers, ``moov`` and ``moof``: an hour of 60 frames a second and its sound have about 4 MB.
MOST_HEADER = 8 << 20

#: Pixels of a picture's side: 8K.
MOST_SIDE = 8192
#: Pixels of a whole picture.
MOST_PIXELS = 7680 * 4320

#: Samples of all the tracks: an hour of 240 frames a second and its sound. FFmpeg takes 35 bytes for each.
MOST_SAMPLES = 2_000_000

#: Seconds of a clip.
MOST_SECONDS = 3600.0

#: Tracks. FFmpeg goes through the samples for each of them, and for each format and piece below.
_MOST_TRACKS = 32
#: Formats of a track.
_MOST_FORMATS = 16
#: Pieces that a track is edited of.
_MOST_EDITS = 100

#: What may be in a track of pictures: H.264, H.265, AV1, VP8, VP9, MPEG-4 and ProRes, the formats of cameras, encoders
#: and editors. FFmpeg knows dozens more, pictures and texts among them, that no clip is made of.
_FORMATS = frozenset(b"avc1 avc3 hev1 hvc1 av01 vp08 vp09 mp4v apch apcn apcs apco ap4h ap4x".split())

#: What ``mp4v`` may stand for, by the number in its ``esds``: MPEG-4, H.264, H.265, MPEG-2, MPEG-1. Of the others, 0x6C
#: is JPEG and 0x6D PNG.
_OBJECT_TYPES = frozenset((0x20, 0x21, 0x23, 0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x6A))

#: An esds down to that number: the tags and lengths of two descriptions, and flags that add no field before the second.
_ESDS = re.compile(rb".{4}\x03[\x80-\xff]{0,3}[\x00-\x7f]..[\x00-\x1f]\x04[\x80-\xff]{0,3}[\x00-\x7f](.)", re.DOTALL)

#: The boxes that hold boxes, as far as they are gone into.
_INSIDE = {
    b"moov": frozenset((b"trak",)),
    b"trak": frozenset((b"mdia", b"edts")),
    b"mdia": frozenset((b"minf",)),
    b"minf": frozenset((b"stbl",)),
    b"moof": frozenset((b"traf",)),
}

#: What a file of these boxes may begin with; QuickTime's older ones have no ``ftyp``.
_FIRST = frozenset((b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"moof", b"uuid", b"sidx"))

#: Boxes of a file that a player needs: one that has begun and does not end is missing.
_NEEDED = frozenset((b"moov", b"moof", b"mdat", b"styp", b"sidx"))

#: A length that stands for none: all bits set, or the largest number with a sign. Streaming writers leave it there.
_UNKNOWN = (0xFFFF_FFFF, 0x7FFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF, 0x7FFF_FFFF_FFFF_FFFF)


@dataclass(frozen=True)
class Clip:
    """What a file shows: the picture in pixels, its length in seconds, frames a second (None: not known).

    :param poster: a JPEG of one of its pictures, where that was asked for and could be made.
    """

    width: int
    height: int
    seconds: float
    frame_rate: float | None
    poster: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class _Box:
    kind: bytes
    start: int
    end: int


@dataclass
class Track:
    """What the header says of one track: the picture in pixels, its length in ``scale`` parts of a second, samples.

    :param ticks: the length once more, as the sum of its samples'.
    """

    is_video: bool = False
    width: int = 0
    height: int = 0
    scale: int = 0
    duration: int = 0
    ticks: int = 0
    samples: int = 0
    formats: list[_Box] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Return the length that the header says, or else the sum of its samples; 0: neither is known."""
        return (self.duration or self.ticks) / self.scale if self.scale else 0.0


def is_mp4(file: IO[bytes]) -> bool:
    """Return whether a file begins as an MP4 does, or a QuickTime file, which is read alike."""
    file.seek(4)
    return file.read(4) in _FIRST


def read(file: IO[bytes], size: int) -> Track:
    """Return the first track of pictures, once all tracks are known to be whole, and to claim nothing absurd.

    :param size: bytes of the file.
    :raises VideoRejected: naming what is missing, or is too much.
    """
    reader = _Reader(file)
    reader.read(size)
    video = next((track for track in reader.tracks if track.is_video), None)
    if video is None:
        raise VideoRejected("The file holds no video stream.")
    return video


def clip_of(track: Track) -> Clip:
    """Return what a track shows, by its header alone.

    :raises VideoRejected: the header does not say it; it is a fragmented file's, most likely.
    """
    if not (track.seconds and track.samples and track.width and track.height):
        raise VideoRejected("Its header does not say how long and how large it is; PyAV (pip install av) reads it.")
    return Clip(track.width, track.height, track.seconds, track.samples / track.seconds)


class _NoWholeBox(Exception):
    """Here is no box, or not all of one."""


class _Reader:
    """One pass over the boxes; its budgets are for all of the file, wherever a box stands."""

    def __init__(self, file: IO[bytes]) -> None:
        self.tracks: list[Track] = []
        self._file = file
        self._boxes_left = MOST_BOXES
        self._header_left = MOST_HEADER
        self._claimed: Counter[bytes] = Counter()

    def read(self, size: int) -> None:
        kinds: set[bytes] = set()
        start = 0
        while start < size:
            try:
                box = self._box_at(start, size)
            except _NoWholeBox as error:
                if not _is_whole(kinds) or self._begins_a_needed_box(start, size, is_fragmented=b"moof" in kinds):
                    raise VideoRejected(str(error)) from None
                break
            kinds.add(box.kind)
            start = box.end
            if box.kind in (b"moov", b"moof"):
                self._header_left -= box.end - box.start
                if self._header_left < 0:
                    raise VideoRejected(f"Its header has more than {MOST_HEADER >> 20} MiB.")
                self._go_into(box, Track())
        if not _is_whole(kinds):
            raise VideoRejected("The file is no whole MP4: it has no header, or no pictures.")

    def _begins_a_needed_box(self, start: int, end: int, is_fragmented: bool) -> bool:
        """Return whether bytes that are no whole box may be the beginning of one; else a tool put them at the end.

        Of fewer than eight bytes, only a file in fragments may go on with another box. Its size begins with a small
        number, and a text does not: no fragment has 150 MB.
        """
        self._file.seek(start)
        tail = self._file.read(min(end - start, 8))
        if len(tail) == 8:
            return tail[4:] in _NEEDED
        return is_fragmented and tail[0] < 9 and any(kind.startswith(tail[4:]) for kind in _NEEDED)

    def _go_into(self, parent: _Box, track: Track) -> None:
        for box in self._boxes(parent.start, parent.end):
            if box.kind == b"trak":
                self._read_track(box)
            elif box.kind in _INSIDE.get(parent.kind, ()):
                self._go_into(box, track)
            elif read := _READERS.get(box.kind):
                read(self, box, track)

    def _read_track(self, box: _Box) -> None:
        track = Track()
        self.tracks.append(track)
        if len(self.tracks) > _MOST_TRACKS:
            raise VideoRejected(f"The file has more than {_MOST_TRACKS} tracks.")
        self._go_into(box, track)
        _check_seconds(max(track.duration, track.ticks), track.scale)
        if track.is_video:  # known now: its boxes may be in any order
            _check_picture(track.width, track.height)
            if not track.formats:
                raise VideoRejected("The file is no whole MP4: its pictures have no format.")
            for entry in track.formats:
                self._check_format(entry)

    def _check_format(self, entry: _Box) -> None:
        if entry.kind not in _FORMATS:
            raise VideoRejected(f"The file holds {entry.kind.decode('latin-1')!r}, which is no video of a clip.")
        _check_picture(*self._field(entry, ">24xHH"))
        for box in self._boxes(entry.start + 78, entry.end):
            if box.kind == b"esds":
                self._check_object_type(box)

    def _check_object_type(self, box: _Box) -> None:
        """Refuse what an esds may make of any format: FFmpeg takes its number for more than the format's name."""
        self._file.seek(box.start)
        found = _ESDS.match(self._file.read(min(box.end - box.start, 32)))
        if not found or found[1][0] not in _OBJECT_TYPES:
            raise VideoRejected("The file holds pictures of a kind that no video of a clip has.")

    def _read_header(self, box: _Box, track: Track) -> None:
        """Read tkhd: the picture's sides are the last of its fields, as numbers of 16 and 16 bits."""
        width, height = self._field(_Box(box.kind, max(box.end - 8, box.start), box.end), ">II")
        track.width, track.height = width >> 16, height >> 16

    def _read_length(self, box: _Box, track: Track) -> None:
        """Read mdhd of a track, or mvhd of all: both have the length behind two times."""
        is_long = self._field(box, ">B")[0] == 1
        scale, duration = self._field(box, ">20xIQ" if is_long else ">12xII")
        duration = 0 if duration in _UNKNOWN else duration
        if box.kind == b"mvhd":
            _check_seconds(duration, scale)
        else:
            track.scale, track.duration = scale, duration

    def _read_handler(self, box: _Box, track: Track) -> None:
        track.is_video = track.is_video or self._field(box, ">8x4s")[0] == b"vide"

    def _read_formats(self, box: _Box, track: Track) -> None:
        count = self._field(box, ">4xI")[0]
        entries = list(self._boxes(box.start + 8, box.end))
        if max(count, len(entries)) > _MOST_FORMATS:
            raise VideoRejected(f"A track of the file has more than {_MOST_FORMATS} formats.")
        track.formats += entries

    def _read_sizes(self, box: _Box, track: Track) -> None:
        """Read stsz or stz2: the number of samples, and their sizes, unless all have the same."""
        size, count = self._field(box, ">4xII")
        self._claim(b"samples", count)
        bits = 32 if box.kind == b"stsz" else size & 0xFF
        if (size == 0 or box.kind == b"stz2") and count * bits > (box.end - box.start - 12) * 8:
            raise VideoRejected(_LIES)
        track.samples = track.samples or count

    def _read_times(self, box: _Box, track: Track) -> None:
        """Read stts or ctts: so many samples, and the ticks of each."""
        counts, ticks = self._table(box, 2)
        self._claim(box.kind, sum(counts))
        if box.kind == b"stts":
            track.ticks = max(track.ticks, sum(map(operator.mul, counts, ticks)))

    def _read_chunks(self, box: _Box, track: Track) -> None:
        """Read stsc: from this chunk on, so many samples in each."""
        self._claim(box.kind, max(self._table(box, 3)[1], default=0))

    def _read_places(self, box: _Box, track: Track) -> None:
        self._claim(box.kind, len(self._table(box, 2 if box.kind == b"co64" else 1)[0]))

    def _read_edits(self, box: _Box, track: Track) -> None:
        if self._field(box, ">4xI")[0] > _MOST_EDITS:
            raise VideoRejected(f"A track of the file is edited of more than {_MOST_EDITS} pieces.")

    def _read_run(self, box: _Box, track: Track) -> None:
        """Read trun: the samples of a fragment, which may take no byte each."""
        self._claim(b"samples", self._field(box, ">4xI")[0])

    def _refuse(self, box: _Box, track: Track) -> None:
        raise VideoRejected("Its header is compressed, which no clip's is.")

    def _claim(self, what: bytes, count: int) -> None:
        self._claimed[what] += count
        if self._claimed[what] > MOST_SAMPLES:
            raise VideoRejected(f"The file claims more than {MOST_SAMPLES} samples.")

    def _table(self, box: _Box, columns: int) -> list[array[int]]:
        """Return the columns of a table of numbers of 32 bits."""
        count = self._field(box, ">4xI")[0]
        if count * columns * 4 > box.end - box.start - 8:
            raise VideoRejected(_LIES)
        self._file.seek(box.start + 8)
        numbers = array("I", self._file.read(count * columns * 4))
        if len(numbers) < count * columns:
            raise VideoRejected(_SHORT)
        if sys.byteorder == "little":
            numbers.byteswap()
        return [numbers[column::columns] for column in range(columns)]

    def _boxes(self, start: int, end: int) -> Iterator[_Box]:
        """Go through the boxes of a box."""
        while start < end - 7:  # QuickTime ends a list with a zero
            try:
                box = self._box_at(start, end)
            except _NoWholeBox as error:
                raise VideoRejected(str(error)) from None
            yield box
            start = box.end

    def _box_at(self, start: int, end: int) -> _Box:
        self._boxes_left -= 1
        if self._boxes_left < 0:
            raise VideoRejected("The file has too many boxes for a clip.")
        if end - start < 8:
            raise _NoWholeBox(_SHORT)
        size, kind = self._field(_Box(b"", start, end), ">I4s")
        body = start + 8
        if size == 1:
            if end - body < 8:
                raise _NoWholeBox(_SHORT)
            size, body = self._field(_Box(b"", body, end), ">Q")[0], body + 8
        stop = end if size == 0 else start + size  # 0: to the end of the file
        if not body <= stop <= end:
            raise _NoWholeBox(f"The file ends before its box {kind.decode('latin-1')!r} does: it is cut off.")
        return _Box(kind, body, stop)

    def _field(self, box: _Box, layout: str) -> tuple[Any, ...]:
        self._file.seek(box.start)
        data = self._file.read(min(struct.calcsize(layout), box.end - box.start))
        try:
            return struct.unpack(layout, data)
        except struct.error:
            raise VideoRejected(_SHORT) from None


#: The error of a box that ends too early.
_SHORT = "The file is no whole MP4: a box is too short."
#: The error of a table that has more entries than bytes.
_LIES = "The file is no whole MP4: a table claims more than it holds."

#: What reads a box, by its name.
_READERS = {
    b"tkhd": _Reader._read_header,
    b"mdhd": _Reader._read_length,
    b"mvhd": _Reader._read_length,
    b"hdlr": _Reader._read_handler,
    b"stsd": _Reader._read_formats,
    b"stsz": _Reader._read_sizes,
    b"stz2": _Reader._read_sizes,
    b"stts": _Reader._read_times,
    b"ctts": _Reader._read_times,
    b"stsc": _Reader._read_chunks,
    b"stco": _Reader._read_places,
    b"co64": _Reader._read_places,
    b"elst": _Reader._read_edits,
    b"trun": _Reader._read_run,
    b"cmov": _Reader._refuse,
}


def _is_whole(kinds: set[bytes]) -> bool:
    return b"moov" in kinds and bool(kinds & {b"mdat", b"moof"})


def _check_picture(width: int, height: int) -> None:
    if max(width, height) > MOST_SIDE or width * height > MOST_PIXELS:
        raise VideoRejected(f"Its picture has {width} by {height} pixels, more than 8K.")


def _check_seconds(duration: int, scale: int) -> None:
    if scale and duration > MOST_SECONDS * scale:
        raise VideoRejected(f"It claims to be longer than {MOST_SECONDS:.0f} s.")
