"""How long what came of a request is kept (fal-protocol.md N6)."""

from __future__ import annotations

import json
from dataclasses import dataclass

from airflow_provider_pika.emulator.records import Job, Outcome

LARGE = 10_000
"""Bytes of a result from which on it is kept for a shorter time. fal's "10 KB" may be 10240 of them."""

SHARE_OF_LARGE = 0.1
"""Of the time that other results are kept: six minutes of an hour."""


@dataclass(frozen=True)
class Retention:
    """In seconds from the end of a request.

    :param results: in the queue, for all requests.
    :param payloads: in the payload storage, for those that do not forbid it with ``X-Fal-Store-IO: 0``.
    """

    results: float
    payloads: float

    def of_queue(self, outcome: Outcome) -> float:
        """For how long the queue itself has it; for as long, a webhook is tried (5)."""
        large = len(json.dumps(outcome.body).encode()) >= LARGE
        return self.results * SHARE_OF_LARGE if large else self.results

    def of_result(self, job: Job, outcome: Outcome) -> float:
        """For how long the result call answers: a stored result stays as long as the storage keeps it."""
        kept = self.of_queue(outcome)
        return max(kept, self.payloads) if job.submission.keep_io else kept

    def shows_payloads(self, job: Job, now: float) -> bool:
        """Whether the request history still has input and output."""
        return job.submission.keep_io and (job.ended_at is None or now <= job.ended_at + self.payloads)
