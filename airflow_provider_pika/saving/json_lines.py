"""Files of JSON Lines in any storage: read and written a line at a time, whatever their length."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from airflow_provider_pika.exceptions import InvalidInput, PathTaken, RecordUnavailable, StorageFailed
from airflow_provider_pika.saving.object_store import Place

#: The content type of one JSON object a line.
_CONTENT_TYPE = "application/x-ndjson"

#: Bytes of a line that is written. One that is longer loses its ``input``, and then the end of its ``prompt``.
LONGEST_LINE = 1 << 20

#: Bytes of a line in a return value, which goes into Airflow's database; of a longer one, the file has the rest.
INLINE_BYTES = 16 << 10

#: Bytes of a JSON escape for one character of the largest kind: two halves, ``\\ud83d\\ude00``.
_ESCAPED = 12


def read(place: Place) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file.

    :raises StorageFailed: it cannot be read.
    :raises InvalidInput: one of its lines is no JSON object.
    """
    for number, text in enumerate(place.lines(2 * LONGEST_LINE), 1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            line = None
        if not isinstance(line, dict):
            raise InvalidInput(f"{place.path} is no manifest: its line {number} is no JSON object.")
        yield line


def write(place: Place, lines: Iterable[Mapping[str, Any]]) -> None:
    """Show a file of these lines, all of it at once, in place of an earlier one.

    :raises StorageFailed: it could not be written.
    """
    with place.stage() as stage:
        written = hashlib.sha256()
        for line in lines:
            text = json.dumps(fitted(line, LONGEST_LINE)).encode() + b"\n"
            written.update(text)
            stage.write(text)
        place.publish(stage, _CONTENT_TYPE, written.hexdigest())


def check_replaceable(place: Place, is_ours: Callable[[Mapping[str, Any]], bool], kind: str) -> None:
    """Refuse to replace anything but an empty file, or one whose first line is ours.

    :param kind: what may be replaced, in words.
    :raises PathTaken: there is something else.
    :raises StorageFailed: it cannot be read.
    """
    if not place.size():
        return
    try:
        first = json.loads(place.read(LONGEST_LINE).partition(b"\n")[0])
    except (ValueError, RecursionError):
        first = None
    if not (isinstance(first, dict) and is_ours(first)):
        raise PathTaken(f"There is a file at {place.path} that is no {kind}.")


def replace(
    path: str,
    lines: Iterable[Mapping[str, Any]],
    is_ours: Callable[[Mapping[str, Any]], bool],
    kind: str,
    consequence: str,
    conn_id: str | None = None,
) -> None:
    """Write a manifest in place of an earlier one, and of nothing else.

    :param consequence: what it means for the clips if it cannot be written.
    :raises PathTaken: there is something else, which is left as it is.
    :raises RecordUnavailable: it could not be written.
    """
    try:
        place = Place(path, conn_id)
        check_replaceable(place, is_ours, kind)
        write(place, lines)
    except PathTaken as error:
        raise PathTaken(error.message, consequence=consequence) from error
    except StorageFailed as error:
        raise RecordUnavailable(
            f"The manifest could not be written to {path}: {error.message}", consequence=consequence
        ) from error


def fitted(line: Mapping[str, Any], most: int) -> dict[str, Any]:
    """Return a line that takes no more than so many bytes; an ``input`` may hold pictures as text."""
    shorter = str(line.get("prompt"))[: most // (2 * _ESCAPED)]
    for without in ({}, {"input": None}, {"input": None, "prompt": shorter}):
        fits = {**line, **without}
        if len(json.dumps(fits)) <= most:
            break
    return fits
