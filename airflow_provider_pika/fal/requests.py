"""What is asked of fal's queue, pure: each operation's HTTP call, and what it means when no answer comes.

A :class:`Call` is sent by ``client.py`` or ``async_client.py``. What its answer means stands in ``responses.py``. An
exchange of several calls yields them one by one, as ``sansio.py`` explains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import pendulum

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.fal import responses
from airflow_provider_pika.fal.http_answer import HISTORY_BYTES, RESULT_BYTES, STATUS_BYTES, Answer
from airflow_provider_pika.fal.ids import app_of, check_request_id
from airflow_provider_pika.fal.models import BillingPage, HistoryPage, QueueStatus, Video
from airflow_provider_pika.fal.network import transport_trouble
from airflow_provider_pika.fal.responses import BILLING_ROWS

T = TypeVar("T")


@dataclass(frozen=True)
class Call(Generic[T]):
    """One HTTP call, what an answer to it means, and what it means if there is none.

    :param lost: takes what the HTTP client raised, and whether it says that nothing was sent.
    :param most: bytes that a good answer may have.
    """

    method: str
    path: str
    understand: Callable[[Answer], T]
    lost: Callable[[Exception, bool], errors.PikaError]
    options: Mapping[str, Any] = field(default_factory=dict)
    most: int = STATUS_BYTES


def submit(endpoint: str, arguments: Mapping[str, Any], headers: Mapping[str, str]) -> Call[str]:
    """Ask for a generation; the answer is its request id.

    :param headers: those of ``SubmitControls``.
    """
    app_of(endpoint)

    def lost(error: Exception, never_sent: bool) -> errors.PikaError:
        if never_sent:
            return _unreachable(error, "Nothing was submitted; a retry submits again.")
        trouble = transport_trouble(error)
        return errors.SubmitUnknown(f"The submit to {endpoint} was sent, but its reply was lost: {trouble}.")

    options = {"json": dict(arguments), "headers": dict(headers)}
    return Call("POST", endpoint, lambda answer: responses.submitted(answer, endpoint), lost, options)


def status(endpoint: str, request_id: str, logs: bool) -> Call[QueueStatus]:
    """Ask where a request stands."""
    return Call(
        "GET",
        f"{_request_path(endpoint, request_id)}/status",
        lambda answer: responses.status(answer, request_id),
        _lost_read(request_id),
        {"params": {"logs": int(logs)}},
    )


def status_stream(endpoint: str, request_id: str) -> Call[QueueStatus]:
    """Ask to be told whenever it changes; each event of the stream is an answer (fal-protocol.md, 2.3)."""
    return Call(
        "GET",
        f"{_request_path(endpoint, request_id)}/status/stream",
        lambda answer: responses.status(answer, request_id),
        _lost_read(request_id),
        {"params": {"logs": 1}, "headers": {"Accept": "text/event-stream"}},
    )


def result(endpoint: str, request_id: str) -> Call[Video]:
    """Ask for the video of a completed request."""
    path = _request_path(endpoint, request_id)
    lost = _lost_read(request_id)
    return Call("GET", path, lambda answer: responses.result(answer, endpoint, request_id), lost, most=RESULT_BYTES)


def cancel(endpoint: str, request_id: str) -> Call[bool]:
    """Ask to cancel; the answer is False if the request had completed before."""
    path = f"{_request_path(endpoint, request_id)}/cancel"
    return Call("PUT", path, lambda answer: responses.cancelled(answer, request_id), _lost_read(request_id))


def history(
    platform_url: str,
    endpoint: str,
    since: float,
    *,
    until: float | None = None,
    request_id: str | None = None,
    cursor: str | None = None,
    payloads: bool = True,
) -> Call[HistoryPage]:
    """Ask for a page of the endpoint's request history, or for one request of it.

    :param since: unix seconds. Whether it holds for when a request was sent, started or ended is not established, so
        it is to lie before all of them.
    :param until: unix seconds; None: now.
    :param payloads: with what was sent, and what came of it.
    """
    wanted = {"endpoint_id": endpoint, "limit": 100, "start": _time(since)}
    end = None if until is None else _time(until)
    optional = {"expand": "payloads" if payloads else None, "end": end, "request_id": request_id, "cursor": cursor}
    params = wanted | {name: value for name, value in optional.items() if value is not None}
    url = f"{platform_url}/models/requests/by-endpoint"

    def lost(error: Exception, never_sent: bool) -> errors.PikaError:
        return errors.Unreachable(f"fal's request history cannot be reached: {transport_trouble(error)}.")

    return Call("GET", url, responses.history, lost, {"params": params}, HISTORY_BYTES)


def pricing(platform_url: str, endpoints: Sequence[str]) -> Call[list[Any]]:
    """Ask for fal's price list of some endpoints, 50 at most (fal-protocol.md, 6)."""
    params = [("endpoint_id", endpoint) for endpoint in endpoints]
    return Call("GET", f"{platform_url}/models/pricing", responses.pricing, _lost_prices, {"params": params})


def average(platform_url: str, endpoint: str) -> Call[dict[str, Any]]:
    """Ask what one call has cost on average. It is a POST that submits nothing and costs nothing."""
    wanted = {"estimate_type": "historical_api_price", "endpoints": {endpoint: {"call_quantity": 1}}}
    url = f"{platform_url}/models/pricing/estimate"
    return Call("POST", url, responses.average, _lost_prices, {"json": wanted})


def billing_events(
    platform_url: str, since: float, until: float, endpoints: Sequence[str] = (), cursor: str | None = None
) -> Call[BillingPage]:
    """Ask for a page of what was charged, with the tags of each request. It needs a key with the ADMIN right.

    :param since: unix seconds, ``until`` 90 days later at most.
    :param endpoints: only theirs, 50 at most; none: of all.
    """
    params = [("source", "tagged-billed"), ("limit", str(BILLING_ROWS)), ("start", _time(since)), ("end", _time(until))]
    params += [("endpoint_id", endpoint) for endpoint in endpoints]
    params += [] if cursor is None else [("cursor", cursor)]
    url = f"{platform_url}/models/billing-events"

    def lost(error: Exception, never_sent: bool) -> errors.PikaError:
        return errors.Unreachable(f"fal's billing events cannot be reached: {transport_trouble(error)}.")

    return Call("GET", url, responses.billing_events, lost, {"params": params}, HISTORY_BYTES)


def _time(at: float) -> str:
    return pendulum.from_timestamp(at).to_iso8601_string()


def _lost_prices(error: Exception, never_sent: bool) -> errors.PikaError:
    return errors.Unreachable(f"fal's prices cannot be reached: {transport_trouble(error)}.")


def _request_path(endpoint: str, request_id: str) -> str:
    """Build the path ourselves: the URLs in fal's answers could lead the key to another host."""
    check_request_id(request_id)
    return f"{app_of(endpoint)}/requests/{request_id}"


def _lost_read(request_id: str) -> Callable[[Exception, bool], errors.PikaError]:
    def lost(error: Exception, never_sent: bool) -> errors.PikaError:
        return _unreachable(error, "The request goes on at fal, and may be charged.", request_id)

    return lost


def _unreachable(error: Exception, consequence: str, request_id: str | None = None) -> errors.Unreachable:
    message = f"The queue cannot be reached: {transport_trouble(error)}."
    return errors.Unreachable(message, consequence=consequence, request_id=request_id)
