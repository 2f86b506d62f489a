"""The gate of every operation. It counts, and a fault strikes before the operation or spoils its reply."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

from airflow_provider_pika.emulator.data_folder import Database
from airflow_provider_pika.emulator.engine.errors import NEEDS_RETRY
from airflow_provider_pika.emulator.faults.catalogue import Fault, Operation
from airflow_provider_pika.emulator.faults.downloads import spoiled_download
from airflow_provider_pika.emulator.faults.registry import FaultRegistry, Subject
from airflow_provider_pika.emulator.http.transport import Dropped, Stalled

#: Statuses that fal's ingress answers itself, with a page of HTML, and their titles.
NGINX = {502: "Bad Gateway", 503: "Service Temporarily Unavailable", 504: "Gateway Time-out"}

#: As captured (fal-protocol.md 4.3).
LOCKED = "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."


#: Operations of which all calls are one count.
PLAIN = ("status", "stream", "result", "cancel", "file", "history", "pricing", "billing")
#: Operations whose calls are counted in parts, since they may be charged.
SPLIT = ("submit", "run")
#: The parts: calls that came, and what became of them.
PARTS = ("received", "accepted", "refused")


class Tally:
    """Counters that outlive the process. They are written at once, and so before a reply can be lost."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, name: str) -> None:
        """Count one call of ``"status"``, or one of ``"submit.accepted"``."""
        self._db.execute("INSERT INTO counters VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1", name)

    def read(self) -> dict[str, Any]:
        """Return all counters, zeros included."""
        counts = {row["name"]: row["value"] for row in self._db.rows("SELECT * FROM counters")}
        split = {name: {part: counts.get(f"{name}.{part}", 0) for part in PARTS} for name in SPLIT}
        return {**split, **{name: counts.get(name, 0) for name in PLAIN}}

    def reset(self) -> None:
        """Set all counters to zero."""
        self._db.execute("DELETE FROM counters")


class Gate:
    """The processing of an exchange, with the fault that strikes it, if one does."""

    def __init__(self, faults: FaultRegistry, tally: Tally) -> None:
        self._faults = faults
        self._tally = tally

    async def exchange(
        self, operation: Operation, subjects: Sequence[Subject], process: Callable[[], Awaitable[Response]]
    ) -> Response:
        """Return the reply to send. If the fault refuses the exchange, ``process`` is not called."""
        fault = self._faults.take(operation, subjects)
        submits = operation in {"submit", "run"}
        if fault is not None and fault.is_refusal:
            if submits:
                self._tally.add(f"{operation}.refused")
            return refusal(fault)
        reply = await process()
        if fault is not None:
            return spoiled(fault, reply)
        if submits:
            for subject in subjects:
                self._faults.forget(subject.key)
        return reply


def refusal(fault: Fault) -> Response:
    """Return the answer that takes the place of processing."""
    match fault.fault:
        case "reset":
            return Dropped(reset=True)
        case "locked":
            return JSONResponse({"detail": LOCKED}, 403)
        case "redirect":
            return Response(status_code=302, headers={"Location": fault.location})
        case "http_429":
            retry_after = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            return JSONResponse({"detail": "Too many requests"}, 429, retry_after | _passes(fault))
        case "http_500":
            body = {"detail": "Internal server error", "error_type": "internal_error"}
            return JSONResponse(body, 500, {"X-Fal-Error-Type": "internal_error", **_passes(fault)})
        case _:
            status = int(fault.fault.removeprefix("http_"))
            return ingress_error(status) if status in NGINX else refused(status)


def _passes(fault: Fault) -> dict[str, str]:
    """Return the header by which fal's own errors on the run host say that they pass (N7). The ingress has none."""
    return {NEEDS_RETRY: "1"} if fault.on == "run" else {}


def spoiled(fault: Fault, reply: Response) -> Response:
    """Return what the fault leaves of a good reply, or its refusal if the request was accepted first."""
    if fault.is_download:
        return spoiled_download(fault, reply)
    match fault.fault:
        case "lost_reply":
            return Dropped()
        case "stall":
            return Stalled(reply, fault.seconds)
        case "malformed":
            return PlainTextResponse("upstream connect error or disconnect/reset before headers", 200)
        case _:
            return refusal(fault)


def refused(status: int) -> Response:
    """Return an answer of this status that says no more than the status."""
    return JSONResponse({"detail": HTTPStatus(status).phrase}, status)


def ingress_error(status: int) -> Response:
    """Return nginx's own page, as from the ingress before fal: HTML, and no ``x-fal-request-id`` (3)."""
    title = f"{status} {NGINX[status]}"
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return HTMLResponse(page, status)
