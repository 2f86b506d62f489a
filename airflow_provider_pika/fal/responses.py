"""What an HTTP answer of fal means, pure: a request id, a status, a video, or one of our errors.

Each function takes what came back from one operation and returns its meaning or raises it. Where fal's behaviour is
not established (fal-protocol.md, section 13) the reading here is the one that cannot cost money or turn a failure
green.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.fal.http_answer import LONGEST_WORDS, Answer
from airflow_provider_pika.fal.ids import is_request_id
from airflow_provider_pika.fal.models import BillingPage, HistoryPage, PastRequest, QueueStatus, Video
from airflow_provider_pika.fal.prices import number_of
from airflow_provider_pika.fal.redaction import WITHHELD
from airflow_provider_pika.strict_json import one_line

#: After these a submit may have been accepted, whoever says them: who passed it on has lost sight of it.
_LOST_SIGHT_OF = {408, 499}

#: The types of fal's own infrastructure errors (fal-protocol.md, 4.2).
_FALS_TYPES = {
    "request_timeout",
    "startup_timeout",
    "runner_scheduling_failure",
    "runner_connection_timeout",
    "runner_disconnected",
    "runner_connection_refused",
    "runner_connection_error",
    "runner_incomplete_response",
    "runner_server_error",
    "client_disconnected",
    "client_cancelled",
    "bad_request",
    "internal_error",
}

#: How a ``detail`` of fal's begins that may come without a type and without a header of fal's (4.3). Any other may be
#: a gateway's: each that is written with FastAPI answers ``{"detail": "Not Found"}``.
_FALS_DETAILS = (
    "invalid key credentials",
    "cannot access application",
    "bearer: ",
    "user is locked",
    'application "',
)

#: What a refusal in a bare ``detail`` means if it was fal's after all.
_BELIEVED: dict[int, type[errors.PikaError]] = {
    401: errors.InvalidKey,
    403: errors.AccessDenied,
    404: errors.UnknownRequest,
    422: errors.InputRejected,
    499: errors.GenerationCancelled,
}

#: Where the parts of an HTTP request are that a gateway checks; a model's error is about its input, the body.
_NOT_THE_INPUT = ("query", "header", "path", "cookie")

#: fal's words for a cancellation that it takes (fal-protocol.md, N4).
_TAKEN = ("OK", "CANCELLATION_REQUESTED")

#: Refusals that pass, with all 5xx.
_PASSES = {408, 425, 429}

#: The consequence of a bad read.
_GOES_ON = "The request goes on at fal, and may be charged."

#: Characters of a video's URL: a thousand of them must have room in one event. A signed one has some 2,000.
LONGEST_URL = 8192

#: Rows of one page of the billing events. Of a longer list only its end is read, and a sum would lack the rest.
BILLING_ROWS = 500

#: What fal charges for, times the unit's price (fal-protocol.md, 6.2).
_UNITS = "x-fal-billable-units"


def submitted(answer: Answer, endpoint: str) -> str:
    """Return the request id of an accepted submit.

    :raises PikaError: ``SubmitUnknown`` where fal may have accepted it without telling the id.
    """
    request_id = answer.get("request_id")
    if answer.ok and is_request_id(request_id):
        return request_id
    if not proves_refusal(answer):
        raise errors.SubmitUnknown(
            f"The submit to {endpoint} brought no request id. {_source(answer)}.", status_code=answer.status_code
        )
    if answer.status_code == 404 and answer.get("detail") is not None:
        raise errors.UnknownEndpoint(f"fal knows no endpoint {endpoint!r}: {answer.words}.", status_code=404)
    error = _refusal(answer, f"the submit to {endpoint}")
    error.consequence = "Nothing was accepted; a retry submits again." if error.retry_helps else "Nothing was accepted."
    raise error


def proves_refusal(answer: Answer) -> bool:
    """Return whether an answer to a submit proves that fal accepted nothing; any other outcome is unknown.

    Who refuses a request with a 4xx has not passed it on. A 5xx may be a gateway's, after fal accepted, and a redirect
    may follow an acceptance (303).
    """
    if 400 <= answer.status_code < 500:
        return answer.status_code not in _LOST_SIGHT_OF
    return answer.status_code >= 500 and is_fals(answer)


def is_fals(answer: Answer) -> bool:
    """Return whether an answer is certainly fal's own: by a header, or in words that nobody else uses."""
    detail, error_type = answer.get("detail"), answer.get("error_type")
    return (
        answer.has_fals_headers
        or (isinstance(error_type, str) and error_type in _FALS_TYPES)
        or (isinstance(detail, str) and detail.lower().startswith(_FALS_DETAILS))
        or (answer.status_code == 404 and answer.get("status") == "NOT_FOUND")
    )


