"""From an HTTP request to a submission, and what refuses it before anything is queued."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import Request
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response

from airflow_provider_pika.emulator.api.wire import Keys, origin_of
from airflow_provider_pika.emulator.engine.endpoints import EndpointId
from airflow_provider_pika.emulator.engine.records import Submission, Via
from airflow_provider_pika.emulator.engine.tags import parse_tags

#: Seconds. A start timeout must be greater (fal-protocol.md 0.1).
SHORTEST_START_TIMEOUT = 0.1

#: The current header, which wins, and the deprecated one (N5).
START_TIMEOUT_HEADERS = ("X-Fal-Request-Start-Timeout", "X-Fal-Request-Timeout")


async def read_submission(request: Request, via: Via) -> Submission:
    """Read the request as it came to a route with an ``endpoint``, whatever its body.

    A body that is not JSON fails as the app's 422 when it runs, since fal's answer to it is not established. A start
    timeout that cannot be read is None here, and `refuse_submission` refuses it.
    """
    headers = request.headers
    return Submission(
        endpoint=request.path_params["endpoint"].strip("/"),
        origin=origin_of(request),
        body=await request.body(),
        via=via,
        low_priority=headers.get("x-fal-queue-priority") == "low",  # one that is not recognised is ignored (N5)
        keep_io=headers.get("x-fal-store-io") != "0",
        no_retry=headers.get("x-fal-no-retry", "").lower() in {"1", "true", "yes"},
        webhook=request.query_params.get("fal_webhook") or None,
        start_after=_start_timeout(headers.get(_start_timeout_header(headers) or "")),
        tags=parse_tags(",".join(headers.getlist("x-fal-tags"))),
    )


def refuse_submission(request: Request, keys: Keys, submission: Submission) -> Response | None:
    """Return the refusal of a submission, or None. Check the key, then the app, then the options (2.1).

    The model's input is not checked. An unknown app is a 404 without any key, too, as a probe of fal showed (4.3).
    """
    endpoint = EndpointId.parse(submission.endpoint)
    asks_for_key = "authorization" in request.headers or endpoint.is_known_app
    if asks_for_key and (refused := keys.refuse(request, endpoint.app)) is not None:
        return refused
    if not endpoint.is_known_app:
        return unknown_app(endpoint)
    if (header := _start_timeout_header(request.headers)) is not None and submission.start_after is None:
        return _bad_request(f"{header} must be a number of seconds above {SHORTEST_START_TIMEOUT}")
    return None


def unknown_app(endpoint: EndpointId) -> Response:
    """Return the 404 of an app that fal does not have, as a probe of it was told (2.4)."""
    return JSONResponse({"detail": f'Application "{endpoint.alias}" not found'}, 404)


def refuse_long_queue(request: Request, queue_length: Callable[[], int]) -> Response | None:
    """Return a 429 if more requests wait than ``fal_max_queue_length`` (2.1). Its body is not established."""
    limit = request.query_params.get("fal_max_queue_length")
    if limit is None:
        return None
    if not limit.isdecimal():
        return _bad_request("fal_max_queue_length must be a whole number")
    if (waiting := queue_length()) > int(limit):
        return JSONResponse({"detail": f"Queue length {waiting} exceeds the maximum of {limit}"}, 429)
    return None


def _start_timeout_header(headers: Headers) -> str | None:
    """Return the name of the header that counts, of those that were sent."""
    return next((name for name in START_TIMEOUT_HEADERS if name in headers), None)


def _start_timeout(value: str | None) -> float | None:
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return seconds if SHORTEST_START_TIMEOUT < seconds < float("inf") else None


def _bad_request(detail: str) -> Response:
    body = {"detail": detail, "error_type": "bad_request"}
    return JSONResponse(body, 400, {"X-Fal-Error-Type": "bad_request"})
