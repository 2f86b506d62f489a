"""The queue: submit, status, status stream, result, cancel (fal-protocol.md 2.1 to 2.5)."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.responses import JSONResponse, Response, StreamingResponse

from airflow_provider_pika.emulator.api import wire
from airflow_provider_pika.emulator.api.gate import Gate, Tally, refused
from airflow_provider_pika.emulator.api.submission import (
    read_submission,
    refuse_long_queue,
    refuse_submission,
    unknown_app,
)
from airflow_provider_pika.emulator.engine.changes import QUEUE
from airflow_provider_pika.emulator.engine.endpoints import APP, EndpointId
from airflow_provider_pika.emulator.engine.records import Job, Retention, Submission
from airflow_provider_pika.emulator.engine.runners import Runners
from airflow_provider_pika.emulator.engine.store import Store
from airflow_provider_pika.emulator.faults.catalogue import Operation, unknown_directives
from airflow_provider_pika.emulator.faults.registry import FaultRegistry, Subject, body_key
from airflow_provider_pika.emulator.http.routing import ANY_METHOD

logger = logging.getLogger(__name__)

#: Seconds that a stream waits after a change of the queue before it sends the new position.
QUEUE_MOVES = 0.1

#: Seconds of silence after which a stream sends a comment.
KEEP_ALIVE = 15.0


class PlainRoute(APIRoute):
    """A route whose function takes the request and returns the response.

    FastAPI's reading of parameters costs more than most answers do, and these calls are made by the thousand.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function itself."""
        handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return handler