def status(answer: Answer, request_id: str) -> QueueStatus:
    """Return the status of a request.

    :raises PikaError: what passes and what does not are told apart by ``retry_helps``.
    """
    if not answer.ok:
        raise _read_failure(answer, request_id)
    with suppress(ValidationError):
        return QueueStatus.model_validate(answer.body)
    if isinstance(answer.get("status"), str) and _is_about(answer, request_id):
        raise errors.UnknownStatus(
            f"fal reported a status that this version does not know: {answer.words}.", request_id=request_id
        )
    raise _unreadable(answer, "no status", request_id)


def result(answer: Answer, endpoint: str, request_id: str) -> Video:
    """Return the video of a completed request.

    :raises GenerationFailed: the request ended without one.
    :raises PikaError: the result could not be read.
    """
    if answer.status_code == 400 and str(answer.get("detail")).startswith("Request is still in progress"):
        raise errors.ServerUnavailable("fal has not got the result yet.", request_id=request_id, status_code=400)
    if not answer.ok:
        raise (_failure(answer, request_id) if _is_outcome(answer) else _read_failure(answer, request_id))
    if not isinstance(answer.body, dict) or not ("video" in answer.body or answer.has_fals_headers):
        raise _unreadable(answer, "no result", request_id)
    try:
        known = {"request_id": request_id, "endpoint": endpoint, "billable_units": answer.headers.get(_UNITS)}
        video = Video.model_validate({**answer.body["video"], **known})
        if len(video.url) <= LONGEST_URL:
            return video
        raise errors.UnexpectedAnswer(f"The video's URL has {len(video.url)} characters.", request_id=request_id)
    except (ValidationError, TypeError, KeyError):
        if WITHHELD in answer.words:
            raise errors.UnexpectedAnswer(
                f"The result repeats the key: {answer.words}.", request_id=request_id
            ) from None
        raise errors.GenerationFailed(
            f"The request completed, but its result holds no video: {answer.words}.", request_id=request_id
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
    """Return whether fal took the cancellation; False if the request had completed before.

    Taken is not done: a running request is only signalled and may still complete (fal-protocol.md, 2.5).
    """
    if answer.get("status") == "ALREADY_COMPLETED":
        return False
    if not answer.ok:
        raise _read_failure(answer, request_id)
    if answer.get("status") == "NOT_FOUND":
        raise errors.UnknownRequest(f"fal does not know this request: {answer.words}.", request_id=request_id)
    said = answer.get("status") in _TAKEN or answer.get("success") is True
    if not (said or answer.has_fals_headers or answer.body == ""):
        raise _unreadable(answer, "no word on the cancellation", request_id)
    return True


def history(answer: Answer) -> HistoryPage:
    """Return a page of the request history.

    :raises RequestRejected: it was refused, and not in fal's words.
    :raises PikaError: there is none; a page of which one row is unreadable counts as none.
    """
    if not answer.ok and not is_fals(answer) and 300 <= answer.status_code < 500 and answer.status_code not in _PASSES:
        raise errors.RequestRejected(
            f"fal's request history cannot be read. {_source(answer)}.", status_code=answer.status_code
        )
    if not answer.ok:
        raise _refusal(answer, "to show its request history")
    try:
        page = HistoryPage.model_validate(answer.body)
    except ValidationError:
        raise _unreadable(answer, "no request history") from None
    return page.model_copy(update={"answered_at": answer.answered_at})


def pricing(answer: Answer) -> list[Any]:
    """Return the entries of fal's price list, as fal wrote them; ``prices.py`` reads them.

    :raises PikaError: there is none.
    """
    entries = answer.get("prices")
    if not answer.ok:
        raise _refusal(answer, "to show its prices")
    if not isinstance(entries, list):
        raise _unreadable(answer, "no price list")
    return entries


def average(answer: Answer) -> dict[str, Any]:
    """Return fal's estimate by history, as fal wrote it; ``prices.py`` reads it.

    :raises PikaError: there is none.
    """
    if not answer.ok:
        raise _refusal(answer, "to estimate a price")
    if not isinstance(answer.body, dict) or "total_cost" not in answer.body:
        raise _unreadable(answer, "no estimate")
    return answer.body


def billing_events(answer: Answer) -> BillingPage:
    """Return a page of what was charged.

    :raises AccessDenied: the key has no ADMIN right.
    :raises PikaError: there is none; a page of which one row is unreadable counts as none.
    """
    error = answer.get("error")
    if answer.status_code == 403 and isinstance(error, dict) and error.get("type") == "authorization_error":
        said = one_line(str(error.get("message")), LONGEST_WORDS).rstrip(".")
        raise errors.AccessDenied(
            f"fal shows its billing events to keys with the ADMIN right: {said}.", status_code=403
        )
    if not answer.ok:
        raise _refusal(answer, "to show its billing events")
    try:
        page = BillingPage.model_validate(answer.body)
    except ValidationError:
        raise _unreadable(answer, "no list of billing events") from None
    if len(page.billing_events) > BILLING_ROWS:
        raise errors.UnexpectedAnswer(f"fal was asked for {BILLING_ROWS} billing events at most, and sent more.")
    return page


def remembered(row: PastRequest, endpoint: str, request_id: str) -> Video | errors.GenerationFailed | None:
    """Return how a request ended, as the history tells it; None if it does not."""
    if row.status_code is None or row.json_output is None:
        return None
    kept = Answer(row.status_code, {}, row.json_output)
    if not kept.ok:
        return _failure(kept, request_id)
    try:
        return result(kept, endpoint, request_id)
    except errors.PikaError:
        return None  # fal may keep less of an output than it was


def believed(doubtful: errors.DoubtfulAnswer) -> errors.PikaError:
    """Return what a doubtful refusal means once it has been repeated often enough to be fal's."""
    kind = _BELIEVED[doubtful.status_code or 404]
    return kind(
        f"fal refuses, again and again: {doubtful.message}",
        request_id=doubtful.request_id,
        status_code=doubtful.status_code,
        consequence=None if issubclass(kind, errors.GenerationFailed | errors.UnknownRequest) else _GOES_ON,
    )


def _source(answer: Answer) -> str:
    """Say who answered, and what."""
    return f"{_speaker(answer)} answered {answer.source}"


def _speaker(answer: Answer) -> str:
    if is_fals(answer):
        return "fal"
    bare = isinstance(answer.get("detail"), str)
    return "fal, or a gateway in front of it," if bare else "Something in front of fal (a firewall, proxy or gateway)"


def _is_about(answer: Answer, request_id: str) -> bool:
    """Return whether an object with a status is fal's, which names the request; a gateway's has one, too."""
    about_it = answer.get("request_id") == request_id or isinstance(answer.get("response_url"), str)
    return about_it or answer.has_fals_headers


def _unreadable(answer: Answer, what: str, request_id: str | None = None) -> errors.PikaError:
    kind: type[errors.PikaError] = errors.AnswerTooLarge if answer.truncated else errors.ForeignAnswer
    if kind is errors.ForeignAnswer and is_fals(answer):
        kind = errors.UnexpectedAnswer
    return kind(f"There was {what}. {_source(answer)}.", request_id=request_id, status_code=answer.status_code)


def _refusal(answer: Answer, what: str, request_id: str | None = None) -> errors.PikaError:
    words = answer.words
    error: type[errors.PikaError] = errors.RequestRejected
    if answer.status_code == 401:
        error = errors.InvalidKey
    elif answer.status_code == 403:
        spent = "balance" in words.lower() or "locked" in words.lower()
        error = errors.ExhaustedBalance if spent else errors.AccessDenied
    elif answer.status_code == 429:
        error = errors.RateLimited
    elif answer.status_code in _PASSES or answer.status_code >= 500:
        error = errors.ServerUnavailable
    said = words if is_fals(answer) else answer.source
    return error(
        f"{_speaker(answer)} refused {what}: {said}.",
        request_id=request_id,
        status_code=answer.status_code,
        error_type=answer.error_type,
        retry_after=answer.retry_after,
    )


def _read_failure(answer: Answer, request_id: str) -> errors.PikaError:
    """Return what a refused read means; only fal's own words may end a wait."""
    code = answer.status_code
    if is_fals(answer) and code >= 400:
        if code == 404:
            said = f"fal does not know this request: {answer.words}."
            return errors.UnknownRequest(said, request_id=request_id, status_code=404)
        error = _refusal(answer, "to tell about a request", request_id)
    elif code in _PASSES or code >= 500:
        error = _refusal(answer, "to tell about a request", request_id)
    else:
        bare = isinstance(answer.get("detail"), str) and code in _BELIEVED
        kind = errors.DoubtfulAnswer if bare else errors.ForeignAnswer
        error = kind(f"The answer is not fal's. {_source(answer)}.", request_id=request_id, status_code=code)
        error.retry_after = answer.retry_after
    error.consequence = _GOES_ON
    return error


def _is_outcome(answer: Answer) -> bool:
    """Tell the request's own failure from trouble on the way to it.

    A failure is typed, in fal's body or headers, or comes through fal's queue, which names the request in a header;
    what has neither comes from a gateway. fal's answers to a bad key, to an unknown id and to too many calls may name
    the request, too, so there only the type counts. ``internal_error`` may be either: as the request's own failure it
    stands in the status as well, and :func:`outcome` finds it there.
    """
    if answer.error_type == "internal_error":
        return False
    marks = ("x-fal-retryable", "x-fal-needs-retry", _UNITS, "x-fal-request-timeout-type")
    if _is_typed(answer) or any(mark in answer.headers for mark in marks):
        return True
    explained = answer.get("detail") is not None and "x-fal-request-id" in answer.headers
    return explained and answer.status_code not in (401, 403, 404, 429)


def _is_typed(answer: Answer) -> bool:
    """Return whether an error has a type of fal's: of its infrastructure, or of the model, about its input."""
    if answer.error_type is None or answer.get("error_type") is not None:
        return answer.error_type is not None and is_fals(answer)
    detail = answer.get("detail")
    entries = detail if isinstance(detail, list) else []
    places = [entry.get("loc") for entry in entries if isinstance(entry, dict)]
    return is_fals(answer) or not any(isinstance(loc, list) and loc and loc[0] in _NOT_THE_INPUT for loc in places)


def _failure(answer: Answer, request_id: str) -> errors.GenerationFailed:
    error_type = answer.error_type
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
        f"The generation failed: {answer.words}.",
        request_id=request_id,
        error_type=error_type,
        status_code=answer.status_code or None,
        retry_after=answer.retry_after,
        billable_units=_units_of(answer),
    )


def _units_of(answer: Answer) -> float | None:
    """Return the billed units of a failed request; None where fal does not say, or says nonsense."""
    units = number_of(answer.headers.get(_UNITS))
    return None if units is None else float(units)


def _may_pass(answer: Answer, error_type: str | None) -> bool:
    """Follow fal's word on a retry; two header names for it are documented (fal-protocol.md, 0.1)."""
    for header in ("x-fal-retryable", "x-fal-needs-retry"):
        if (value := answer.headers.get(header)) is not None:
            return value.strip().lower() in ("true", "1", "yes")
    passing = ("request_timeout", "startup_timeout", "internal_error", "runner_")
    return answer.status_code >= 500 or (error_type or "").startswith(passing)
