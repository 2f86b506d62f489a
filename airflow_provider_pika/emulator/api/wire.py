"""The shapes on the wire: keys, URLs, status objects, results."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from airflow_provider_pika.emulator.engine.endpoints import EndpointId
from airflow_provider_pika.emulator.engine.records import Job, Outcome
from airflow_provider_pika.emulator.engine.store import Store


class Keys:
    """The keys that are accepted: any key if none was named, and then each has the ADMIN right.

    :param admins: keys with the ADMIN right, which are accepted for all else, too.
    """

    def __init__(self, accepted: Collection[str] = (), admins: Collection[str] = ()) -> None:
        self._admins = frozenset(admins)
        self._accepted = frozenset(accepted) | self._admins

    def __str__(self) -> str:
        if not self._accepted:
            return "any"
        admins = f", {len(self._admins)} with the ADMIN right" if self._admins else ""
        return f"{len(self._accepted)} accepted{admins}"

    def refuse(self, request: Request, app: str) -> Response | None:
        """Return the 401 to answer with, or None (fal-protocol.md 4.3; its text for a call without a key is cut)."""
        header = request.headers.get("authorization")
        if header is None:
            return _unauthorized(
                f'Cannot access application "{app}". Authentication is required to access this application.'
            )
        if header.partition(" ")[0].lower() == "bearer":
            return _unauthorized("bearer: unable to decode issuer")
        return None if self._known(header) else _unauthorized("invalid key credentials")

    def refuse_platform(self, request: Request, *, admin: bool = False) -> Response | None:
        """Return the 401 of the Platform API, its 403 for a key without the ADMIN right, or None.

        The 401 is [3P], one captured body. The words of the 403 are not established: a client of fal's looks for
        "Admin API key" in them.
        """
        header = request.headers.get("authorization", "")
        if not self._known(header):
            message = "Invalid API key or malformed Authorization header"
            return platform_error(401, "authorization_error", message)
        if admin and self._accepted and _key_of(header) not in self._admins:
            return platform_error(403, "authorization_error", "Admin API key required")
        return None

    def _known(self, header: str) -> bool:
        key = _key_of(header)
        return key in self._accepted if self._accepted else bool(key)


def _key_of(header: str) -> str:
    """Return the key of an ``Authorization`` header, or an empty string if it has none."""
    scheme, _, key = header.partition(" ")
    return key.strip() if scheme.lower() == "key" else ""


def platform_error(status: int, kind: str, message: str) -> Response:
    """Return an error in the Platform API's shape, which is not the queue's."""
    return JSONResponse({"error": {"type": kind, "message": message}}, status)


def _unauthorized(detail: str) -> Response:
    return JSONResponse({"detail": detail}, 401)


def not_found() -> Response:
    """Return the 404 of an unknown request, or of an expired result (the latter is not established)."""
    return JSONResponse({"status": "NOT_FOUND"}, 404)


def origin_of(request: Request) -> str:
    """Return the scheme, host and port that the client came to."""
    return str(request.base_url).rstrip("/")


def urls(job: Job, origin: str) -> dict[str, str]:
    """Return the three URLs of a request: only the app's path, on the caller's own origin (2.1, N1)."""
    base = f"{origin}/{EndpointId.parse(job.submission.endpoint).app}/requests/{job.id}"
    return {"response_url": base, "status_url": f"{base}/status", "cancel_url": f"{base}/cancel"}


def status_body(job: Job, store: Store, origin: str, logs: list[dict[str, Any]] | None) -> dict[str, Any]:
    """Return the status object, its keys in the order seen on the wire (2.1, 2.2)."""
    body: dict[str, Any] = {"status": job.state, "request_id": job.id, **urls(job, origin)}
    body |= {"logs": logs, "metrics": {}}
    if job.state == "IN_QUEUE":
        body["queue_position"] = store.position(job)
    if job.state == "COMPLETED" and job.started_at is not None and job.ended_at is not None:
        body["metrics"] = {"inference_time": job.ended_at - job.started_at}
    if job.outcome is not None and job.outcome.error is not None:
        body |= {"error": job.outcome.error, "error_type": job.outcome.error_type}
    return body


def log_entries(rows: Iterable[sqlite3.Row]) -> list[dict[str, Any]]:
    """Return log lines in the fullest form that any client asks for (2.2)."""
    return [
        {
            "message": row["message"],
            "timestamp": timestamp(row["at"]),
            "level": row["level"],
            "source": "USER",
            "labels": {"level": row["level"], "source": "USER"},
        }
        for row in rows
    ]


def number(amount: Decimal) -> int | float:
    """Return an amount as fal writes it: a JSON number. Nothing is counted with it."""
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def timestamp(at: float) -> str:
    """Return unix seconds as ``2026-02-17T10:30:01.123Z``."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def result(job: Job, outcome: Outcome) -> Response:
    """Return the outcome of a request, as its result call or a synchronous run answers it."""
    return JSONResponse(outcome.body, outcome.status_code, {"x-fal-request-id": job.id, **outcome.headers})