@dataclass(frozen=True)
class QueueApi:
    """The queue's HTTP side."""

    store: Store
    runners: Runners
    faults: FaultRegistry
    gate: Gate
    tally: Tally
    keys: wire.Keys
    kept: Retention

    def router(self) -> APIRouter:
        """Return the routes. A request's URLs name the app alone: the endpoint's whole path there is a 405 (N1)."""
        router = APIRouter(route_class=PlainRoute)
        base = f"/{APP}/requests/{{request_id}}"
        router.add_api_route(f"{base}/status/stream", self.stream, methods=["GET"])
        router.add_api_route(f"{base}/status", self.status, methods=["GET"])
        router.add_api_route(f"{base}/cancel", self.cancel, methods=["PUT"])
        router.add_api_route(base, self.result, methods=["GET"])
        router.add_api_route("/{app:path}/requests/{rest:path}", self.misplaced, methods=ANY_METHOD)
        router.add_api_route("/{endpoint:path}", self.submit, methods=["POST"])
        return router

    async def submit(self, request: Request) -> Response:
        """Accept a request as it is. Its input is checked when it runs, not now (2.1)."""
        self.tally.add("submit.received")
        submission = await read_submission(request, "queue")

        async def process() -> Response:
            no_entry = refuse_submission(request, self.keys, submission)
            no_entry = no_entry or refuse_long_queue(request, self.store.queue_length)
            if no_entry is not None:
                self.tally.add("submit.refused")
                return no_entry
            job = self.store.add(submission)
            self.tally.add("submit.accepted")
            self.runners.wake()
            for text in unknown_directives(job.prompt):
                logger.warning("request %s: %s is no fault, and stays text", job.id, text)
            body = wire.status_body(job, self.store, submission.origin, None)
            return JSONResponse(body, headers={"x-fal-request-id": job.id})

        return await self.gate.exchange("submit", [subject_of(submission)], process)

    async def status(self, request: Request) -> Response:
        """Answer 202 until the request is completed, then 200 (0.1)."""

        async def process(job: Job) -> Response:
            entries = wire.log_entries(self.store.logs(job)) if _with_logs(request) else None
            body = wire.status_body(job, self.store, wire.origin_of(request), entries)
            return JSONResponse(body, 200 if job.state == "COMPLETED" else 202)

        return await self._about("status", request, process)

    async def stream(self, request: Request) -> Response:
        """Send events until the request is completed (2.3, N3)."""

        async def process(job: Job) -> Response:
            events = self._events(job, wire.origin_of(request), _with_logs(request))
            return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})

        return await self._about("stream", request, process)

    async def result(self, request: Request) -> Response:
        """Return the outcome, verbatim, for as long as it is kept (2.4)."""

        async def process(job: Job) -> Response:
            if job.outcome is None or job.ended_at is None:
                return JSONResponse({"detail": "Request is still in progress"}, 400, {"x-fal-request-id": job.id})
            if job.fault("expire") or time.time() > job.ended_at + self.kept.of_result(job, job.outcome):
                return wire.not_found()
            self.faults.forget(body_key(job.submission.endpoint, job.submission.body))
            return wire.result(job, job.outcome)

        return await self._about("result", request, process)

    async def cancel(self, request: Request) -> Response:
        """Take a waiting request out of the queue, or ask a running one to stop: it may still end well (2.5, N4)."""

        async def process(job: Job) -> Response:
            if job.state == "COMPLETED":
                return JSONResponse({"status": "ALREADY_COMPLETED"}, 400)
            self.runners.cancel(job)
            if job.state == "IN_QUEUE":
                # N4 [DOC] has the word. That its status is 200 is a reading of the page.
                return JSONResponse({"status": "OK"}, 200)
            return JSONResponse({"status": "CANCELLATION_REQUESTED"}, 202)

        return await self._about("cancel", request, process)

    async def misplaced(self, request: Request) -> Response:
        """Refuse a request's URL that no operation has.

        It has an endpoint's path in it, ``/response``, or another method. That fal answers 405 is [OBS] for whole paths
        (N1), and [3P] for ``/response`` (N2). The methods and the body are not established. Here all methods are
        refused, POST too: it would be a paid submission to an endpoint of that name. The body is that of a FastAPI app.
        The 405 comes before the key and the id are checked.
        """
        app = EndpointId.parse(request.path_params["app"])
        return refused(405) if app.is_known_app else unknown_app(app)

    async def _about(
        self,
        operation: Operation,
        request: Request,
        process: Callable[[Job], Awaitable[Response]],
    ) -> Response:
        """Do what these operations share: count, let faults strike, check the key, answer 404 for an unknown id."""
        self.tally.add(operation)
        job = self.store.find(request.path_params["request_id"])

        async def checked() -> Response:
            no_entry = self.keys.refuse(request, APP)
            # An unknown id is a 404 for a caller without any key too, as a probe of fal showed (2.2).
            if no_entry is not None and (job is not None or "authorization" in request.headers):
                return no_entry
            return wire.not_found() if job is None else await process(job)

        subjects = [] if job is None else [Subject(job.prompt, f"{operation}:{job.id}")]
        return await self.gate.exchange(operation, subjects, checked)

    async def _events(self, job: Job, origin: str, with_logs: bool) -> AsyncIterator[str]:
        """Yield an event for each change, with the log lines that are new since the last event (2.3)."""
        sent, seen, spoke = "", 0, time.monotonic()
        with self.store.changes.watch() as watch:
            while True:
                job = self.store.get(job.id)
                waits = job.state == "IN_QUEUE"
                watch.follow({job.id, QUEUE} if waits else {job.id})
                rows = self.store.logs(job, after=seen) if with_logs else []
                seen = max([seen, *(row["number"] for row in rows)])
                body = wire.status_body(job, self.store, origin, None)
                if rows or json.dumps(body) != sent:
                    sent, spoke = json.dumps(body), time.monotonic()
                    yield f"data: {json.dumps({**body, 'logs': wire.log_entries(rows) if with_logs else None})}\n\n"
                elif time.monotonic() - spoke >= KEEP_ALIVE:
                    spoke = time.monotonic()
                    yield ": keep-alive\n\n"
                if job.state == "COMPLETED":
                    return
                await watch.wait(spoke + KEEP_ALIVE - time.monotonic())
                await asyncio.sleep(QUEUE_MOVES if waits else 0)


def subject_of(submission: Submission) -> Subject:
    """Return the subject that counts a submission's faults before there is a request id."""
    return Subject(submission.prompt, body_key(submission.endpoint, submission.body))


def _with_logs(request: Request) -> bool:
    """Tell whether ``logs`` is 1 or true; it may be 0 or false, too (2.2)."""
    return request.query_params.get("logs", "0").lower() in {"1", "true"}
