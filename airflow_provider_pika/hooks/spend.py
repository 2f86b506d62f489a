"""What was spent in a span of time: fal's books, or its history where the key may not read them, become a report."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pendulum

from airflow_provider_pika.exceptions import AccessDenied, InvalidInput, PikaError
from airflow_provider_pika.fal import SPENT_BY, TEXT_TO_VIDEO, books
from airflow_provider_pika.fal.ids import app_of
from airflow_provider_pika.fal.models import PastRequest
from airflow_provider_pika.fal.prices import Prices
from airflow_provider_pika.fal.spend import BOOKS, HISTORY, MOST_ENDPOINTS, Report, Spent, is_span, of_event, of_past
from airflow_provider_pika.strict_json import shown

if TYPE_CHECKING:
    from airflow_provider_pika.fal.client import FalQueue
    from airflow_provider_pika.hooks.pika import PikaHook

#: Endpoints whose price is asked for: a shared account may use hundreds, and a clip's bill needs none.
_MOST_PRICED = 200


def report_of(
    hook: PikaHook,
    since: float,
    until: float,
    by: str,
    endpoints: Sequence[str] = (),
    known_dags: Collection[str] | None = None,
) -> Report:
    """Return what was spent between two moments, in unix seconds. The arguments have been checked.

    :param by: one of :data:`~airflow_provider_pika.fal.SPENT_BY`.
    :param endpoints: only theirs; none: of all, but of the default one where only the history can be read.
    :param known_dags: the Dags of this Airflow; None: nobody said.
    """
    with hook.get_conn() as queue:
        try:
            rows, notes = _billed(hook, queue, since, until, endpoints)
            source = BOOKS
        except AccessDenied as error:
            rows, notes = _estimated(hook, queue, since, until, endpoints or [TEXT_TO_VIDEO])
            notes = (f"{error.message} So the costs are estimated, and nobody knows the Dags.", *notes)
            source = HISTORY
    return Report(rows, source, by, _shown(since), _shown(until), known_dags, notes)


def span_of(since: Any, until: Any) -> tuple[float, float]:
    """Return the unix seconds of a Dag's two datetimes, the second of them no later than now.

    :param until: None: now.
    :raises InvalidInput: one of them is no datetime with a time zone, or no report can have the time between them.
    """
    now = time.time()
    begins, ends = _seconds("since", since), now if until is None else min(_seconds("until", until), now)
    if not is_span(begins, ends):
        # Airflow 3 makes a CronTriggerTimetable of a plain cron schedule, whose data interval is one moment
        hint = " A plain cron schedule has an empty data interval: count from dag_run.run_after." * (since == until)
        raise InvalidInput(
            f"since={_iso(since)} is not allowed: it must be before until={_iso(until)} and before now, and 366 days "
            f"before it at most.{hint}"
        )
    return begins, ends


def group_of(by: Any) -> str:
    """Return by what to group, if it can be grouped by that.

    :raises InvalidInput: it cannot.
    """
    if not isinstance(by, str) or by not in SPENT_BY:
        raise InvalidInput(f"by={shown(by)[:200]} is not allowed: it takes one of {', '.join(SPENT_BY)}.")
    return by


def endpoints_of(endpoints: Any) -> list[str]:
    """Return some endpoints, each once.

    :raises InvalidInput: one of them is none, or there are too many.
    """
    if isinstance(endpoints, str | bytes) or not isinstance(endpoints, Collection):
        raise InvalidInput(f"endpoints={shown(endpoints)[:200]} is not allowed: it takes a list of endpoints.")
    for endpoint in endpoints:
        app_of(endpoint)
    if len(named := list(dict.fromkeys(endpoints))) > MOST_ENDPOINTS:
        raise InvalidInput(f"endpoints has {len(named)} of them, and {MOST_ENDPOINTS} are allowed.")
    return named


def _seconds(name: str, at: Any) -> float:
    if not isinstance(at, datetime) or at.utcoffset() is None:
        raise InvalidInput(
            f"{name}={shown(at)[:200]} is not allowed: it takes a datetime with a time zone, such as dag_run.run_after."
        )
    return at.timestamp()


def _billed(
    hook: PikaHook, queue: FalQueue, since: float, until: float, endpoints: Sequence[str]
) -> tuple[list[Spent], tuple[str, ...]]:
    events = queue.hold(books.billed(queue.account.platform_url, since, until, endpoints))
    used = list(dict.fromkeys(event.endpoint_id for event in events))
    prices, notes = _prices(hook, used)
    return [of_event(event, prices) for event in events], notes


def _estimated(
    hook: PikaHook, queue: FalQueue, since: float, until: float, endpoints: Sequence[str]
) -> tuple[list[Spent], tuple[str, ...]]:
    prices, notes = _prices(hook, endpoints, average=True)
    rows: list[Spent] = []
    for endpoint in endpoints:

        def keep(row: PastRequest, endpoint: str = endpoint) -> Spent | None:
            return of_past(row, endpoint, prices)

        past = queue.hold(books.past(queue.account.platform_url, endpoint, since, until, keep, payloads=True))
        rows += [row for row in past if row is not None]
    return rows, (f"The history was read for {', '.join(endpoints)}. Others must be named.", *notes)


def _prices(hook: PikaHook, endpoints: Sequence[str], *, average: bool = False) -> tuple[Prices, tuple[str, ...]]:
    """Return our prices. What cannot be read must not hide a bill."""
    try:
        return hook.prices(endpoints[:_MOST_PRICED], average=average), ()
    except PikaError as error:
        return Prices(), (f"There is no price to compare with: {error.message}",)


def _iso(at: Any) -> str:
    return at.isoformat() if isinstance(at, datetime) else "now"


def _shown(at: float) -> str:
    return pendulum.from_timestamp(at).strftime("%Y-%m-%dT%H:%M:%SZ")
