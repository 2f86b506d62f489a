"""What was spent, pure: rows of fal's books or of its history become a report by day, Dag, task or endpoint."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from airflow_provider_pika.fal.models import BillingEvent, PastRequest
from airflow_provider_pika.fal.prices import (
    FAL,
    Cost,
    Prices,
    Total,
    billed,
    estimate,
    is_currency,
    money,
    number_of,
    total,
)
from airflow_provider_pika.fal.rate_card import CURRENCY
from airflow_provider_pika.fal.tags import value_of

#: Where the rows come from.
BOOKS, HISTORY = "fal's billing events", "fal's request history"

#: Seconds that one report may span: fal answers 90 days at a time.
LONGEST_REPORT = 366 * 86400.0

#: Endpoints that one report may name (fal-protocol.md, 6.3).
MOST_ENDPOINTS = 50

#: Requests that a list of a report names.
_MOST_NAMED = 1000

#: Characters of a tag's value.
_LONGEST_TAG = 256


@dataclass(frozen=True)
class Spent:
    """What a request cost.

    :param at: when it was charged, or ended, ISO 8601 in UTC; None: fal does not say.
    :param ours: what it would cost by our price and fal's units; None: there is nothing to compare.
    :param tags: those of the submit; None: nobody can tell them here.
    """

    request_id: str
    endpoint: str
    at: str | None
    cost: Cost
    ours: Cost | None = None
    tags: Mapping[str, str] | None = None

    @property
    def differs(self) -> bool:
        """Whether fal billed something else than our price times fal's units."""
        ours, bill = self.ours, self.cost
        if ours is None or ours.amount is None or bill.amount is None:
            return False
        return ours.currency == bill.currency and ours.amount != bill.amount

    @property
    def dag(self) -> str | None:
        """Return the Dag that its tags name."""
        return self._tag("dag")

    @property
    def task(self) -> str | None:
        """Return Dag and task: another Dag may have a task of the same ID."""
        task = self._tag("task")
        return f"{self.dag or ''}.{task}" if task else None

    def _tag(self, name: str) -> str | None:
        return (self.tags or {}).get(name, "")[:_LONGEST_TAG] or None

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "request_id": self.request_id,
            "endpoint": self.endpoint,
            "at": self.at,
            "billed": str_of(self.cost.amount),
            "by_our_price": str_of(self.ours.amount) if self.ours else None,
            "currency": self.cost.currency,
            "dag": (self.tags or {}).get("dag"),
        }


