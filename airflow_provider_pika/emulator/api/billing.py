"""fal's books: billing events, usage and credits, for keys with the ADMIN right (fal-protocol.md 6.3, N14)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field, model_validator
from starlette.responses import JSONResponse, Response

from airflow_provider_pika.emulator.api.gate import Gate, Tally
from airflow_provider_pika.emulator.api.queries import DAY, Cursor, SomeOrAll, cursor_of, page_of, seconds, split
from airflow_provider_pika.emulator.api.wire import Keys, number, timestamp
from airflow_provider_pika.emulator.engine.books import Books, Charge, Selection
from airflow_provider_pika.emulator.engine.prices import CURRENCY, NANO
from airflow_provider_pika.emulator.engine.timeframes import Timeframe, Zone, floor, following

#: The credits of a new data folder. They may fall below zero: `[[locked]]` is asked for like any other fault.
CREDITS = Decimal(1000)

#: Seconds that the billing events of one call may span.
LONGEST_SPAN = 90 * DAY

#: Tag filters that one call may have.
MOST_TAG_FILTERS = 10


class Span(BaseModel):
    """From ``start``, a day ago unless given, to ``end``, which is excluded. They hold for the end of a request."""

    start: datetime | None = None
    end: datetime | None = None
    endpoint_id: SomeOrAll = Field(default_factory=list)
    expand: list[str] = Field(default_factory=list)
    limit: int = Field(default=50, ge=1, le=10_000)
    cursor: Cursor = None

    @property
    def begins(self) -> float:
        """Return the start in unix seconds; not before 1970, where some time zones have no dates."""
        return time.time() - DAY if self.start is None else max(0.0, seconds(self.start))

    @property
    def ends(self) -> float:
        """Return the end in unix seconds; at most a year from now, where no charge is."""
        return time.time() if self.end is None else min(seconds(self.end), time.time() + 366 * DAY)


class EventsQuery(Span):
    """The query of the billing events; a wrong one is a 422."""

    request_id: SomeOrAll = Field(default_factory=list)
    source: Literal["billed", "tagged-billed"] = "billed"
    tag: list[str] = Field(default_factory=list, max_length=MOST_TAG_FILTERS)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.ends - self.begins > LONGEST_SPAN:
            raise ValueError("start and end may be 90 days apart")
        if self.tag and self.source != "tagged-billed":
            raise ValueError("tag needs source=tagged-billed")
        if not all("=" in tag for tag in self.tag):
            raise ValueError("a tag is key=value")
        return self

    def selection(self) -> Selection:
        """Return the charges that are asked for: all of the keys, and of each key any of its values."""
        tags: dict[str, list[str]] = {}
        for tag in self.tag:
            key, _, value = tag.partition("=")
            tags.setdefault(key.strip().lower(), []).append(value.strip())
        return Selection(self.begins, self.ends, self.endpoint_id, self.request_id, tags)


class UsageQuery(Span):
    """The query of the usage. It needs a time series or a summary."""

    timezone: Zone = "UTC"
    timeframe: Timeframe | None = None
    bound_to_timeframe: bool = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not {"time_series", "summary"} & set(split(self.expand)):
            raise ValueError("expand needs time_series or summary")
        return self

    @property
    def frame(self) -> Timeframe:
        """Return the length of a bucket: an hour for a day at most, else a day. fal's own choice is not established."""
        return self.timeframe or ("hour" if self.ends - self.begins <= DAY else "day")

    def selection(self) -> Selection:
        """Return the charges that are asked for. Bound to the timeframe, the first and the last bucket are whole."""
        start, end = self.begins, self.ends
        if self.bound_to_timeframe:
            start, last = floor(start, self.frame, self.timezone), floor(end, self.frame, self.timezone)
            end = last if last == end else following(last, self.frame, self.timezone)
        return Selection(start, end, self.endpoint_id)


class AccountQuery(BaseModel):
    """The query of the account."""

    expand: list[str] = Field(default_factory=list)


