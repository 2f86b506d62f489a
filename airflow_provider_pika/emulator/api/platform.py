"""fal's request history, where a submission whose reply was lost can be found (fal-protocol.md 6.4)."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from airflow_provider_pika.emulator.api.gate import Gate, Tally
from airflow_provider_pika.emulator.api.queries import DAY, Cursor, Some, cursor_of, page_of, seconds, split
from airflow_provider_pika.emulator.api.wire import Keys, timestamp
from airflow_provider_pika.emulator.data_folder import Database
from airflow_provider_pika.emulator.engine.records import Job, Retention, job_of
from airflow_provider_pika.emulator.faults.registry import Subject

#: Seconds before now at which ``start`` is by default, without and with a ``request_id`` (N8).
DEFAULT_SPAN, SPAN_OF_ONE = DAY, 90 * DAY

#: SQL for each value of the parameter ``status``.
STATUS = {
    "success": "status_code BETWEEN 200 AND 299",
    "user_error": "status_code BETWEEN 400 AND 499",
    "error": "status_code >= 500",
}

#: SQL for each value of ``sort_by``. An unfinished request sorts as the newest, and as the longest.
SORT_KEY = {"ended_at": "COALESCE(ended_at, 1e12)", "duration": "COALESCE(ended_at - started_at, 1e12)"}


class HistoryQuery(BaseModel):
    """The query's parameters; a wrong one is a 422. ``start`` and ``end`` hold for ``sent_at`` (not established)."""

    endpoint_id: Some
    start: datetime | None = None
    end: datetime | None = None
    status: Literal["success", "error", "user_error"] | None = None
    request_id: str | None = None
    expand: list[str] = Field(default_factory=list)
    sort_by: Literal["ended_at", "duration"] = "ended_at"
    limit: int = Field(default=50, ge=1, le=100)
    cursor: Cursor = None

    @property
    def with_payloads(self) -> bool:
        """Tell whether inputs and outputs are asked for."""
        return "payloads" in split(self.expand)

    @property
    def page(self) -> int:
        """Return the number of the page that is asked for; the first is 0."""
        return page_of(self.cursor)

    def conditions(self, lag: float) -> tuple[list[str], list[Any]]:
        """Return the SQL conditions and their values. A request is listed ``lag`` seconds after its start."""
        marks = ", ".join("?" * len(self.endpoint_id))
        sql = [f"endpoint IN ({marks})", "COALESCE(started_at, ended_at) <= ?", "sent_at >= ?"]
        span = DEFAULT_SPAN if self.request_id is None else SPAN_OF_ONE
        since = time.time() - span if self.start is None else seconds(self.start)
        values: list[Any] = [*self.endpoint_id, time.time() - lag, since]
        if self.end is not None:
            sql, values = [*sql, "sent_at < ?"], [*values, seconds(self.end)]
        if self.status is not None:
            sql.append(STATUS[self.status])
        if self.request_id is not None:
            sql, values = [*sql, "id = ?"], [*values, self.request_id]
        return sql, values


@dataclass(frozen=True)
class PlatformApi:
    """The calls below ``/v1``. ``lag`` is in seconds; fal's own is not established."""

    database: Database
    gate: Gate
    tally: Tally
    keys: Keys
    lag: float
    kept: Retention

    def router(self) -> APIRouter:
        """Return the one operation of the Platform API that a queue client needs."""
        router = APIRouter(prefix="/v1")
        router.add_api_route("/models/requests/by-endpoint", self.by_endpoint, methods=["GET"])
        return router

    async def by_endpoint(self, request: Request, query: Annotated[HistoryQuery, Query()]) -> Response:
        """Return a page of these endpoints' requests that have started or finished, newest end first."""
        self.tally.add("history")
        rows, has_more = self._page(query)
        jobs = [job_of(row) for row in rows]

        async def process() -> Response:
            if (refused := self.keys.refuse(request, ",".join(query.endpoint_id))) is not None:
                return refused
            now = time.time()
            items = [_item(job, query.with_payloads and self.kept.shows_payloads(job, now)) for job in jobs]
            cursor = cursor_of(query.page + 1) if has_more else None
            return JSONResponse({"items": items, "next_cursor": cursor, "has_more": has_more})

        return await self.gate.exchange("history", [Subject(job.prompt, f"history:{job.id}") for job in jobs], process)

    def _page(self, query: HistoryQuery) -> tuple[list[sqlite3.Row], bool]:
        """Read a page by its number. Rows shift if a request starts or ends between two pages, as at fal (N8)."""
        conditions, values = query.conditions(self.lag)
        sql = (
            f"SELECT * FROM requests WHERE {' AND '.join(conditions)}"  # noqa: S608
            f" ORDER BY {SORT_KEY[query.sort_by]} DESC, seq DESC LIMIT ? OFFSET ?"
        )
        rows = self.database.rows(sql, *values, query.limit + 1, query.page * query.limit)
        return rows[: query.limit], len(rows) > query.limit


def _item(job: Job, with_payloads: bool) -> dict[str, Any]:
    """Return a row. Every row needs a start: one that ended before it started has its end there."""
    started_at = job.started_at if job.started_at is not None else job.ended_at
    ended = job.ended_at is not None and started_at is not None
    item = {
        "request_id": job.id,
        "endpoint_id": job.submission.endpoint,
        "started_at": None if started_at is None else timestamp(started_at),
        "sent_at": timestamp(job.sent_at),
        "ended_at": None if job.ended_at is None else timestamp(job.ended_at),
        "status_code": None if job.outcome is None else job.outcome.status_code,
        "duration": (job.ended_at or 0) - (started_at or 0) if ended else None,
    }
    if with_payloads:
        item |= {
            "json_input": job.submission.input,
            "json_output": None if job.outcome is None else job.outcome.body,
        }
    return item
