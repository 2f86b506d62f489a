"""Numbers, times and addresses as the pages write them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import pendulum

#: What is said of a clip that is not the one that somebody was asked about.
REPLACED = "This clip has been replaced since it was asked about."

#: What is said of a clip that no task of the run has saved, as far as the pages know.
ELSEWHERE = (
    "No task of this run has saved this clip, so it does not play here. If it has been made anew since it was asked "
    "about, your answer does not count, and the task asks again."
)

#: Names of sizes, each a thousand times the one before.
_SIZES = ("bytes", "kB", "MB", "GB", "TB")


def size(number: float | None) -> str:
    """Return a size as people read it: ``1.2 MB``."""
    if number is None:
        return ""
    for name in _SIZES[:-1]:
        if number < 1000:
            return f"{number:.0f} {name}" if name == "bytes" or number >= 100 else f"{number:.1f} {name}"
        number /= 1000
    return f"{number:.1f} {_SIZES[-1]}"


def seconds(number: float | None) -> str:
    """Return a length of time: ``5 s``."""
    return "" if number is None else f"{number:.1f}".removesuffix(".0") + " s"


def at(value: Any) -> str:
    """Return a time in UTC, to the second; what is none stays out."""
    try:
        when = pendulum.parse(value) if isinstance(value, str) else pendulum.instance(value)
    except (ValueError, TypeError, AttributeError):
        return ""
    return when.in_timezone("UTC").format("YYYY-MM-DD HH:mm:ss") if isinstance(when, datetime) else ""  # type: ignore[attr-defined]


def query(values: Mapping[str, Any], **more: Any) -> str:
    """Return the query of one of our own addresses; what is None is left out."""
    return urlencode({name: value for name, value in {**values, **more}.items() if value is not None})
