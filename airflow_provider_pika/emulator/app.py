"""All parts put together: one ASGI app for both ports and for all of fal's hosts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from airflow_provider_pika.emulator.api.admin import AdminApi
from airflow_provider_pika.emulator.api.billing import BillingApi
from airflow_provider_pika.emulator.api.files import FileLog, FilesApi
from airflow_provider_pika.emulator.api.gate import Gate, Tally
from airflow_provider_pika.emulator.api.platform import PlatformApi
from airflow_provider_pika.emulator.api.pricing import PricingApi
from airflow_provider_pika.emulator.api.queue import QueueApi
from airflow_provider_pika.emulator.api.run import RunApi
from airflow_provider_pika.emulator.api.webhook_signing import Signer
from airflow_provider_pika.emulator.api.webhooks import Webhooks
from airflow_provider_pika.emulator.api.wire import Keys
from airflow_provider_pika.emulator.data_folder import Database
from airflow_provider_pika.emulator.engine.books import Books
from airflow_provider_pika.emulator.engine.generation import Generator
from airflow_provider_pika.emulator.engine.prices import Prices
from airflow_provider_pika.emulator.engine.records import Retention
from airflow_provider_pika.emulator.engine.rendering import Renderer, StandIn
from airflow_provider_pika.emulator.engine.runners import Runners
from airflow_provider_pika.emulator.engine.store import Store
from airflow_provider_pika.emulator.faults.registry import FaultRegistry
from airflow_provider_pika.emulator.http.hosts import (
    MEDIA_HOSTS,
    PLATFORM_HOST,
    QUEUE_HOSTS,
    REST_HOST,
    RUN_HOSTS,
    ServedHosts,
)
from airflow_provider_pika.emulator.http.routing import Router, not_served
from airflow_provider_pika.emulator.options import Options

logger = logging.getLogger(__name__)

#: What the emulator has of fal's Platform API, for the answer to everything else there.
PLATFORM = (
    "of fal's Platform API it has GET requests/by-endpoint, pricing, billing-events and usage below /v1/models, "
    "POST /v1/models/pricing/estimate and GET /v1/account/billing only"
)
#: Where to find what the queue's own host does not have.
ELSEWHERE = f"fal's Platform API is at https://{PLATFORM_HOST}/v1"
#: What it has of fal's REST API.
REST = f"of {REST_HOST} it has GET /.well-known/jwks.json only"
#: What it has of fal's file hosts.
FILES = "of fal's file hosts it has GET and HEAD of /files/b/ only"


def create_app(options: Options, database: Database, run_port: int) -> ASGIApp:
    """Put the whole emulator together. ``run_port`` is the port that the run host really got."""
    files = options.data / "files"
    keys = Keys(options.keys, options.admin_keys)
    store, tally, faults = Store(database), Tally(database), FaultRegistry(database)
    prices = Prices(options.prices)
    books = Books(database, prices, options.books_lag)
    gate = Gate(faults, tally)
    kept = Retention(options.result_ttl, options.payload_ttl)
    signer = Signer.load(options.data / "webhook-key.pem")
    webhooks = Webhooks(database, signer, kept, anywhere=options.webhooks_anywhere)
    drawing = Renderer(store.log, options.runners) if options.render else StandIn(files)
    generator = Generator(files, options.pace, store.log, drawing, prices)
    runners = Runners(store, faults, generator, books, webhooks.announce, options.runners)
    files_api = FilesApi(store, gate, tally, FileLog(), files)

    admin_api = AdminApi(store, books, prices, faults, tally, files_api.log)
    platform_api = PlatformApi(database, gate, tally, keys, options.history_lag, kept)
    pricing_api = PricingApi(prices, books, faults, gate, tally, keys)
    billing_api = BillingApi(books, gate, tally, keys)
    platform = (platform_api.router(), pricing_api.router(), billing_api.router())
    queue_api = QueueApi(store, runners, faults, gate, tally, keys, kept)

    local = _api(
        admin_api.router(),
        *platform,
        not_served(PLATFORM, "/v1"),
        webhooks.router(),
        files_api.router(),
        queue_api.router(),
        background=(runners, webhooks),
    )
    queue = _api(admin_api.router(), not_served(ELSEWHERE, "/v1"), files_api.router(), queue_api.router())
    run = _api(files_api.router(), RunApi(store, runners, gate, tally, keys).router())
    by_name = {
        **dict.fromkeys(QUEUE_HOSTS, queue),
        **dict.fromkeys(RUN_HOSTS, run),
        **dict.fromkeys(MEDIA_HOSTS, _api(files_api.router(), not_served(FILES))),
        PLATFORM_HOST: _api(*platform, not_served(PLATFORM)),
        REST_HOST: _api(webhooks.router(), not_served(REST)),
    }
    return ServedHosts(Router(local, {run_port: run}, by_name), [options.host, *options.allowed_hosts])


def _report(task: asyncio.Task[None]) -> None:
    """Log the end of a background task: without its runners the emulator accepts requests and never runs one."""
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("the emulator's background work has stopped; restart it", exc_info=error)


def _api(*routers: APIRouter, background: tuple[Runners | Webhooks, ...] = ()) -> FastAPI:
    """Return an app of these routers, in this order. The queue's routes take every path, so they come last."""

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
