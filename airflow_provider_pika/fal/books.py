"""What was charged, and what was asked for, in a span of time: fal's books and its history, all pages of them.

Each function is a generator: ``x = yield call`` sends the call, and ``x`` is what fal's answer means. ``sansio.py`` has
an example. A sum that lacks rows must not look whole, so what cannot be read to its end is an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from airflow_provider_pika.exceptions import TryLater, UnexpectedAnswer
from airflow_provider_pika.fal import requests
from airflow_provider_pika.fal.models import BillingEvent, BillingPage, HistoryPage, PastRequest
from airflow_provider_pika.fal.requests import Call
from airflow_provider_pika.fal.sansio import Conversation, Pause

T = TypeVar("T")

#: Seconds that one call may span (fal-protocol.md, 6.3).
LONGEST_SPAN = 90 * 24 * 3600.0

#: Pages of one report, and seconds: half a million rows are more than a person asks for.
MOST_PAGES, PAGES_WITHIN = 1000, 600.0

#: How often a page is asked for again, and the seconds before, at least and at most.
_REPEATS, _PAUSE, _LONGEST_PAUSE = 2, 2.0, 30.0


def billed(
    platform_url: str, since: float, until: float, endpoints: Sequence[str] = ()
) -> Conversation[list[BillingEvent]]:
    """Return what was charged in a span of time, each row once. It needs a key with the ADMIN right.

    :param endpoints: only theirs, 50 at most; none: of all.
    :raises AccessDenied: the key has no ADMIN right.
    """
    found: dict[tuple[str, str | None], BillingEvent] = {}  # a page may begin with what ended the one before
    pages = _Pages()
    for start, end in _spans(since, until):
        cursor = None
        while True:
            call = requests.billing_events(platform_url, start, end, endpoints, cursor)
            page: BillingPage = yield from read_page(call)
            found |= {(row.request_id, row.timestamp): row for row in page.billing_events}
            if page.has_more and page.next_cursor is None:
                raise UnexpectedAnswer("fal's billing events go on, and fal does not say where.")
            cursor = None if page.has_more is False else page.next_cursor
            if cursor is None:
                break
            pages.turn(f"{start} {cursor}")
    return list(found.values())


def past(
    platform_url: str,
    endpoint: str,
    since: float,
    until: float,
    keep: Callable[[PastRequest], T],
    payloads: bool = False,
) -> Conversation[list[T]]:
    """Return the requests of an endpoint in a span of time, as the history has them. Those that wait are not in it.

    :param keep: returns what is to be kept of a row: with their payloads, all of them may have gigabytes.
    :param payloads: with what was sent.
    """
    found: dict[str, T] = {}
    pages, cursor = _Pages(), None
    while True:
        call = requests.history(platform_url, endpoint, since, until=until, cursor=cursor, payloads=payloads)
        page: HistoryPage = yield from read_page(call)
        found |= {row.request_id: keep(row) for row in page.items}
        cursor = page.next_cursor
        if not page.has_more or cursor is None:
            return list(found.values())
        pages.turn(cursor)


class _Pages:
    """Counts pages, so that a report ends whatever a server says."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._began = time.monotonic()

    def turn(self, place: str) -> None:
        """Note where the next page begins.

        :raises UnexpectedAnswer: it was read already, or there are too many.
        """
        if place in self._seen:
            raise UnexpectedAnswer("fal names a page again that was read already.")
        self._seen.add(place)
        if len(self._seen) >= MOST_PAGES or time.monotonic() - self._began > PAGES_WITHIN:
            raise UnexpectedAnswer("There are too many rows in this span of time to read them all. Ask for less of it.")


def read_page(call: Call[T]) -> Conversation[T]:
    """Read a page, again where it could not be read for a moment."""
    for repeats in range(_REPEATS + 1):
        try:
            page: Any = yield call
        except TryLater as error:
            pause = max(error.retry_after or 0.0, _PAUSE)
            if repeats == _REPEATS or pause > _LONGEST_PAUSE or isinstance(error, UnexpectedAnswer):
                raise
            yield Pause(pause)
        else:
            return page  # type: ignore[no-any-return]
    raise AssertionError("the last one returns or raises")


def _spans(since: float, until: float) -> Iterator[tuple[float, float]]:
    while since < until:
        end = min(since + LONGEST_SPAN, until)
        yield since, end
        since = end