@dataclass(frozen=True)
class BillingApi:
    """The calls about what was charged. They need a key with the ADMIN right."""

    books: Books
    gate: Gate
    tally: Tally
    keys: Keys

    def router(self) -> APIRouter:
        """Return the routes of billing events, usage and credits."""
        router = APIRouter(prefix="/v1")
        router.add_api_route("/models/billing-events", self.events, methods=["GET"])
        router.add_api_route("/models/usage", self.usage, methods=["GET"])
        router.add_api_route("/account/billing", self.account, methods=["GET"])
        return router

    async def events(self, request: Request, query: Annotated[EventsQuery, Query()]) -> Response:
        """Return a page of charges, newest first. What was not billed has no row."""

        def body() -> dict[str, Any]:
            number_of_page = page_of(query.cursor)
            charges, has_more = self.books.page(query.selection(), number_of_page, query.limit)
            tagged = query.source == "tagged-billed"
            return {
                "billing_events": [_event(charge, tagged) for charge in charges],
                "next_cursor": cursor_of(number_of_page + 1) if has_more else None,
                "has_more": has_more,
            }

        return await self._answer(request, body)

    async def usage(self, request: Request, query: Annotated[UsageQuery, Query()]) -> Response:
        """Return sums by endpoint and price, of each bucket of time, of all, or both."""

        def body() -> dict[str, Any]:
            charges = self.books.charges(query.selection())
            buckets: dict[float, list[Charge]] = {}
            for charge in charges:
                buckets.setdefault(floor(charge.at, query.frame, query.timezone), []).append(charge)
            page, size = page_of(query.cursor), query.limit
            shown = list(buckets.items())[page * size : (page + 1) * size]
            has_more = len(buckets) > (page + 1) * size
            series = [{"bucket": timestamp(at), "results": _rows(inside)} for at, inside in shown]
            parts = {"time_series": series, "summary": _rows(charges)}
            asked = {name: part for name, part in parts.items() if name in split(query.expand)}
            return {**asked, "next_cursor": cursor_of(page + 1) if has_more else None, "has_more": has_more}

        return await self._answer(request, body)

    async def account(self, request: Request, query: Annotated[AccountQuery, Query()]) -> Response:
        """Return the account's name and, if asked for, its credits, which fall with every charge."""

        def body() -> dict[str, Any]:
            if "credits" not in split(query.expand):
                return {"username": "emulator"}
            balance = CREDITS - self.books.total(Selection())[1]
            return {"username": "emulator", "credits": {"current_balance": number(balance), "currency": CURRENCY}}

        return await self._answer(request, body)

    async def _answer(self, request: Request, body: Callable[[], dict[str, Any]]) -> Response:
        self.tally.add("billing")

        async def process() -> Response:
            return self.keys.refuse_platform(request, admin=True) or JSONResponse(body())

        return await self.gate.exchange("billing", [], process)


def _event(charge: Charge, tagged: bool) -> dict[str, Any]:
    event = {
        "request_id": charge.request_id,
        "endpoint_id": charge.endpoint,
        "timestamp": timestamp(charge.at),
        "output_units": number(charge.units),
        "unit_price": number(charge.price.amount),
        **_costs(charge.cost),
        "cost_estimate_nano_usd": int(charge.cost / NANO),
    }
    return {**event, "tags": charge.tags} if tagged else event


def _rows(charges: Iterable[Charge]) -> list[dict[str, Any]]:
    """Return a row for each endpoint and price, in the order in which they came."""
    groups: dict[tuple[Any, ...], list[Charge]] = {}
    for charge in charges:
        groups.setdefault((charge.endpoint, charge.price), []).append(charge)
    rows = []
    for (endpoint, price), inside in groups.items():
        total = sum((charge.cost for charge in inside), Decimal(0))
        rows.append(
            {
                "endpoint_id": endpoint,
                "unit": price.unit,
                "quantity": number(sum((charge.units for charge in inside), Decimal(0))),
                "unit_price": number(price.amount),
                **_costs(total),
                "cost": number(total),
                "currency": CURRENCY,
            }
        )
    return rows


def _costs(total: Decimal) -> dict[str, Any]:
    """Return the columns of a cost. The account has no discount."""
    return {
        "percent_discount": 0,
        "cost_subtotal": number(total),
        "cost_discount": 0,
        "cost_total": number(total),
    }
