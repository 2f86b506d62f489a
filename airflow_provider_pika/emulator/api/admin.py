"""The emulator's own calls, which fal does not have: what it was asked, and which faults come next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Response

from airflow_provider_pika.emulator.api.files import FileLog
from airflow_provider_pika.emulator.api.gate import Tally
from airflow_provider_pika.emulator.engine.books import Books, Charge
from airflow_provider_pika.emulator.engine.prices import CURRENCY, OwnPrice, Prices, plain
from airflow_provider_pika.emulator.engine.records import Job
from airflow_provider_pika.emulator.engine.store import Store
from airflow_provider_pika.emulator.faults.catalogue import Fault
from airflow_provider_pika.emulator.faults.registry import FaultRegistry


@dataclass(frozen=True)
class AdminApi:
    """The calls below ``/_emulator``. They need no key."""

    store: Store
    books: Books
    prices: Prices
    faults: FaultRegistry
    tally: Tally
    file_log: FileLog

    def router(self) -> APIRouter:
        """Return the routes of faults, counters, requests, money and downloads."""
        router = APIRouter(prefix="/_emulator")
        router.add_api_route("/faults", self.set_fault, methods=["POST"], status_code=201)
        router.add_api_route("/faults", self.list_faults, methods=["GET"])
        router.add_api_route("/faults", self.clear_faults, methods=["DELETE"])
        router.add_api_route("/counts", self.counts, methods=["GET"])
        router.add_api_route("/counts", self.reset_counts, methods=["DELETE"])
        router.add_api_route("/requests", self.requests, methods=["GET"])
        router.add_api_route("/books", self.charges, methods=["GET"])
        router.add_api_route("/prices", self.set_price, methods=["POST"], status_code=201)
        router.add_api_route("/prices", self.reset_prices, methods=["DELETE"])
        router.add_api_route("/file_requests", self.file_requests, methods=["GET"])
        router.add_api_route("/file_requests", self.reset_file_requests, methods=["DELETE"])
        return router

    async def set_fault(self, fault: Fault) -> Fault:
        """Ask for a fault. An unknown fault or option is a 422 that names it."""
        self.faults.set(fault)
        return fault

    async def list_faults(self) -> list[dict[str, Any]]:
        """Return the faults still to come."""
        return self.faults.pending()

    async def clear_faults(self, match: str = "") -> Response:
        """Clear the faults that were set, or only those set with this ``match``. Faults in prompts stay."""
        self.faults.clear(match)
        return Response(status_code=204)

    async def counts(self) -> dict[str, Any]:
        """Return how often each operation was called."""
        return self.tally.read()

    async def reset_counts(self) -> Response:
        """Set all counters to zero."""
        self.tally.reset()
        return Response(status_code=204)

    async def requests(self, prompt: str = "", since: float = 0.0) -> list[dict[str, Any]]:
        """Return every request, oldest first, or those with ``prompt`` in their prompt, sent at ``since`` or later."""
        return [_describe(job) for job in self.store.all(prompt, since)]

    async def charges(self, since: float = 0.0) -> list[dict[str, Any]]:
        """Return every charge, oldest first, also those that fal's books do not show yet."""
        return [_describe_charge(charge) for charge in self.books.everything(since)]

    async def set_price(self, price: OwnPrice) -> OwnPrice:
        """Set the account's own price of an endpoint, until the end of the process."""
        self.prices.set(price)
        return price

    async def reset_prices(self) -> Response:
        """Go back to the prices of the start."""
        self.prices.reset()
        return Response(status_code=204)

    async def file_requests(self) -> list[dict[str, Any]]:
        """Return the last exchanges about result files, oldest first."""
        return self.file_log.read()

    async def reset_file_requests(self) -> Response:
        """Forget the exchanges about result files."""
        self.file_log.reset()
        return Response(status_code=204)


def _describe(job: Job) -> dict[str, Any]:
    outcome = job.outcome
    return {
        "request_id": job.id,
        "endpoint_id": job.submission.endpoint,
        "via": job.submission.via,
        "input": job.submission.input,
        "state": job.state,
        "attempts": job.attempts,
        "sent_at": job.sent_at,
        "started_at": job.started_at,
        "ended_at": job.ended_at,
        "status_code": None if outcome is None else outcome.status_code,
        "error": None if outcome is None else outcome.error,
        "error_type": None if outcome is None else outcome.error_type,
        "output": None if outcome is None else outcome.body,
        "webhook": job.submission.webhook,
        "tags": job.submission.tags,
        "faults": [fault.fault for fault in job.faults],
    }


def _describe_charge(charge: Charge) -> dict[str, Any]:
    """Return a charge with its numbers as decimal strings."""
    return {
        "request_id": charge.request_id,
        "endpoint_id": charge.endpoint,
        "at": charge.at,
        "units": plain(charge.units),
        "unit": charge.price.unit,
        "unit_price": plain(charge.price.amount),
        "cost": plain(charge.cost),
        "currency": CURRENCY,
        "tags": charge.tags,
    }
