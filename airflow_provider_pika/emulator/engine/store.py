"""The requests in the database: their order, their moves from state to state, their logs."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import AbstractContextManager

from airflow_provider_pika.emulator.data_folder import Database
from airflow_provider_pika.emulator.engine.changes import QUEUE, Changes
from airflow_provider_pika.emulator.engine.records import Job, Outcome, State, Submission, job_of, new_request_id
from airflow_provider_pika.emulator.faults.catalogue import Fault

#: Seconds that a log line is visible. fal's logs are a moving window (2.2) of a length that is not established.
LOG_WINDOW = 10.0


class Store:
    """The requests in the database, and their moves between states. ``changes`` tells of every move and log line."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self.changes = Changes()

    def transaction(self) -> AbstractContextManager[None]:
        """Keep all that is written inside, or nothing of it."""
        return self._db.transaction()

    def add(self, submission: Submission, state: State = "IN_QUEUE") -> Job:
        """Accept a request. Two equal submissions are two requests, as at fal (3)."""
        now = time.time()
        values = {
            "id": new_request_id(now),
            "endpoint": submission.endpoint,
            "origin": submission.origin,
            "body": submission.body,
            "prompt": submission.prompt,
            "via": submission.via,
            "low_priority": submission.low_priority,
            "keep_io": submission.keep_io,
            "no_retry": submission.no_retry,
            "webhook": submission.webhook,
            "tags": json.dumps(submission.tags),
            "state": state,
            "sent_at": now,
            "start_by": None if submission.start_after is None else now + submission.start_after,
        }
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        self._db.execute(f"INSERT INTO requests ({names}) VALUES ({marks})", *values.values())  # noqa: S608
        self.changes.tell(QUEUE)
        return self.get(str(values["id"]))

    def find(self, request_id: str) -> Job | None:
        """Return the request of this id, or None."""
        row = self._db.row("SELECT * FROM requests WHERE id = ?", request_id)
        return None if row is None else job_of(row)

    def get(self, request_id: str) -> Job:
        """Return the request of this id. Raises `KeyError` if there is none."""
        if (job := self.find(request_id)) is None:
            raise KeyError(request_id)
        return job

    def by_file(self, file: str) -> Job | None:
        """Return the request whose result is this file, or None."""
        row = self._db.row("SELECT * FROM requests WHERE file = ?", file)
        return None if row is None else job_of(row)

    def all(self, prompt: str = "", since: float = 0.0) -> list[Job]:
        """Return the requests with this in their prompt, sent at ``since`` (unix seconds) or later, oldest first."""
        rows = self._db.rows("SELECT * FROM requests WHERE sent_at >= ? ORDER BY seq", since)
        return [job_of(row) for row in rows if prompt in row["prompt"]]

    def queue_length(self) -> int:
        """Return how many requests wait."""
        row = self._db.row("SELECT COUNT(*) FROM requests WHERE state = 'IN_QUEUE'")
        return int(row[0]) if row else 0

    def position(self, job: Job) -> int:
        """Return how many requests wait ahead of this one: 0 is the next (2.2)."""
        row = self._db.row(
            "SELECT COUNT(*) FROM requests WHERE state = 'IN_QUEUE' AND (low_priority, seq) < (?, ?)",
            job.submission.low_priority,
            job.seq,
        )
        return int(row[0]) if row else 0

    def claim(self) -> Job | None:
        """Return the next request in line, or None. Those of normal priority come first, then the oldest."""
        row = self._db.row(
            "SELECT id FROM requests WHERE state = 'IN_QUEUE' AND not_before <= ? ORDER BY low_priority, seq",
            time.time(),
        )
        return None if row is None else self.get(row["id"])

    def start(self, job: Job, faults: list[Fault]) -> Job:
        """Note that a runner has the request, and the faults it runs under."""
        self._db.execute(
            "UPDATE requests SET state = 'IN_PROGRESS', started_at = ?, attempts = attempts + 1, faults = ?"
            " WHERE id = ?",
            time.time(),
            json.dumps([fault.model_dump(exclude_unset=True) for fault in faults]),
            job.id,
        )
        self.changes.tell(job.id, QUEUE)
        return self.get(job.id)

    def requeue(self, job: Job, pause: float) -> None:
        """Put a running request back in its old place. No runner takes it for ``pause`` seconds; the id stays (3)."""
        self._db.execute(
            "UPDATE requests SET state = 'IN_QUEUE', started_at = NULL, not_before = ? WHERE id = ?",
            time.time() + pause,
            job.id,
        )
        self.changes.tell(job.id, QUEUE)

    def finish(self, job: Job, outcome: Outcome, file: str | None = None) -> Job:
        """Note the outcome of the request."""
        self._db.execute(
            "UPDATE requests SET state = 'COMPLETED', ended_at = ?, outcome = ?, status_code = ?, file = ?"
            " WHERE id = ? AND state != 'COMPLETED'",
            time.time(),
            json.dumps(outcome.__dict__),
            outcome.status_code,
            file,
            job.id,
        )
        self.changes.tell(job.id, QUEUE)
        return self.get(job.id)

    def overdue(self) -> list[Job]:
        """Return the waiting requests whose start deadline has passed."""
        # This is asked ten times a second at least. Without the index, SQLite reads all that wait, deadline or none.
        table = "requests INDEXED BY requests_by_deadline"
        query = f"SELECT * FROM {table} WHERE state = 'IN_QUEUE' AND start_by < ?"  # noqa: S608
        return [job_of(row) for row in self._db.rows(query, time.time())]

    def running(self) -> list[Job]:
        """Return the requests that a runner has, or had when the process died."""
        return [job_of(row) for row in self._db.rows("SELECT * FROM requests WHERE state = 'IN_PROGRESS'")]

    def log(self, request_id: str, message: str, level: str = "INFO") -> None:
        """Add a line to the request's log."""
        self._db.execute("INSERT INTO logs VALUES (?, ?, ?, ?)", request_id, time.time(), level, message)
        self.changes.tell(request_id)

    def logs(self, job: Job, after: int = 0) -> list[sqlite3.Row]:
        """Return the visible log lines with ``number`` above ``after``. The window stops when the request ends."""
        since = (job.ended_at or time.time()) - LOG_WINDOW
        query = "SELECT rowid AS number, * FROM logs WHERE request_id = ? AND at > ? AND rowid > ? ORDER BY rowid"
        return self._db.rows(query, job.id, since, after)
