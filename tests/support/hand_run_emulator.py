"""The emulator's own API in this process, for requests that move only when a test says so.

It has the rules of the real one, since it is the same code: no check at submit, no deduplication, a history that lists
what has started. Only the runners are missing. A test's ``wire`` decides what happens to each call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
from fastapi import FastAPI
from hypothesis import strategies as st

from airflow_provider_pika.emulator.api.gate import Gate, Tally
from airflow_provider_pika.emulator.api.platform import PlatformApi
from airflow_provider_pika.emulator.api.queue import QueueApi
from airflow_provider_pika.emulator.api.wire import Keys
from airflow_provider_pika.emulator.data_folder import Database
from airflow_provider_pika.emulator.engine import errors
from airflow_provider_pika.emulator.engine.records import Job, Outcome, Retention
from airflow_provider_pika.emulator.engine.store import Store
from airflow_provider_pika.emulator.faults.registry import FaultRegistry

URL = "http://fal.test"
FAR_BEHIND = 1e9
KEPT = Retention(results=1e9, payloads=1e9)

#: What befalls a call: it is given the request and the means to have it processed, and answers, or raises.
Wire = Callable[[httpx.Request, Callable[[], httpx.Response]], httpx.Response]

VIDEO = Outcome(200, {"video": {"url": f"{URL}/files/clip.mp4"}})

#: How a request may end.
OUTCOMES: dict[str, Outcome] = {
    "video": VIDEO,
    "may pass": errors.runner_disconnected(),
    "never passes": errors.content_policy_violation("a fox"),
    "cancelled": errors.cancelled_in_queue(),
}

#: The endings after which another request is right.
MAY_BE_REPLACED = {"may pass", "cancelled"}

#: What befalls a submit on its way, and how the history is then; most are well.
SUBMIT_FAULTS = st.sampled_from(["none", "none", "none", "reply lost", "request lost", "refused", "gateway"])
HISTORIES = st.sampled_from(["up", "up", "lags", "down"])


class _Unread(httpx.SyncByteStream):
    """A body as it comes over the wire. ``httpx.Response`` with bytes cannot be read as a stream."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content


class HandRunEmulator(httpx.BaseTransport):
    """A transport for a ``FalQueue``. While ``history_lags`` is set, the history is empty."""

    def __init__(self, folder: Path, wire: Wire) -> None:
        self._database = Database(folder)
        self.store = Store(self._database)
        self.history_lags = False
        self._wire = wire
        self._loop = asyncio.new_event_loop()
        self._apps = {lags: self._app(FAR_BEHIND if lags else 0.0) for lags in (False, True)}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Process a request in the way that the wire lets it through."""
        answer = self._wire(request, lambda: self._loop.run_until_complete(self._process(request)))
        return httpx.Response(answer.status_code, headers=answer.headers, stream=_Unread(answer.content))

    def close(self) -> None:
        """Do nothing. It outlives the clients that use it; see :meth:`end`."""

    def end(self) -> None:
        """Close the database and the event loop."""
        self._database.close()
        self._loop.close()

    def jobs(self) -> list[Job]:
        """Return every accepted request, oldest first."""
        return self.store.all()

    def start(self, job: Job) -> None:
        """Let a runner take the request."""
        self.store.start(job, [])

    def finish(self, job: Job, outcome: Outcome) -> None:
        """End the request with this outcome."""
        self.store.finish(self.store.start(job, []) if job.started_at is None else job, outcome)

    def forget(self, job: Job) -> None:
        """Drop the request from the queue and from the history, as fal does in the end."""
        self._database.execute("DELETE FROM requests WHERE id = ?", job.id)

    def wake(self) -> None:
        """Do nothing: no runner waits for work."""

    def cancel(self, job: Job) -> None:
        """Take a request out of the queue; stop a running one."""
        waits = job.state == "IN_QUEUE"
        self.store.finish(job, errors.cancelled_in_queue() if waits else errors.cancelled_while_running())

    async def _process(self, request: httpx.Request) -> httpx.Response:
        transport = httpx.ASGITransport(self._apps[self.history_lags])
        answer = await transport.handle_async_request(request)
        content = await answer.aread()
        return httpx.Response(answer.status_code, headers=answer.headers, content=content)

    def _app(self, lag: float) -> FastAPI:
        faults, tally, keys = FaultRegistry(self._database), Tally(self._database), Keys()
        gate = Gate(faults, tally)
        app = FastAPI(openapi_url=None, redirect_slashes=False)
        app.include_router(PlatformApi(self._database, gate, tally, keys, lag, KEPT).router())
        queue = QueueApi(self.store, self, faults, gate, tally, keys, KEPT)  # type: ignore[arg-type]
        app.include_router(queue.router())
        return app
