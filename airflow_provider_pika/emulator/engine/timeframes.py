"""The buckets of time into which usage is summed, in a time zone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator

Timeframe = Literal["minute", "hour", "day", "week", "month"]

#: A length that a bucket has in every month.
LENGTHS = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}


def _check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("not a time zone") from None
    return name


#: The name of a time zone, ``Europe/Paris`` say.
Zone = Annotated[str, AfterValidator(_check_zone)]


def floor(at: float, frame: Timeframe, zone: str) -> float:
    """Return the start of the bucket that this time is in, both in unix seconds. A week starts on Monday."""
    start = datetime.fromtimestamp(at, ZoneInfo(zone)).replace(second=0, microsecond=0)
    if frame != "minute":
        start = start.replace(minute=0)
    if frame in {"day", "week", "month"}:
        start = start.replace(hour=0, fold=0)
    if frame == "week":
        start -= timedelta(days=start.weekday())
    return (start.replace(day=1) if frame == "month" else start).timestamp()


def following(start: float, frame: Timeframe, zone: str) -> float:
    """Return the start of the bucket after the one that starts here."""
    here = datetime.fromtimestamp(start, ZoneInfo(zone))
    if frame in {"minute", "hour"}:  # on the clock's line, so that the night of a time change has all its hours
        return start + LENGTHS[frame].total_seconds()
    if frame == "month":
        return here.replace(year=here.year + here.month // 12, month=here.month % 12 + 1).timestamp()
    return (here + LENGTHS[frame]).timestamp()
