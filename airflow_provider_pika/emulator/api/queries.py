"""What the queries of the Platform API have in common: lists, times, and pages by their number."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, Field

#: Seconds of a day.
DAY = 24 * 3600.0

#: Endpoints or ids that one call may ask for.
MOST_VALUES = 50

#: SQLite's integers end above this.
LAST_PAGE = 10**9


def split(values: list[str]) -> list[str]:
    """Split parameters that may be repeated, separated by commas, or both."""
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def _some(values: list[str]) -> list[str]:
    parts = split(values)
    if not 1 <= len(parts) <= MOST_VALUES:
        raise ValueError(f"1 to {MOST_VALUES} of them, please")
    return parts


def _check_cursor(cursor: str | None) -> str | None:
    page_of(cursor)
    return cursor


#: A list that needs something in it.
Some = Annotated[list[str], AfterValidator(_some)]

#: A list that may be left out, but may not be empty if it is given.
SomeOrAll = Annotated[list[str], AfterValidator(lambda values: _some(values) if values else values)]

#: Where the next page starts.
Cursor = Annotated[str | None, Field(max_length=64), AfterValidator(_check_cursor)]


def seconds(at: datetime) -> float:
    """Return unix seconds. A time without an offset is UTC."""
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def cursor_of(page: int) -> str:
    """Return the cursor of a page, which fal's clients must not read."""
    return base64.urlsafe_b64encode(json.dumps({"page": page}).encode()).decode()


def page_of(cursor: str | None) -> int:
    """Return the number of a cursor's page; the first is 0. Raises `ValueError` if it is none of ours."""
    if cursor is None:
        return 0
    try:
        page = int(json.loads(base64.urlsafe_b64decode(cursor))["page"])
    except (ValueError, TypeError, KeyError):
        page = -1
    if not 0 <= page <= LAST_PAGE:
        raise ValueError("not a cursor of ours")
    return page
