"""What was spent, pure: rows of fal's books or of its history become sums by day, Dag, task or endpoint."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from airflow_provider_pika.cli.output import csv_text, table
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

#: Requests that a list in the output names, and those that a table does.
_MOST_NAMED, _MOST_SHOWN = 1000, 20

#: Characters of a tag's value.
_LONGEST_TAG = 256

#: What stands for a missing key, by what is grouped.
_NONE = {"day": "(no time)", "dag": "(no Dag)", "task": "(no task)", "endpoint": "(none)"}


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
    :param by: one of ``arguments.GROUPS``.
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
            "groups": [{self.by: key, **_sums(rows)} for key, rows in self.groups()],
            "total": _sums(self.rows),
            "differing": _listed(self.differing),
            "without_dag": _listed(self.without_dag),
            "of_unknown_dags": None if self.known_dags is None else _listed(self.of_strangers),
            "notes": list(self.notes),
        }

    def as_csv(self) -> str:
        """Return the groups as CSV."""
        names = ("requests", "amount", "currency", "basis", "known", "unknown", "differing")
        rows = [(key, *(sums[name] for name in names)) for key, sums in self._group_sums()]
        return csv_text((self.by, *names), rows)

    def as_text(self) -> str:
        """Return it for people."""
        billed = "billed" if self.source == BOOKS else "estimated"
        none = _NONE[self.by] if self.source == BOOKS else "(unknown)"
        groups = [(key or none, rows) for key, rows in self.groups()]
        lines = [(key, len(rows), _total(rows), _count(rows)) for key, rows in groups]
        lines += [("total", len(self.rows), _total(self.rows), _count(self.rows))]
        parts = [
            f"{self.since} to {self.until}, from {self.source}\n",
            table((self.by, "requests", billed, "differing"), lines),
            *self._hints(),
        ]
        return "\n".join(parts)

    def _group_sums(self) -> list[tuple[str | None, dict[str, Any]]]:
        return [(key, _sums(rows)) for key, rows in self.groups()]

    def _hints(self) -> Iterable[str]:
        if rows := self.differing:
            yield f"Requests that fal billed otherwise than our price times its units: {len(rows)}.\n\n" + table(
                ("request", "billed", "our price"),
                [(row.request_id, row.cost, row.ours) for row in rows[:_MOST_SHOWN]],
            )
        hints = ((self.without_dag, "name no Dag"), (self.of_strangers, "name a Dag that is not in your list"))
        for rows, what in hints:
            if rows:
                told = f"Requests whose tags {what}: {len(rows)} ({_total(rows)}). Keys are shared, so this is a hint."
                yield f"{told}\n\n" + table(
                    ("request", "dag", "cost", "at"),
                    [(row.request_id, _dag(row), row.cost, row.at) for row in rows[:_MOST_SHOWN]],
                )
        if reasons := total(row.cost for row in self.rows).reasons:
            yield "Unknown costs:\n\n" + "".join(f"- {count} x {reason}\n" for reason, count in reasons.items())


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


def moment(text: str, now: float) -> float:
    """Return the unix seconds that an argument means: a date or time in UTC, or an age such as 7d.

    :raises ValueError: it means none.
    """
    text = text.strip().lower()
    unit = {"m": 60.0, "h": 3600.0, "d": 86400.0}.get(text[-1:])
    if unit and text[:-1].isdecimal() and len(text) < 10:
        return now - int(text[:-1]) * unit
    at = datetime.fromisoformat(text.upper())
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def str_of(amount: Decimal | None) -> str | None:
    """Return an amount as JSON has it."""
    return None if amount is None else money(amount)


def _utc(text: str | None) -> str | None:
    try:
        at = datetime.fromisoformat(text or "")
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        return None


def _dag(row: Spent) -> str | None:
    dag = (row.tags or {}).get("dag")
    return dag[:_LONGEST_TAG] if dag else None


def _task(row: Spent) -> str | None:
    """Return Dag and task: another Dag may have a task of the same ID."""
    dag, task = _dag(row), (row.tags or {}).get("task")
    return f"{dag or ''}.{task[:_LONGEST_TAG]}" if task else None


#: The key of a row, by what is grouped.
_KEYS: dict[str, Callable[[Spent], str | None]] = {
    "day": lambda row: row.at and row.at[:10],
    "dag": _dag,
    "task": _task,
    "endpoint": lambda row: row.endpoint,
}


def _size(rows: Iterable[Spent]) -> Decimal:
    return max(total(row.cost for row in rows).amounts.values(), default=Decimal(0))


def _total(rows: Iterable[Spent]) -> Total:
    return total(row.cost for row in rows)


def _count(rows: Iterable[Spent]) -> int | None:
    return sum(row.differs for row in rows) or None


def _sums(rows: Sequence[Spent]) -> dict[str, Any]:
    return {"requests": len(rows), **_total(rows).as_json(), "differing": sum(row.differs for row in rows)}


def _listed(rows: Sequence[Spent]) -> dict[str, Any]:
    """Return a sum of rows, and the first of them."""
    return {**_sums(rows), "named": [row.as_json() for row in rows[:_MOST_NAMED]]}
