"""Text and JSON from outside, made fit for a log, an event and a database. Everything that is cleaned is cleaned here.

Airflow's processes talk in msgpack and keep events in JSON columns. msgpack refuses lone surrogates and integers of
more than 64 bits; PostgreSQL's JSONB refuses NUL, NaN and Infinity. One of them in one event stops the triggerer of
everybody, and stops it again after its restart (run on 3.3.2 with PostgreSQL). Dag files import this: plain Python.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping
from typing import Any

#: Stands for a character that no database takes.
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

#: Integers that msgpack and every JSON column take.
LARGEST_INTEGER = 2**63 - 1

#: Levels of nested lists and objects that are read; deeper ones exhaust the stacks of parsers.
DEEPEST = 50

#: Characters of one text that are kept where the caller does not say less.
LONGEST_TEXT = 1 << 20
#: Entries of one list or object that are kept, likewise.
MOST_ENTRIES = 100_000

#: Characters of a wrong value in an error.
LONGEST_SHOWN = 1000

#: Bytes of one value that is handed to Airflow: an event of a batch with 1,000 endings of the longest kind has 6 MB.
MOST_BYTES = 8 << 20

#: NUL and half a surrogate pair, which no database takes.
_NOT_STORABLE = re.compile("[\0\ud800-\udfff]")

#: Control characters, line and paragraph separators, and the marks that turn the direction of writing.
_NOT_PRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")

#: What opens and closes a group of log lines, wherever it stands in a line: in Airflow's UI (3.1 to 3.3), in CI logs.
_GROUP = re.compile(r"::(?=(?:end)?group::)|##(?=\[)", re.IGNORECASE)


def clean_text(value: str, longest: int = LONGEST_TEXT) -> str:
    """Return a text that every database takes: NUL and lone surrogates replaced, cut at ``longest`` characters."""
    value = value[:longest]
    return value if value.isascii() and "\0" not in value else _NOT_STORABLE.sub(REPLACEMENT, value)


def one_line(value: str, longest: int) -> str:
    """Return a text as one line of a log, at most ``longest`` characters, that cannot forge another or open a group."""
    value = value[: 2 * longest]
    if not value.isascii() or not value.isprintable():
        value = " ".join(_NOT_PRINTABLE.sub(" ", value).split())
    value = _GROUP.sub(lambda mark: " ".join(mark[0]), value)
    return value if len(value) <= longest else f"{value[: longest - 3]}..."


def shown(value: Any) -> str:
    """Return a value as an error shows it: as Python writes it, on one line, and not too long."""
    try:
        return one_line(repr(value), LONGEST_SHOWN)
    except Exception:  # an integer of 5,000 digits has no text (Python 3.11), and any class may have a faulty one
        return f"{type(value).__name__}(...)"


def clean_json(value: Any, longest: int = LONGEST_TEXT, most: int = MOST_ENTRIES, depth: int = DEEPEST) -> Any:
    """Return a copy of a JSON value that is strict: storable texts, finite numbers of 64 bits, bounded in every way.

    A number that is not storable, and what lies deeper than ``depth``, becomes None. Of a list its last entries are
    kept, since a log's newest lines stand there.

    :param longest: characters of one text.
    :param most: entries of one list or object.
    """
    # a text first, and a mapping last: to ask whether it is one takes longer than all the rest
    if isinstance(value, str):
        return clean_text(str(value), longest)
    if value is None:
        return None
    if isinstance(value, int):
        return value if abs(value) <= LARGEST_INTEGER else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (dict, list, tuple, Mapping)):
        return _clean_entries(value, longest, most, depth - 1) if depth else None
    return clean_text(str(value), longest)


def _clean_entries(
    value: Mapping[Any, Any] | list[Any] | tuple[Any, ...], longest: int, most: int, depth: int
) -> dict[str, Any] | list[Any]:
    if isinstance(value, (list, tuple)):
        return [clean_json(entry, longest, most, depth) for entry in value[-most:]]
    entries = itertools.islice(value.items(), most)
    return {clean_text(str(key), longest): clean_json(entry, longest, most, depth) for key, entry in entries}


def for_airflow(value: Any, most_bytes: int = MOST_BYTES) -> Any:
    """Return what is handed to Airflow (an event, an XCom, a value of the task's state) as strict JSON in UTF-8.

    :raises ValueError: it has more than ``most_bytes``.
    """
    strict = clean_json(value)
    if (size := len(json.dumps(strict, allow_nan=False, ensure_ascii=False).encode())) > most_bytes:
        raise ValueError(f"It has {size} bytes of JSON; {most_bytes} are allowed.")
    return strict


def is_strict(value: Any) -> bool:
    """Return whether a value can be written as JSON that stays as it is on its way through Airflow and its database."""
    try:
        text = json.dumps(value, allow_nan=False)
        written = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return False
    return bool(clean_json(written, len(text), len(text)) == written)
