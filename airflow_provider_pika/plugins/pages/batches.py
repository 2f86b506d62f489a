"""The clips of a batch, a page of its manifest at a time.

A manifest of ten thousand lines is read once to find where each line begins. Then a clip is one read of one line,
addressed by its index: no path, and no place in a file, comes from the browser.
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from airflow_provider_pika.plugins.pages.entries import Batch, Clip, read_clip
from airflow_provider_pika.plugins.pages.files import PIECE, NotShown, Stored, text_at
from airflow_provider_pika.plugins.pages.roots import Roots

#: Bytes of a manifest that are read, and of one of its lines.
_LONGEST, _LONGEST_LINE = 256 << 20, 4 << 20

#: Lines on a page.
PAGE = 48

#: Manifests of which the beginnings of the lines are kept: 160 KB for 10,000 lines.
_MOST_KNOWN = 16

#: Characters of an error that a page shows.
_TEXT = 300


@dataclass(frozen=True)
class Item:
    """A line of a batch.

    :param clip: None: it has none, and ``error`` says why, if somebody knows.
    """

    index: int
    state: str
    clip: Clip | None
    prompt: str | None
    name: str | None
    error: str | None


@dataclass(frozen=True)
class Lines:
    """A batch's lines: ``indexes`` in order, and how to read the one at a place."""

    indexes: array[int]
    read: Any

    def page(self, after: int | None) -> tuple[list[Item], int | None]:
        """Return some items, and the index after which the next ones come; None: there are none.

        :param after: the index of the last item of the page before.
        """
        start = 0 if after is None else bisect_right(self.indexes, after)
        end = min(start + PAGE, len(self.indexes))
        items = [self.read(place) for place in range(start, end)]
        return items, items[-1].index if end < len(self.indexes) else None

    def item(self, index: int) -> Item | None:
        """Return the item of an index; None: there is none."""
        place = bisect_right(self.indexes, index) - 1
        return self.read(place) if place >= 0 and self.indexes[place] == index else None


def lines_of(roots: Roots, batch: Batch, returned: Any) -> Lines:
    """Return a batch's lines.

    :param returned: what its task has returned, or has pushed when it failed: it has the lines of a small batch.
    :raises NotShown: the manifest may not be shown, or cannot be read.
    """
    if batch.manifest:
        return _of_file(text_at(roots, batch.manifest, batch.conn_id, _LONGEST), batch)
    clips = returned.get("clips") if isinstance(returned, Mapping) else None
    lines = [line for line in clips if isinstance(line, Mapping)] if isinstance(clips, list) else []
    if not lines:
        raise NotShown(404, "The batch has no manifest, and its task has returned no lines.")
    items = sorted((_item(line, batch) for line in lines), key=lambda item: item.index)
    return Lines(array("q", [item.index for item in items]), items.__getitem__)


class _Known:
    """Where the lines of some manifests begin, by their indexes. What is asked for least goes first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Any, ...], tuple[array[int], array[int]]] = OrderedDict()
        self._lock = Lock()

    def of(self, stored: Stored, key: tuple[Any, ...]) -> tuple[array[int], array[int]]:
        with self._lock:
            if found := self._kept.get(key):
                self._kept.move_to_end(key)
                return found
        found = _read_through(stored)
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > _MOST_KNOWN:
                self._kept.popitem(last=False)
        return found


#: For all requests of this process.
_KNOWN = _Known()


def _of_file(stored: Stored, batch: Batch) -> Lines:
    key = (batch.manifest, batch.conn_id, batch.saved_at, stored.size)
    indexes, starts = _KNOWN.of(stored, key)

    def read(place: int) -> Item:
        end = starts[place] + _LONGEST_LINE
        line, rest = b"", starts[place]
        while b"\n" not in line and rest < min(end, stored.size):
            piece = stored.read(rest, min(rest + (16 << 10), stored.size))
            if not piece:
                break
            line, rest = line + piece, rest + len(piece)
        return _item(_object(line.partition(b"\n")[0]), batch)

    return Lines(indexes, read)


def _read_through(stored: Stored) -> tuple[array[int], array[int]]:
    """Return the indexes of a manifest's lines in order, and where each line begins."""
    found = list[tuple[int, int]]()
    for start, line in _lines(stored):
        if line.strip():
            found.append((_index(_object(line)), start))
    found.sort()
    return array("q", [index for index, _ in found]), array("q", [start for _, start in found])


def _lines(stored: Stored) -> Iterator[tuple[int, bytes]]:
    rest, begins = b"", 0
    for piece in _all(stored):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield begins, line
            begins += len(line) + 1
        if len(rest) > _LONGEST_LINE:
            raise NotShown(409, "The manifest has a line that is too long.")
    if rest:
        yield begins, rest


def _all(stored: Stored) -> Iterable[bytes]:
    at = 0
    while at < stored.size and (piece := stored.read(at, min(at + PIECE, stored.size))):
        yield piece
        at += len(piece)


def _object(line: bytes) -> Mapping[str, Any]:
    """Read a line; what it has is not quoted, since it may be any file of the team's."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not found.keys() >= {"index", "state", "request_id", "sha256"}:
        raise NotShown(409, "The file is no manifest of saved clips.")
    return found


def _index(line: Mapping[str, Any]) -> int:
    index = line.get("index")
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < 2**31:
        raise NotShown(409, "The manifest has a line without an index.")
    return index


def _item(line: Mapping[str, Any], batch: Batch) -> Item:
    prompt, name, error = (line.get(key) for key in ("prompt", "name", "error"))
    return Item(
        index=_index(line),
        state=str(line.get("state"))[:_TEXT],
        clip=read_clip(line, batch.conn_id),
        prompt=prompt if isinstance(prompt, str) else None,
        name=name if isinstance(name, str) else None,
        error=error[:_TEXT] if isinstance(error, str) else None,
    )
