"""What an HTTP answer of fal means, pure: a request id, a status, a video, or one of our errors.

Each function takes what came back from one operation and returns its meaning or raises it. Where fal's behaviour is
not established (fal-protocol.md, section 13) the reading here is the one that cannot cost money or turn a failure
green.
"""

from __future__ import annotations

from pydantic import ValidationError

from airflow_provider_pika import exceptions as errors

from .http_answer import Answer
from .ids import is_request_id
from .models import HistoryPage, PastRequest, QueueStatus, Video
from .redaction import WITHHELD

#: Answers above 499 to a submit that are fal's own refusals (fal-protocol.md, 4.4); after any other, such as 502, 504
#: and those of gateways that fal does not document, fal may have accepted it all the same. So with 408 and 499.
_REFUSED = {500, 503}
_GATEWAY_LOST_SIGHT = {408, 499}

#: Characters of a video's URL: a thousand of them must have room in one event. A signed one has some 2,000.
LONGEST_URL = 8192

#: What fal charges for, times the unit's price (fal-protocol.md, 6.2).
_UNITS = "x-fal-billable-units"


def submitted(answer: Answer, endpoint: str) -> str:
    """Give the request id of an accepted submit.

    :raises PikaError: ``SubmitUnknown`` where fal may have accepted it without telling the id.
    """
    request_id = answer.get("request_id")
    if answer.ok and is_request_id(request_id):
        return request_id
    if not _is_refusal(answer):
        raise errors.SubmitUnknown(
            f"fal answered the submit to {endpoint} with no request id: {answer.words}.",
            status_code=answer.status_code,
        )
    if answer.status_code == 404:
        raise errors.UnknownEndpoint(f"fal knows no endpoint {endpoint!r}: {answer.words}.", status_code=404)
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
        error = errors.UnknownStatus if isinstance(answer.get("status"), str) else _unreadable(answer)
        raise error(f"fal answered with no status that is known here: {answer.words}.", request_id=request_id) from None


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
        raise _unreadable(answer)(f"fal's result is no JSON object: {answer.words}.", request_id=request_id)
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
    """Tell whether fal took the cancellation; False if the request had completed before.

    Taken is not done: a running request is only signalled and may still complete (fal-protocol.md, 2.5).
    """
    if answer.get("status") == "ALREADY_COMPLETED":
        return False
    if not answer.ok:
        raise _read_failure(answer, request_id)
    return True


def history(answer: Answer) -> HistoryPage:
    """Give a page of the request history.

    :raises PikaError: there is none; a page of which one row is unreadable counts as none.
    """
    if not answer.ok:
        raise _refusal(answer, "to show its request history")
    try:
        return HistoryPage.model_validate(answer.body)
    except ValidationError:
        raise _unreadable(answer)(f"fal's request history cannot be read: {answer.words}.") from None


def remembered(row: PastRequest, endpoint: str, request_id: str) -> Video | errors.GenerationFailed | None:
    """Give how a request ended, as the history tells it; None if it does not."""
    if row.status_code is None or row.json_output is None:
        return None
    kept = Answer(row.status_code, {}, row.json_output)
    if not kept.ok:
        return _failure(kept, request_id)
    try:
        return result(kept, endpoint, request_id)
    except errors.PikaError:
        return None  # fal may keep less of an output than it was


def _unreadable(answer: Answer) -> type[errors.PikaError]:
    return errors.AnswerTooLarge if answer.truncated else errors.UnexpectedAnswer


def _is_refusal(answer: Answer) -> bool:
    code = answer.status_code
    if code in _REFUSED:  # by fal's own word, or by its ingress, which had nobody to pass the request on to
        return isinstance(answer.body, dict) or (code == 503 and "nginx" in answer.words)
    return 300 <= code < 500 and code not in _GATEWAY_LOST_SIGHT


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
    elif answer.status_code in (408, 425) or answer.status_code >= 500:
        error = errors.ServerUnavailable
    return error(
        f"fal refused {what}: {words}.",
        request_id=request_id,
        status_code=answer.status_code,
        error_type=answer.error_type,
        retry_after=answer.retry_after,
    )


def _read_failure(answer: Answer, request_id: str) -> errors.PikaError:
    if answer.status_code == 404:
        if not isinstance(answer.body, dict):
            return errors.ServerUnavailable(f"A gateway answered: {answer.words}.", request_id=request_id)
        return errors.UnknownRequest(
            f"fal does not know this request: {answer.words}.", request_id=request_id, status_code=404
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
    if answer.error_type == "internal_error":
        return False
    marks = ("x-fal-retryable", "x-fal-needs-retry", _UNITS, "x-fal-request-timeout-type")
    if answer.error_type is not None or any(mark in answer.headers for mark in marks):
        return True
    explained = answer.get("detail") is not None
    if answer.status_code in (422, 499):
        return explained
    return explained and "x-fal-request-id" in answer.headers and answer.status_code not in (401, 403, 404, 429)


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
    )


def _may_pass(answer: Answer, error_type: str | None) -> bool:
    """Follow fal's word on a retry; two header names for it are documented (fal-protocol.md, 0.1)."""
    for header in ("x-fal-retryable", "x-fal-needs-retry"):
        if (value := answer.headers.get(header)) is not None:
            return value.strip().lower() in ("true", "1", "yes")
    passing = ("request_timeout", "startup_timeout", "internal_error", "runner_")
    return answer.status_code >= 500 or (error_type or "").startswith(passing)
