"""A request as it was submitted, as it stands, its outcome, and how long that is kept."""

from __future__ import annotations

import json
import secrets
import sqlite3
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from pydantic_core import from_json

from airflow_provider_pika.emulator.faults.catalogue import Fault

#: fal has these three states and no other (fal-protocol.md 2.2).
State = Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]

Via = Literal["queue", "run"]


@dataclass(frozen=True)
class Outcome:
    """What the result call answers. ``error`` and ``error_type`` are for infrastructure failures only (2.2, 4.2)."""

    status_code: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    error: str | None = None
    error_type: str | None = None

    @property
    def ok(self) -> bool:
        """Tell whether this is the model's output."""
        return self.status_code == 200


@dataclass(frozen=True)
class Submission:
    """A request as it was submitted. ``start_after`` is the caller's start timeout, in seconds."""

    endpoint: str
    origin: str
    body: bytes
    via: Via = "queue"
    low_priority: bool = False
    keep_io: bool = True
    no_retry: bool = False
    webhook: str | None = None
    start_after: float | None = None
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def input(self) -> Any:
        """Return the body as JSON, or None. NaN and Infinity are refused, since this is sent out as JSON again."""
        try:
            return from_json(self.body, allow_inf_nan=False)
        except ValueError:
            return None

    @property
    def prompt(self) -> str:
        """Return the prompt, or an empty string if the body has none."""
        prompt = self.input.get("prompt") if isinstance(self.input, dict) else None
        return prompt if isinstance(prompt, str) else ""


@dataclass(frozen=True)
class Job:
    """A request as it stands; ``Request`` is the HTTP one. Times are unix seconds."""

    seq: int
    id: str
    submission: Submission
    prompt: str
    state: State
    sent_at: float
    started_at: float | None
    ended_at: float | None
    attempts: int
    faults: tuple[Fault, ...]
    outcome: Outcome | None
    file: str | None

    def fault(self, name: str) -> Fault | None:
        """Return the generation fault of this name that the request runs under, or None."""
        return next((fault for fault in self.faults if fault.fault == name), None)


#: A result of so many bytes is kept for a shorter time. fal's "10 KB" may be 10240 of them.
LARGE = 10_000

#: Of the time that other results are kept: six minutes of an hour.
SHARE_OF_LARGE = 0.1


@dataclass(frozen=True)
class Retention:
    """How long an outcome is kept, in seconds from the end of its request (fal-protocol.md N6).

    :param results: in the queue, for all requests.
    :param payloads: in the payload storage, for requests that do not forbid it with ``X-Fal-Store-IO: 0``.
    """

    results: float
    payloads: float

    def of_queue(self, outcome: Outcome) -> float:
        """Return for how long the queue has the result. A webhook is tried for as long (5)."""
        large = len(json.dumps(outcome.body).encode()) >= LARGE
        return self.results * SHARE_OF_LARGE if large else self.results

    def of_result(self, job: Job, outcome: Outcome) -> float:
        """Return for how long the result call answers: a stored result, for as long as it is stored."""
        kept = self.of_queue(outcome)
        return max(kept, self.payloads) if job.submission.keep_io else kept

    def shows_payloads(self, job: Job, now: float) -> bool:
        """Tell whether the request history still has input and output."""
        return job.submission.keep_io and (job.ended_at is None or now <= job.ended_at + self.payloads)


def new_request_id(now: float) -> str:
    """Return a UUID of version 7, as fal's are since 2026 (1.3). They sort by time."""
    value = int(now * 1000) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    return str(UUID(int=value & ~(0x3 << 62) | 0x2 << 62))


def job_of(row: sqlite3.Row) -> Job:
    """Return a row of the table ``requests`` as a `Job`."""
    submission = Submission(
        endpoint=row["endpoint"],
        origin=row["origin"],
        body=row["body"],
        via=row["via"],
        low_priority=bool(row["low_priority"]),
        keep_io=bool(row["keep_io"]),
        no_retry=bool(row["no_retry"]),
        webhook=row["webhook"],
        tags=json.loads(row["tags"]),
    )
    return Job(
        seq=row["seq"],
        id=row["id"],
        submission=submission,
        prompt=row["prompt"],
        state=row["state"],
        sent_at=row["sent_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        attempts=row["attempts"],
        faults=tuple(Fault.model_validate(fault) for fault in json.loads(row["faults"])),
        outcome=None if row["outcome"] is None else Outcome(**json.loads(row["outcome"])),
        file=row["file"],
    )
