"""The parts put together: one ASGI app for both ports."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping

from fastapi import APIRouter, FastAPI
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from airflow_provider_pika.emulator.api.admin import AdminApi
from airflow_provider_pika.emulator.api.files import FileLog, FilesApi
from airflow_provider_pika.emulator.api.gate import Gate, Tally
from airflow_provider_pika.emulator.api.platform import PlatformApi
from airflow_provider_pika.emulator.api.queue import QueueApi
from airflow_provider_pika.emulator.api.run import RunApi
from airflow_provider_pika.emulator.api.webhook_signing import Signer
from airflow_provider_pika.emulator.api.webhooks import Webhooks
from airflow_provider_pika.emulator.api.wire import Keys
from airflow_provider_pika.emulator.data_folder import Database
from airflow_provider_pika.emulator.engine.generation import Generator
from airflow_provider_pika.emulator.engine.records import Retention
from airflow_provider_pika.emulator.engine.rendering import Renderer, StandIn
from airflow_provider_pika.emulator.engine.runners import Runners
from airflow_provider_pika.emulator.engine.store import Store
from airflow_provider_pika.emulator.faults.registry import FaultRegistry
from airflow_provider_pika.emulator.http.hosts import ServedHosts
from airflow_provider_pika.emulator.options import Options

logger = logging.getLogger(__name__)


class ByPort:
    """
    Hands a request to the app of the port that it came to: fal.run and queue.fal.run have the same paths on two hosts.

    A trailing slash is dropped on the way, since fal takes both forms (fal-protocol.md 1.3). A client that goes away
    while it sends its body is nobody's error.
    """

    def __init__(self, default: ASGIApp, others: Mapping[int, ASGIApp]) -> None:
        self._default = default
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI; the lifespan goes to the default app."""
        app = self._default
        if scope["type"] == "http":
            app = self._others.get(scope["server"][1], app)
            scope["path"] = scope["path"].rstrip("/") or "/"
        with contextlib.suppress(ClientDisconnect):
            await app(scope, receive, send)


def create_app(options: Options, database: Database, run_port: int) -> ASGIApp:
    """The whole emulator. ``run_port`` is the port that the run host really got."""
    files = options.data / "files"
    keys, store, tally, faults = Keys(options.keys), Store(database), Tally(database), FaultRegistry(database)
    gate = Gate(faults, tally)
    kept = Retention(options.result_ttl, options.payload_ttl)
    signer = Signer.load(options.data / "webhook-key.pem")
    webhooks = Webhooks(database, signer, kept, anywhere=options.webhooks_anywhere)
    drawing = Renderer(store.log, options.runners) if options.render else StandIn(files)
    generator = Generator(files, options.pace, store.log, drawing)
    runners = Runners(store, faults, generator, webhooks.announce, options.runners)
    files_api = FilesApi(store, gate, tally, FileLog(), files)

    queue = _api(
        AdminApi(store, faults, tally, files_api.log).router(),
        PlatformApi(database, gate, tally, keys, options.history_lag, kept).router(),
        webhooks.router(),
        files_api.router(),
        QueueApi(store, runners, faults, gate, tally, keys, kept).router(),
        background=(runners, webhooks),
    )
    run = _api(files_api.router(), RunApi(store, runners, gate, tally, keys).router())
    return ServedHosts(ByPort(queue, {run_port: run}), [options.host, *options.allowed_hosts])


def _report(task: asyncio.Task[None]) -> None:
    """Without its runners the emulator would accept requests and never run one: better said than guessed at."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("the emulator's background work has stopped; restart it", exc_info=error)


def _api(*routers: APIRouter, background: tuple[Runners | Webhooks, ...] = ()) -> FastAPI:
    """An app of these routers, in this order: the queue's routes take every path and so come last."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(part.serve()) for part in background]
        for task in tasks:
            task.add_done_callback(_report)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    app = FastAPI(openapi_url=None, redirect_slashes=False, lifespan=lifespan)
    for router in routers:
        app.include_router(router)
    return app
