"""fal's books: a charge for each request that is billed, and what they come to."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from airflow_provider_pika.emulator.data_folder import Database
from airflow_provider_pika.emulator.engine.errors import BILLABLE_UNITS
from airflow_provider_pika.emulator.engine.prices import NANO, Prices, UnitPrice, cost, plain
from airflow_provider_pika.emulator.engine.records import Job

#: The value of a tag filter for requests that did not set the key.
UNTAGGED = "(untagged)"


@dataclass(frozen=True)
class Charge:
    """What one request was charged for, ``at`` unix seconds. ``cost`` is in US dollars."""

    request_id: str
    endpoint: str
    at: float
    units: Decimal
    price: UnitPrice
    cost: Decimal
    tags: dict[str, str]


@dataclass(frozen=True)
class Selection:
    """Which charges: of ``start`` or later, and before ``end``. What is empty is not asked for.

    :param tags: the values that each key may have.
    """

    start: float = 0.0
    end: float | None = None
    endpoints: Collection[str] = ()
    request_ids: Collection[str] = ()
    tags: Mapping[str, Collection[str]] = field(default_factory=dict)

    def sql(self, visible: float) -> tuple[str, list[Any]]:
        """Return the SQL condition and its values. No charge after ``visible`` can be seen."""
        sql = ["at >= ?", "at <= ?"]
        values: list[Any] = [self.start, visible]
        if self.end is not None:
            sql, values = [*sql, "at < ?"], [*values, self.end]
        for column, wanted in (("endpoint", self.endpoints), ("request_id", self.request_ids)):
            if wanted:
                sql, values = [*sql, f"{column} IN ({_marks(wanted)})"], [*values, *wanted]
        for key, wanted in self.tags.items():
            value = "(SELECT value FROM json_each(tags) WHERE json_each.key = ?)"
            sql.append(f"COALESCE({value}, ?) IN ({_marks(wanted)})")
            values += [key, UNTAGGED, *wanted]
        return " AND ".join(sql), values


class Books:
    """The charges in the database. They can be seen ``lag`` seconds after the request has ended."""

    def __init__(self, database: Database, prices: Prices, lag: float) -> None:
        self._db = database
        self._prices = prices
        self._lag = lag

    def enter(self, job: Job) -> None:
        """Charge a request that has ended for the units of its result: the header and the books have one truth.

        Without units there is no charge. A server error has none (N11).
        """
        price = self._prices.of(job.submission.endpoint)
        units = Decimal(0 if job.outcome is None else job.outcome.headers.get(BILLABLE_UNITS, "0"))
        if price is None or not units:
            return
        self._db.execute(
            "INSERT INTO charges (request_id, endpoint, at, units, unit, unit_price, nano_usd, tags)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            job.id,
            job.submission.endpoint,
            job.ended_at,
            plain(units),
            price.unit,
            plain(price.amount),
            int(cost(units, price) / NANO),
            json.dumps(job.submission.tags),
        )

    def page(self, selection: Selection, number: int, size: int) -> tuple[list[Charge], bool]:
        """Return a page of charges, newest first, and whether there are more. The first page is 0."""
        condition, values = selection.sql(time.time() - self._lag)
        query = f"SELECT * FROM charges WHERE {condition} ORDER BY at DESC, seq DESC LIMIT ? OFFSET ?"  # noqa: S608
        rows = self._db.rows(query, *values, size + 1, number * size)
        return [_charge_of(row) for row in rows[:size]], len(rows) > size

    def charges(self, selection: Selection) -> list[Charge]:
        """Return all charges that can be seen, oldest first."""
        condition, values = selection.sql(time.time() - self._lag)
        rows = self._db.rows(f"SELECT * FROM charges WHERE {condition} ORDER BY at, seq", *values)  # noqa: S608
        return [_charge_of(row) for row in rows]

    def everything(self, since: float = 0.0) -> list[Charge]:
        """Return all charges from ``since`` on, oldest first, also those that cannot be seen yet."""
        return [_charge_of(row) for row in self._db.rows("SELECT * FROM charges WHERE at >= ? ORDER BY seq", since)]

    def total(self, selection: Selection) -> tuple[int, Decimal]:
        """Return the number of charges that can be seen, and their sum."""
        condition, values = selection.sql(time.time() - self._lag)
        query = f"SELECT COUNT(*), COALESCE(SUM(nano_usd), 0) FROM charges WHERE {condition}"  # noqa: S608
        (row,) = self._db.rows(query, *values)
        return int(row[0]), row[1] * NANO


def _charge_of(row: sqlite3.Row) -> Charge:
    return Charge(
        request_id=row["request_id"],
        endpoint=row["endpoint"],
        at=row["at"],
        units=Decimal(row["units"]),
        price=UnitPrice(row["unit"], Decimal(row["unit_price"])),
        cost=row["nano_usd"] * NANO,
        tags=json.loads(row["tags"]),
    )


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))
