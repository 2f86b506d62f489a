"""What an HTTP answer of fal means, pure: a request id, a status, a video, or one of our errors.

Each function takes what came back from one operation and returns its meaning or raises it. Where fal's behaviour is
not established (fal-protocol.md, section 13) the reading here is the one that cannot cost money or turn a failure
green.
"""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from airflow_provider_pika import exceptions as errors

from .models import REQUEST_ID, QueueStatus, Video

#: Answers above 499 to a submit that are fal's own refusals (fal-protocol.md, 4.4); after any other, such as 502, 504
#: and those of gateways that fal does not document, fal may have accepted it all the same. So with 408 and 499.
_REFUSED = {500, 503}
_GATEWAY_LOST_SIGHT = {408, 499}


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. ``headers`` are looked up in lower case; ``body`` is parsed JSON, or text if it is none."""

    status_code: int
    headers: Mapping[str, str]
    body: Any

    @classmethod
    def read(cls, status_code: int, headers: Mapping[str, str], text: str) -> Answer:
        """Make an answer of what an HTTP client received."""
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            body = text
        return cls(status_code, {name.lower(): value for name, value in headers.items()}, body)

    @property
    def ok(self) -> bool:
        """Whether the HTTP status is a 2xx. fal uses 200 and 202 alike; only the body counts."""
        return 200 <= self.status_code < 300

    def get(self, key: str) -> Any:
        """Give a key of the JSON object, or None."""
        return self.body.get(key) if isinstance(self.body, dict) else None


def submitted(answer: Answer, endpoint: str) -> str:
    """Give the request id of an accepted submit.

    :raises PikaError: ``SubmitUnknown`` where fal may have accepted it without telling the id.
    """
    request_id = answer.get("request_id")
    if answer.ok and isinstance(request_id, str) and REQUEST_ID.fullmatch(request_id):
        return request_id
    if not _is_refusal(answer):
        raise errors.SubmitUnknown(
            f"fal answered the submit to {endpoint} with no request id: {_words(answer)}.",
            status_code=answer.status_code,
        )
    if answer.status_code == 404:
        raise errors.UnknownEndpoint(f"fal knows no endpoint {endpoint!r}: {_words(answer)}.", status_code=404)
    error = _refusal(answer, f"the submit to {endpoint}")
    error.consequence = "Nothing was accepted; a retry submits again." if error.retry_helps else "Nothing was accepted."
    raise error


def status(answer: Answer, request_id: str) -> QueueStatus:
    """Give the status of a request.

    :raises PikaError: what passes and what does not are told apart by ``retry_helps``.
    """
    if not answer.ok:
        raise _read_failure(answer, request_id)
    try:
        return QueueStatus.model_validate(answer.body)
    except ValidationError:
        known = isinstance(answer.get("status"), str)
        error: type[errors.PikaError] = errors.UnknownStatus if known else errors.UnexpectedAnswer
        raise error(
            f"fal answered with no status that is known here: {_words(answer)}.", request_id=request_id
        ) from None


def result(answer: Answer, endpoint: str, request_id: str) -> Video:
    """Give the video of a completed request.

    :raises GenerationFailed: the request ended without one.
    :raises PikaError: the result could not be read.
    """
    if answer.status_code == 400 and str(answer.get("detail")).startswith("Request is still in progress"):
        raise errors.ServerUnavailable("fal has not got the result yet.", request_id=request_id, status_code=400)
    if not answer.ok:
        raise (_failure(answer, request_id) if _is_outcome(answer) else _read_failure(answer, request_id))
    if not isinstance(answer.body, dict):
        raise errors.UnexpectedAnswer(f"fal's result is no JSON object: {_words(answer)}.", request_id=request_id)
    try:
        return Video.model_validate({**answer.body["video"], "request_id": request_id, "endpoint": endpoint})
    except (ValidationError, TypeError, KeyError):
        raise errors.GenerationFailed(
            f"The request completed, but its result holds no video: {_words(answer)}.", request_id=request_id
        ) from None


def outcome(seen: QueueStatus, brought: Video | errors.PikaError, request_id: str) -> Video | errors.PikaError:
    """Weigh a completed request's status against what reading its result brought.

    The result tells a failure better, so its own words come first. But a status with an error is never success, and
    needs no readable result to be a failure (what the result of a cancelled request is, is not established).
    """
    if isinstance(brought, errors.GenerationFailed):
        return brought
    if seen.error or seen.error_type:
        return _failure(Answer(0, {}, {"detail": seen.error, "error_type": seen.error_type}), request_id)
    if isinstance(brought, errors.PikaError):
        return brought
    return brought.model_copy(update={"inference_time": seen.metrics.inference_time})


def cancelled(answer: Answer, request_id: str) -> bool:
    """Tell whether fal took the cancellation; False if the request had completed before.

    Taken is not done: a running request is only signalled and may still complete (fal-protocol.md, 2.5).
    """
    if answer.get("status") == "ALREADY_COMPLETED":
        return False
    if not answer.ok:
        raise _read_failure(answer, request_id)
    return True


def _is_refusal(answer: Answer) -> bool:
    if answer.status_code == 503 and "upstream connect error or disconnect" in _words(answer):
        return False  # a proxy's words for a connection that broke, perhaps after the request had passed
    code = answer.status_code
    return (300 <= code < 500 and code not in _GATEWAY_LOST_SIGHT) or code in _REFUSED


def _refusal(answer: Answer, what: str, request_id: str | None = None) -> errors.PikaError:
    words = _words(answer)
    error: type[errors.PikaError] = errors.RequestRejected
    if answer.status_code == 401:
        error = errors.InvalidKey
    elif answer.status_code == 403:
        spent = "balance" in words.lower() or "locked" in words.lower()
        error = errors.ExhaustedBalance if spent else errors.AccessDenied
    elif answer.status_code == 429:
        error = errors.RateLimited
    elif answer.status_code in (408, 425) or answer.status_code >= 500:
        error = errors.ServerUnavailable
    return error(
        f"fal refused {what}: {words}.",
        request_id=request_id,
        status_code=answer.status_code,
        error_type=_error_type(answer),
        retry_after=_retry_after(answer),
    )


def _read_failure(answer: Answer, request_id: str) -> errors.PikaError:
    if answer.status_code == 404:
        return errors.UnknownRequest(
            f"fal does not know this request: {_words(answer)}.", request_id=request_id, status_code=404
        )
    error = _refusal(answer, "to tell about a request", request_id)
    error.consequence = "The request itself goes on at fal, and may be charged."
    return error


def _is_outcome(answer: Answer) -> bool:
    """Tell the request's own failure from trouble on the way to it.

    A failure is typed, in fal's body or headers, or comes through fal's queue, which names the request in a header;
    what has neither comes from a gateway. fal's answers to a bad key, to an unknown id and to too many calls may name
    the request, too, so there only the type counts. ``internal_error`` may be either: as the request's own failure it
    stands in the status as well, and :func:`outcome` finds it there.
    """
    if _error_type(answer) == "internal_error":
        return False
    marks = ("x-fal-retryable", "x-fal-needs-retry", "x-fal-billable-units", "x-fal-request-timeout-type")
    if _error_type(answer) is not None or any(mark in answer.headers for mark in marks):
        return True
    explained = answer.get("detail") is not None
    if answer.status_code in (422, 499):
        return explained
    return explained and "x-fal-request-id" in answer.headers and answer.status_code not in (401, 403, 404, 429)


def _failure(answer: Answer, request_id: str) -> errors.GenerationFailed:
    error_type = _error_type(answer)
    error: type[errors.GenerationFailed] = errors.GenerationFailed
    if answer.headers.get("x-fal-request-timeout-type") == "user":
        error = errors.StartTimeout
    elif error_type == "content_policy_violation":
        error = errors.ContentPolicyViolation
    elif answer.status_code == 422:
        error = errors.InputRejected
    elif answer.status_code == 499 or error_type in ("client_cancelled", "client_disconnected"):
        error = errors.GenerationCancelled
    elif _may_pass(answer, error_type):
        error = errors.GenerationInterrupted
    return error(
        f"The generation failed: {_words(answer)}.",
        request_id=request_id,
        error_type=error_type,
        status_code=answer.status_code or None,
        retry_after=_retry_after(answer),
    )


def _may_pass(answer: Answer, error_type: str | None) -> bool:
    """Follow fal's word on a retry; two header names for it are documented (fal-protocol.md, 0.1)."""
    for header in ("x-fal-retryable", "x-fal-needs-retry"):
        if (value := answer.headers.get(header)) is not None:
            return value.strip().lower() in ("true", "1", "yes")
    passing = ("request_timeout", "startup_timeout", "internal_error", "runner_")
    return answer.status_code >= 500 or (error_type or "").startswith(passing)


def _error_type(answer: Answer) -> str | None:
    detail = answer.get("detail")
    first = detail[0] if isinstance(detail, list) and detail and isinstance(detail[0], dict) else {}
    for value in (answer.get("error_type"), answer.headers.get("x-fal-error-type"), first.get("type")):
        if isinstance(value, str) and value:
            return value
    return None


def _words(answer: Answer) -> str:
    """Give what fal said, on one line and not too long."""
    detail = answer.get("detail") or answer.get("status") or answer.body
    if isinstance(detail, list) and all(isinstance(entry, dict) for entry in detail):
        detail = "; ".join(_entry_words(entry) for entry in detail)
    text = detail if isinstance(detail, str) else json.dumps(detail)
    return " ".join(text.split())[:500].rstrip(".") or f"an empty answer, HTTP {answer.status_code}"


def _entry_words(entry: Mapping[str, Any]) -> str:
    loc = entry.get("loc")
    place = ".".join(str(part) for part in loc if part != "body") if isinstance(loc, list) else ""
    return f"{place}: {entry.get('msg')}" if place else str(entry.get("msg"))


def _retry_after(answer: Answer) -> float | None:
    """Read Retry-After, in seconds or as a date (RFC 9110, 10.2.3)."""
    value = answer.headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
