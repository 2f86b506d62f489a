"""Requests that ended well before, by their input: one of them may be taken in place of a new one, for nothing.

:func:`past_clips` is a generator: ``x = yield call`` sends the call, and ``x`` is what fal's answer means.
``sansio.py`` has an example.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow_provider_pika.fal import requests, responses
from airflow_provider_pika.fal.books import read_page
from airflow_provider_pika.fal.models import HistoryPage, PastRequest, Video
from airflow_provider_pika.fal.sansio import Conversation

#: Pages of one search, with a hundred requests each, and seconds. The history begins with those that ended last.
MOST_PAGES, PAGES_WITHIN = 20, 60.0

#: Seconds that fal's clock may be behind what its answer told of it, and behind ours where it told nothing.
_TOLD_SKEW, _CLOCK_SKEW = 5.0, 300.0

#: Seconds before the span of time at which the search begins: it may go by when a request was sent.
_EARLIER = 24 * 3600.0


@dataclass(frozen=True)
class Reuse:
    """What may be taken.

    :param within: seconds; a request must have ended in the last so many.
    :param run_began: unix seconds, when the Dag run began: a request that was sent since may be the run's own.
    :param answers: returns whether the host of a URL still sends its file; it may block, and raises nothing.
    """

    within: float
    run_began: float
    answers: Callable[[str], bool]


@dataclass(frozen=True)
class PastClip:
    """A request that ended well, and its clip.

    :param ended_at: ISO 8601, as fal wrote it.
    """

    request_id: str
    ended_at: str
    video: Video


def name_of(arguments: Mapping[str, Any]) -> str:
    """Name an input: two have one name if they have the same keys and values, null being no value.

    5 and "5" are the same: fal's schemas of 2025 had durations as texts (fal-protocol.md, section 9).
    """
    words = {name: _word(value) for name, value in arguments.items() if value is not None}
    return hashlib.sha256(json.dumps(words, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()


def past_clips(
    platform_url: str,
    endpoint: str,
    reuse: Reuse,
    wanted: Collection[str],
    tell: Callable[[str], object],
) -> Conversation[dict[str, list[PastClip]]]:
    """Search fal's history for clips of these inputs, and return them by their input's name, the newest first.

    :param wanted: the names of inputs (:func:`name_of`).
    :raises PikaError: the history cannot be read.
    """
    found: dict[str, list[PastClip]] = {}
    since, began = time.time() - reuse.within, time.monotonic()
    cursor = None
    for _ in range(MOST_PAGES):
        page: HistoryPage = yield from read_page(
            requests.history(platform_url, endpoint, since - _EARLIER, cursor=cursor)
        )
        before = _before(page, reuse)
        for row in page.items:
            clip = _clip(row, endpoint, since, before)
            if clip and (name := name_of(row.json_input)) in wanted:
                found.setdefault(name, []).append(clip)
        cursor = page.next_cursor
        if not page.has_more or cursor is None or found.keys() >= set(wanted):
            return found
        if time.monotonic() - began > PAGES_WITHIN:
            break
    tell("fal's request history is longer than is searched for a clip to reuse. Older clips are not found.")
    return found


def _clip(row: PastRequest, endpoint: str, since: float, before: float) -> PastClip | None:
    sent, ended = _seconds(row.sent_at), _seconds(row.ended_at)
    if sent is None or ended is None or sent >= before or ended < since or not isinstance(row.json_input, Mapping):
        return None
    video = responses.remembered(row, endpoint, row.request_id)
    return PastClip(row.request_id, str(row.ended_at), video) if isinstance(video, Video) else None


def _before(page: HistoryPage, reuse: Reuse) -> float:
    """Return when the Dag run began, by fal's clock, or before: a gateway, too, may have told the time."""
    if page.answered_at is None:
        return reuse.run_began - _CLOCK_SKEW
    return reuse.run_began + min(0.0, page.answered_at - time.time()) - _TOLD_SKEW


def _seconds(text: str | None) -> float | None:
    try:
        at = datetime.fromisoformat(text or "")
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _word(value: Any) -> Any:
    return value if isinstance(value, Mapping | list | bool) else str(value)