@dataclass(frozen=True)
class Report:
    """What was spent in a span of time.

    :param source: :data:`BOOKS` or :data:`HISTORY`.
    :param by: one of :data:`~airflow_provider_pika.fal.SPENT_BY`.
    :param since: ISO 8601 in UTC, as ``until``.
    :param known_dags: the Dags of this Airflow; None: nobody said.
    :param notes: what a reader must know to read the sums.
    """

    rows: Sequence[Spent]
    source: str
    by: str
    since: str
    until: str
    known_dags: Collection[str] | None = None
    notes: tuple[str, ...] = ()

    def groups(self) -> list[tuple[str | None, list[Spent]]]:
        """Return the rows by their key: days in order, anything else by what it cost, the dearest first."""
        found: dict[str | None, list[Spent]] = {}
        for row in self.rows:
            found.setdefault(_KEYS[self.by](row), []).append(row)
        if self.by == "day":
            return sorted(found.items(), key=lambda group: group[0] or "")
        return sorted(found.items(), key=lambda group: (-_size(group[1]), group[0] or ""))

    @property
    def differing(self) -> list[Spent]:
        """Return the rows that fal billed otherwise than by our price."""
        return [row for row in self.rows if row.differs]

    @property
    def without_dag(self) -> list[Spent]:
        """Return the billed rows whose tags name no Dag."""
        return [row for row in self.rows if row.tags is not None and not row.tags.get("dag")]

    @property
    def of_strangers(self) -> list[Spent]:
        """Return the billed rows whose Dag is none of those that are known; a tag has a Dag's ID as fal takes it."""
        if self.known_dags is None:
            return []
        known = {value_of(dag) for dag in self.known_dags}
        return [row for row in self.rows if (dag := (row.tags or {}).get("dag")) and dag not in known]

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object, money as decimal texts."""
        return {
            "since": self.since,
            "until": self.until,
            "source": self.source,
            "by": self.by,
            "groups": [{self.by: key, **sums(rows)} for key, rows in self.groups()],
            "total": sums(self.rows),
            "differing": _listed(self.differing),
            "without_dag": _listed(self.without_dag),
            "of_unknown_dags": None if self.known_dags is None else _listed(self.of_strangers),
            "notes": list(self.notes),
        }


def is_span(since: float, until: float) -> bool:
    """Return whether one report can have the time between two moments, in unix seconds."""
    return 0 <= since < until and until - since <= LONGEST_REPORT


def of_event(event: BillingEvent, prices: Prices) -> Spent:
    """Return what a billing event says, beside what our price times its units is.

    :param prices: ours: the connection's, or those of fal's price list.
    """
    amount = number_of(event.cost_total, noisy=True)
    currency = event.currency if is_currency(event.currency) else CURRENCY
    units = number_of(event.output_units, noisy=True)
    reason = "fal's billing event has no cost that can be read."
    known = amount is not None
    cost = Cost(
        amount, currency if known else None, "billed", None, FAL if known else None, units, None if known else reason
    )
    ours = None if units is None else billed(event.endpoint_id, units, prices)
    return Spent(event.request_id, event.endpoint_id, _utc(event.timestamp), cost, ours, event.tags or {})


def of_past(row: PastRequest, endpoint: str, prices: Prices) -> Spent | None:
    """Return what a request of the history will have cost, as far as that is known; None: fal does not charge it.

    fal charges clips, and sometimes an input that was refused (422). It does not charge server errors and cancelled
    requests, and nobody knows yet what a request costs that still runs.
    """
    at = _utc(row.ended_at) or _utc(row.sent_at)
    if row.status_code == 422:
        reason = "fal may bill a refused input (422), and its history does not say whether."
        return Spent(row.request_id, endpoint, at, Cost(None, None, "estimated", reason=reason))
    if row.status_code is None or not 200 <= row.status_code < 300:
        return None
    sent = row.json_input if isinstance(row.json_input, Mapping) else {}
    return Spent(row.request_id, endpoint, at, estimate(endpoint, sent, prices))


def total_of(rows: Iterable[Spent]) -> Total:
    """Return the exact sum of some rows."""
    return total(row.cost for row in rows)


def sums(rows: Sequence[Spent]) -> dict[str, Any]:
    """Return what some rows come to, as a JSON object."""
    return {"requests": len(rows), **total_of(rows).as_json(), "differing": sum(row.differs for row in rows)}


def str_of(amount: Decimal | None) -> str | None:
    """Return an amount as JSON has it."""
    return None if amount is None else money(amount)


def _utc(text: str | None) -> str | None:
    try:
        at = datetime.fromisoformat(text or "")
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        return None


#: The key of a row, by what is grouped.
_KEYS: dict[str, Callable[[Spent], str | None]] = {
    "day": lambda row: row.at and row.at[:10],
    "dag": lambda row: row.dag,
    "task": lambda row: row.task,
    "endpoint": lambda row: row.endpoint,
}


def _size(rows: Iterable[Spent]) -> Decimal:
    return max(total_of(rows).amounts.values(), default=Decimal(0))


def _listed(rows: Sequence[Spent]) -> dict[str, Any]:
    """Return a sum of rows, and the first of them."""
    return {**sums(rows), "named": [row.as_json() for row in rows[:_MOST_NAMED]]}
