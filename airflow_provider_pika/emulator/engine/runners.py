"""The runners: at most N requests at once, taken from the queue in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from airflow_provider_pika.emulator.engine import errors
from airflow_provider_pika.emulator.engine.books import Books
from airflow_provider_pika.emulator.engine.generation import Generator, Made, RequeueError
from airflow_provider_pika.emulator.engine.records import Job, Outcome
from airflow_provider_pika.emulator.engine.store import Store
from airflow_provider_pika.emulator.faults.registry import FaultRegistry

logger = logging.getLogger(__name__)

#: Seconds between two checks of the queue when nothing else wakes the runners. A start deadline is as exact.
CHECK_EVERY = 0.1

#: Seconds before a requeued request may start again. fal's backoff is not established.
REQUEUE_PAUSE = 1.0


class Runners:
    """Claims requests, runs them, and ends them. Whatever ends a request ends it here."""

    def __init__(
        self,
        store: Store,
        faults: FaultRegistry,
        generator: Generator,
        books: Books,
        announce: Callable[[Job], None],
        capacity: int,
    ) -> None:
        self._store = store
        self._faults = faults
        self._generator = generator
        self._books = books
        self._announce = announce
        self._capacity = capacity
        self._running: dict[str, asyncio.Task[None]] = {}
        self._cancelled: dict[str, Outcome] = {}
        self._woken = asyncio.Event()

    @property
    def full(self) -> bool:
        """Tell whether as many requests run as may run at once."""
        return len(self._running) >= self._capacity

    def wake(self) -> None:
        """Look for new requests in the queue now."""
        self._woken.set()

    async def serve(self) -> None:
        """Take requests from the queue until cancelled. Then stop what runs; the next start runs it again."""
        self._recover()
        try:
            while True:
                self._expire()
                while not self.full and (job := self._store.claim()) is not None:
                    self._take(job)
                self._woken.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), CHECK_EVERY)
        finally:
            tasks = list(self._running.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._generator.close()

    async def run_now(self, job: Job) -> Job:
        """Run a synchronous request without queueing, and return it as it ended."""
        self._take(job)
        if (task := self._running.get(job.id)) is not None:
            await asyncio.wait([task])
        return self._store.get(job.id)

    def cancel(self, job: Job, outcome: Outcome | None = None) -> None:
        """Take a request out of the queue, or signal its runner, which stops unless ``ignore_cancel`` is set."""
        if job.state == "IN_QUEUE":
            self._end(job, Made(errors.cancelled_in_queue()))
        elif not job.fault("ignore_cancel") and (task := self._running.get(job.id)) is not None:
            self._cancelled[job.id] = outcome or errors.cancelled_while_running()
            task.cancel()

    def _recover(self) -> None:
        """Put back what a runner had when the process died, and end what a synchronous caller had waited for."""
        for job in self._store.running():
            if job.submission.via == "queue":
                self._store.requeue(job, pause=0)
            else:
                self._end(job, Made(errors.client_disconnected()))

    def _expire(self) -> None:
        for job in self._store.overdue():
            self._end(job, Made(errors.start_timeout()))

    def _take(self, job: Job) -> None:
        faults = list(job.faults) if job.attempts else self._faults.for_request(job.prompt)
        job = self._store.start(job, faults)
        if job.fault("start_timeout"):
            self._end(job, Made(errors.start_timeout()))
            return
        task = asyncio.create_task(self._run(job), name=job.id)
        self._running[job.id] = task
        # A `finally` in the task would not do: a task that is cancelled before its first step never gets there.
        task.add_done_callback(lambda _: self._settle(job))

    async def _run(self, job: Job) -> None:
        try:
            self._end(job, await self._generator.make(job))
        except RequeueError:
            self._requeue(job)
        except Exception:
            logger.exception("request %s broke its runner", job.id)
            self._end(job, Made(errors.runner_broke()))

    def _requeue(self, job: Job) -> None:
        if job.submission.via == "run" or job.submission.no_retry:  # without a queue nothing is tried again (2.6)
            self._end(job, Made(errors.runner_disconnected()))
            return
        self._store.log(job.id, "Runner disconnected, requeueing", "WARN")
        self._store.requeue(job, REQUEUE_PAUSE)

    def _settle(self, job: Job) -> None:
        """Clean up after a task. One without an outcome was cancelled by a caller, or the emulator stops."""
        del self._running[job.id]
        outcome = self._cancelled.pop(job.id, None)
        if outcome is not None and self._store.get(job.id).state != "COMPLETED":
            self._end(job, Made(outcome))
        self.wake()

    def _end(self, job: Job, made: Made) -> None:
        with self._store.transaction():
            ended = self._store.finish(job, made.outcome, made.file)
            self._books.enter(ended)
            self._announce(ended)
