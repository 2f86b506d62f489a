"""What is looked up at fal about requests that exist: how one stands, and which ones had a certain input.

Each function is a generator: ``x = yield call`` sends the call, and ``x`` is what fal's answer means. ``sansio.py`` has
an example.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from airflow_provider_pika.exceptions import (
    AnswerTooLarge,
    DoubtfulAnswer,
    PikaError,
    RequestRejected,
    ServerUnavailable,
    UnexpectedAnswer,
    UnknownRequest,
)
from airflow_provider_pika.fal import requests, responses
from airflow_provider_pika.fal.models import HistoryPage, PastRequest, QueueStatus, Video
from airflow_provider_pika.fal.polling import Poll
from airflow_provider_pika.fal.responses import outcome
from airflow_provider_pika.fal.sansio import Conversation, Pause

#: Seconds that fal keeps inputs and outputs in its history (fal-protocol.md, section 3).
HISTORY_KEPT = 30 * 24 * 3600.0

#: Seconds between two searches of the history: a request shows up there late, and perhaps only when it has started
#: (not established, fal-protocol.md, section 13). Three minutes in all: it is rare, and failing costs somebody's night.
SEARCH_PAUSES = (2.0, 4.0, 8.0, 16.0, 30.0, 60.0, 60.0)

#: Pages of one search, and seconds: with a hundred requests each, more than a busy account starts within an outage.
MOST_PAGES, PAGES_WITHIN = 100, 300.0


@dataclass(frozen=True)
class Found:
    """What a search brought: the ids of the requests with that input; ``trouble`` if the last search failed."""

    request_ids: tuple[str, ...] = ()
    trouble: PikaError | None = None


@dataclass(frozen=True)
class Remembered:
    """What fal keeps of a request: its row in the history, and what it charges for; None where it does not say."""

    row: PastRequest | None = None
    billable_units: float | None = None


def remember(platform_url: str, endpoint: str, request_id: str, units: float | None = None) -> Conversation[Remembered]:
    """Ask fal what it keeps of a completed request. Never raises ``PikaError``: its metadata may have gaps.

    :param units: the billable units, if they are known already: the result is not asked for again then.
    """
    row = None
    if units is None:
        with suppress(PikaError):
            video = yield requests.result(endpoint, request_id)
            units = video.billable_units
    with suppress(PikaError):
        page = yield requests.history(platform_url, endpoint, time.time() - HISTORY_KEPT, request_id=request_id)
        row = next((row for row in page.items if row.request_id == request_id), None)
    return Remembered(row, units)


def poll(platform_url: str, endpoint: str, request_id: str, seen: QueueStatus | None = None) -> Conversation[Poll]:
    """Poll a request once: its status with logs, and how it ended if it did. Never raises ``PikaError``.

    A request that the queue knows no more, or whose result it has dropped, may still be in the request history.

    :param seen: its status, if that is known already.
    """
    try:
        seen = seen or (yield from _status(endpoint, request_id))
    except UnknownRequest as error:
        return Poll(outcome=(yield from _remembered(platform_url, endpoint, request_id, error)))
    except PikaError as error:
        return Poll(outcome=error)
    if seen.status != "COMPLETED":
        return Poll(seen)
    try:
        brought: Video | PikaError = yield requests.result(endpoint, request_id)
    except PikaError as error:
        brought = error
    ending = outcome(seen, brought, request_id)
    if isinstance(ending, UnknownRequest):
        ending = yield from _remembered(platform_url, endpoint, request_id, ending)
    return Poll(seen, ending)


def _status(endpoint: str, request_id: str) -> Conversation[QueueStatus]:
    """Ask where it stands; without its log if that makes the answer too large: a log must never cost a wait."""
    try:
        status: QueueStatus = yield requests.status(endpoint, request_id, logs=True)
    except AnswerTooLarge:
        status = yield requests.status(endpoint, request_id, logs=False)
    return status


def search(platform_url: str, endpoint: str, sent: Mapping[str, Any], since: float) -> Conversation[Found]:
    """Look through the history for requests with exactly this input, again and again, with three minutes of pauses.

    :param since: unix seconds, before the submit.
    """
    found = Found()
    for pause in (0.0, *SEARCH_PAUSES):
        yield Pause(pause)
        try:
            found = Found((yield from _matching(platform_url, endpoint, sent, since)))
        except PikaError as error:
            found = Found(trouble=error)
            continue
        if found.request_ids:
            break
    return found


def same_input(sent: Mapping[str, Any], kept: Any) -> bool:
    """Return whether the history's input is what we sent.

    fal may have added defaults, or turned 5 into "5", as its schemas of 2025 had it (fal-protocol.md, section 9).
    """
    return isinstance(kept, Mapping) and all(
        name in kept and (kept[name] == value or str(kept[name]) == str(value)) for name, value in sent.items()
    )


def _matching(platform_url: str, endpoint: str, sent: Mapping[str, Any], since: float) -> Conversation[tuple[str, ...]]:
    """Read the history page by page, and keep only the ids: 100 pages of inputs and outputs may have 800 MB."""
    matching: dict[str, None] = {}
    cursor, began = None, time.monotonic()
    for _ in range(MOST_PAGES):
        page: HistoryPage = yield requests.history(platform_url, endpoint, since, cursor=cursor)
        matching |= dict.fromkeys(row.request_id for row in page.items if same_input(sent, row.json_input))
        cursor = page.next_cursor
        if not page.has_more or cursor is None:
            return tuple(matching)
        if time.monotonic() - began > PAGES_WITHIN:
            break
    raise UnexpectedAnswer("It has too many requests since then, so it was not read completely.")


def _remembered(
    platform_url: str, endpoint: str, request_id: str, unknown: UnknownRequest
) -> Conversation[Video | PikaError]:
    try:
        page = yield requests.history(platform_url, endpoint, time.time() - HISTORY_KEPT, request_id=request_id)
    except PikaError as error:
        if error.retry_helps:
            return error  # one bad read must not end a wait for good
        told = f"Its request history did not help: {error.message}"
        if isinstance(error, RequestRejected):  # by a firewall, say: a result may still be there
            return DoubtfulAnswer(f"{unknown.message} {told}", request_id=request_id, status_code=404)
        unknown.consequence = told
        return unknown
    rows = [row for row in page.items if row.request_id == request_id]
    if rows and rows[0].status_code is None:
        return ServerUnavailable(f"{unknown.message} Its history says that it still runs.", request_id=request_id)
    return (responses.remembered(rows[0], endpoint, request_id) if rows else None) or unknown
