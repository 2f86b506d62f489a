"""The synchronous host, fal.run: the same path, the result inline (fal-protocol.md 2.6)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from airflow_provider_pika.emulator.api import wire
from airflow_provider_pika.emulator.api.gate import Gate, Tally
from airflow_provider_pika.emulator.api.queue import subject_of
from airflow_provider_pika.emulator.api.submission import read_submission, refuse_submission
from airflow_provider_pika.emulator.engine import errors
from airflow_provider_pika.emulator.engine.records import Job, Submission
from airflow_provider_pika.emulator.engine.runners import Runners
from airflow_provider_pika.emulator.engine.store import Store
from airflow_provider_pika.emulator.http.transport import Dropped, client_gone


@dataclass(frozen=True)
class RunApi:
    """The run host's HTTP side."""

    store: Store
    runners: Runners
    gate: Gate
    tally: Tally
    keys: wire.Keys

    def router(self) -> APIRouter:
        """Return the one route. Everything else is a 404 or 405."""
        router = APIRouter()
        router.add_api_route("/{endpoint:path}", self.run, methods=["POST"])
        return router

    async def run(self, request: Request) -> Response:
        """Run at once and answer with the outcome, whatever it is."""
        self.tally.add("run.received")
        submission = await read_submission(request, "run")

        async def process() -> Response:
            refused = refuse_submission(request, self.keys, submission) or self._refuse_if_full()
            if refused is not None:
                self.tally.add("run.refused")
                return refused
            self.tally.add("run.accepted")
            return await self._run(request, submission)

        return await self.gate.exchange("run", [subject_of(submission)], process)

    def _refuse_if_full(self) -> Response | None:
        """Return a 429 if as many requests run as may run at once: there is no queue to wait in (3)."""
        if not self.runners.full:
            return None
        entry = errors.detail(["body"], "Too many concurrent requests.", "concurrent_requests_limit")
        outcome = errors.model_error(429, entry, retryable=True)
        return JSONResponse(outcome.body, outcome.status_code, outcome.headers)

    async def _run(self, request: Request, submission: Submission) -> Response:
        """Run the request. A client that hangs up cancels it."""
        job = self.store.add(submission, state="IN_PROGRESS")
        running = asyncio.ensure_future(self.runners.run_now(job))
        gone = asyncio.ensure_future(client_gone(request.receive))
        await asyncio.wait([running, gone], return_when=asyncio.FIRST_COMPLETED)
        if gone.done() and not running.done():
            self.runners.cancel(self.store.get(job.id), errors.client_disconnected())
        gone.cancel()
        done: Job = await running
        return Dropped() if done.outcome is None else wire.result(done, errors.on_the_run_host(done.outcome))
