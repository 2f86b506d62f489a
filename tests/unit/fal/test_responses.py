from __future__ import annotations

import email.utils
import json
import time
from typing import Any

import pytest

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.fal import TEXT_TO_VIDEO, responses
from airflow_provider_pika.fal.http_answer import Answer
from airflow_provider_pika.fal.models import QueueStatus, Video

ID = "019e1951-c778-7120-9c82-16efcf40ec82"
CONTENT_POLICY = {
    "detail": [{"loc": ["body", "prompt"], "msg": "It was flagged.", "type": "content_policy_violation", "input": "x"}]
}


def answer(status_code: int, body: Any = None, **headers: str) -> Answer:
    text = body if isinstance(body, str) else json.dumps(body)
    return Answer.read(status_code, {name.replace("_", "-"): value for name, value in headers.items()}, text.encode())


def raised(read: Any, *arguments: Any) -> errors.PikaError:
    with pytest.raises(errors.PikaError) as caught:
        read(*arguments)
    return caught.value


# --- submit


def test_an_accepted_submit_gives_the_request_id() -> None:
    assert responses.submitted(answer(200, {"request_id": ID, "status": "IN_QUEUE"}), TEXT_TO_VIDEO) == ID


@pytest.mark.parametrize(
    "lost",
    [
        answer(200, "<html>"),
        answer(200, {}),
        answer(200, {"request_id": None}),
        answer(202, ""),
        answer(502, "<html><title>502 Bad Gateway</title>nginx</html>"),
        answer(504, {"detail": "timeout"}),
        answer(408, ""),
        answer(499, ""),
        answer(520, "web server returned an unknown error"),
        answer(524, "a timeout occurred"),
        answer(503, "upstream connect error or disconnect/reset before headers"),
        answer(500, "a gateway's own words, after it had passed the request on"),
        answer(503, "busy"),
        answer(503, "<html>nginx</html>"),
        answer(500, {"message": "Internal server error"}),  # AWS's gateway
        answer(500, {"detail": "Internal Server Error"}),  # one written with FastAPI
        answer(503, {"detail": [{"loc": ["body"], "msg": "busy", "type": "unavailable"}]}),
        answer(502, {"error_type": "GatewayError"}),
        answer(500, {"status": "NOT_FOUND"}),
        answer(301, "", location="https://elsewhere"),
        answer(303, "", location="/requests/1"),
        answer(307, "", location="https://elsewhere"),
        answer(304, ""),
        answer(100, ""),
        answer(700, ""),
        answer(200, {"request_id": "a/b?c"}),
        answer(200, "[" * 200_000),
        answer(200, {"detail": [{"loc": 3, "msg": "queued"}]}),
    ],
)
def test_an_answer_that_may_follow_an_acceptance_is_unknown_and_never_retried(lost: Answer) -> None:
    error = raised(responses.submitted, lost, TEXT_TO_VIDEO)
    assert type(error) is errors.SubmitUnknown
    assert not error.retry_helps
    assert "may be charged" in str(error)


@pytest.mark.parametrize(
    ("refusal", "kind", "retry_helps"),
    [
        (answer(401, {"detail": "invalid key credentials"}), errors.InvalidKey, False),
        (answer(403, {"detail": "User is locked. Reason: Exhausted balance."}), errors.ExhaustedBalance, False),
        (answer(403, {"detail": "Not yours"}), errors.AccessDenied, False),
        (answer(404, {"detail": 'Application "x" not found'}), errors.UnknownEndpoint, False),
        (answer(429, {"detail": "Slow down"}), errors.RateLimited, True),
        (answer(500, {"detail": "oops", "error_type": "internal_error"}), errors.ServerUnavailable, True),
        (answer(503, {"detail": "oops"}, x_fal_error_type="runner_scheduling_failure"), errors.ServerUnavailable, True),
        (answer(502, "<html>", x_fal_request_id=ID), errors.ServerUnavailable, True),
        (answer(404, {"message": "no Route matched with those values"}), errors.RequestRejected, False),
        (answer(404, "<html>"), errors.RequestRejected, False),
        (answer(407, "<html>"), errors.RequestRejected, False),
        (answer(451, "<html>"), errors.RequestRejected, False),
        (answer(403, "<html>"), errors.AccessDenied, False),
        (answer(425, ""), errors.ServerUnavailable, True),
        (answer(422, {"detail": "no"}), errors.RequestRejected, False),
    ],
)
def test_a_refused_submit_says_whether_a_retry_helps(
    refusal: Answer, kind: type[errors.PikaError], retry_helps: bool
) -> None:
    error = raised(responses.submitted, refusal, TEXT_TO_VIDEO)
    assert type(error) is kind
    assert error.retry_helps is retry_helps
    assert kind is errors.UnknownEndpoint or "Nothing was accepted" in str(error)


def test_a_refusal_that_passes_says_that_nothing_was_accepted() -> None:
    error = raised(responses.submitted, answer(503, {"detail": "busy"}, x_fal_error_type="x"), TEXT_TO_VIDEO)
    assert "Nothing was accepted; a retry submits again" in str(error)


@pytest.mark.parametrize(("value", "seconds"), [("17", 17.0), ("soon", None), ("", None)])
def test_retry_after_is_read_as_seconds(value: str, seconds: float | None) -> None:
    assert raised(responses.submitted, answer(429, {}, retry_after=value), TEXT_TO_VIDEO).retry_after == seconds


def test_retry_after_is_read_as_a_date_too() -> None:
    in_a_minute = email.utils.formatdate(time.time() + 60, usegmt=True)
    error = raised(responses.submitted, answer(429, {}, retry_after=in_a_minute), TEXT_TO_VIDEO)
    assert error.retry_after == pytest.approx(60, abs=10)


# --- status


@pytest.mark.parametrize("code", [200, 202])
def test_only_the_body_tells_a_status(code: int) -> None:
    assert responses.status(answer(code, {"status": "IN_QUEUE", "queue_position": 2}), ID).queue_position == 2


@pytest.mark.parametrize("body", [{"status": None}, {}, [], "null", "<html>"])
def test_a_status_that_cannot_be_read_is_looked_at_again(body: Any) -> None:
    assert type(raised(responses.status, answer(200, body), ID)) is errors.ForeignAnswer
    assert type(raised(responses.status, answer(200, body, x_fal_request_id=ID), ID)) is errors.UnexpectedAnswer


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED", "completed", "OK"])
def test_a_status_of_fals_that_is_not_known_fails_at_once_and_is_never_success(status: str) -> None:
    for said in (
        answer(200, {"status": status, "request_id": ID}),
        answer(202, {"status": status, "response_url": "https://queue.fal.run/x"}),
        answer(200, {"status": status}, x_fal_request_id=ID),
    ):
        error = raised(responses.status, said, ID)
        assert type(error) is errors.UnknownStatus
        assert not error.retry_helps


@pytest.mark.parametrize(
    "body", [{"status": "ok"}, {"status": "error", "message": "log in"}, {"status": "FAILED", "request_id": "another"}]
)
def test_a_gateways_object_with_a_status_is_looked_at_again(body: Any) -> None:
    error = raised(responses.status, answer(200, body), ID)
    assert type(error) is errors.ForeignAnswer
    assert error.retry_helps


@pytest.mark.parametrize(
    "odd",
    [
        {"logs": [{"message": "a", "timestamp": None, "level": 3}]},
        {"logs": "none"},
        {"metrics": [1]},
        {"metrics": {"inference_time": "n/a"}},
        {"queue_position": "many"},
    ],
)
def test_no_cosmetic_field_of_a_status_fails_a_healthy_wait(odd: dict[str, Any]) -> None:
    assert responses.status(answer(200, {"status": "IN_PROGRESS", **odd}), ID).status == "IN_PROGRESS"


def test_an_error_of_any_shape_in_a_completed_status_is_a_failure() -> None:
    seen = responses.status(answer(200, {"status": "COMPLETED", "error": {"code": 7}}), ID)
    outcome = responses.outcome(seen, VIDEO, ID)
    assert isinstance(outcome, errors.GenerationFailed)
    assert '"code": 7' in str(outcome)


def test_a_failed_look_says_that_the_request_goes_on() -> None:
    assert "The request goes on at fal" in str(raised(responses.status, answer(403, {"detail": "User is locked."}), ID))


@pytest.mark.parametrize(
    ("refusal", "kind", "retry_helps"),
    [
        (answer(404, {"status": "NOT_FOUND"}), errors.UnknownRequest, False),
        (answer(401, {"detail": "invalid key credentials"}), errors.InvalidKey, False),
        (answer(401, {"detail": 'Cannot access application "fal-ai/pika".'}), errors.InvalidKey, False),
        (answer(403, {"detail": "no"}, x_fal_request_id=ID), errors.AccessDenied, False),
        (answer(403, {"detail": "User is locked. Reason: Exhausted balance."}), errors.ExhaustedBalance, False),
        (answer(404, {"detail": 'Application "x" not found'}), errors.UnknownRequest, False),
        (answer(429, {}, retry_after="3"), errors.RateLimited, True),
        (answer(502, "<html>nginx</html>"), errors.ServerUnavailable, True),
        (answer(504, ""), errors.ServerUnavailable, True),
    ],
)
def test_a_failed_look_says_whether_another_one_helps(
    refusal: Answer, kind: type[errors.PikaError], retry_helps: bool
) -> None:
    error = raised(responses.status, refusal, ID)
    assert (type(error), error.retry_helps, error.request_id) == (kind, retry_helps, ID)


FOREIGN = [
    answer(302, "", location="https://login.example"),
    answer(307, {"detail": "moved"}),
    answer(400, "<html>Bad Request</html>"),
    answer(401, "<html>Log in</html>", www_authenticate="Basic"),
    answer(401, {"error": "invalid_token"}),
    answer(403, "<html>Attention Required! | Cloudflare</html>", server="cloudflare"),
    answer(403, {"message": "Forbidden"}),
    answer(404, {"message": "no Route matched with those values"}),
    answer(404, {"error": {"code": 404, "status": "NOT_FOUND"}}),
    answer(404, "<html>"),
    answer(404, ""),
    answer(405, {"detail": "Method Not Allowed"}),
    answer(407, "<html>"),
    answer(410, {}),
    answer(422, {"detail": [{"loc": ["header", "x-token"], "msg": "Field required", "type": "missing"}]}),
    answer(451, "blocked"),
    answer(200, "<html>Welcome to our hotel</html>"),
    answer(200, {"message": "ok"}),
    answer(200, ["ok"]),
    answer(204, ""),
    answer(300, ""),
]


@pytest.mark.parametrize("read", ["status", "result", "cancel"])
@pytest.mark.parametrize("said", FOREIGN, ids=lambda said: f"{said.status_code} {said.words[:30]}")
def test_an_answer_that_is_not_fals_says_nothing_of_a_request(said: Answer, read: str) -> None:
    if (read, said.status_code) == ("cancel", 204):  # any 2xx takes a cancellation, so an empty one does
        return
    calls = {
        "status": lambda: responses.status(said, ID),
        "result": lambda: responses.result(said, TEXT_TO_VIDEO, ID),
        "cancel": lambda: responses.cancelled(said, ID),
    }
    error = raised(calls[read])
    assert type(error) is errors.ForeignAnswer
    assert error.retry_helps
    assert f"HTTP {said.status_code}" in error.message
    assert said.headers.get("server", "") in error.message


DOUBTFUL = {
    401: errors.InvalidKey,
    403: errors.AccessDenied,
    404: errors.UnknownRequest,
    422: errors.InputRejected,
    499: errors.GenerationCancelled,
}


@pytest.mark.parametrize(("code", "kind"), DOUBTFUL.items())
def test_a_bare_detail_is_doubted_and_then_believed(code: int, kind: type[errors.PikaError]) -> None:
    error = raised(responses.result, answer(code, {"detail": "No"}), TEXT_TO_VIDEO, ID)
    assert type(error) is errors.DoubtfulAnswer
    assert error.retry_helps
    fals = responses.believed(error)
    assert (type(fals), fals.request_id, fals.status_code) == (kind, ID, code)


@pytest.mark.parametrize("code", [500, 502, 503, 504, 520, 599])
def test_a_gateways_5xx_names_the_gateway(code: int) -> None:
    error = raised(responses.status, answer(code, "<html>down</html>", server="nginx/1.25"), ID)
    assert type(error) is errors.ServerUnavailable
    assert f"HTTP {code}, server nginx/1.25, '<html>down</html>'" in error.message


# --- result


def test_the_video_is_read_with_null_for_what_fal_did_not_say() -> None:
    video = responses.result(answer(200, {"video": {"url": "https://v3b.fal.media/a.mp4"}}), TEXT_TO_VIDEO, ID)
    assert video.model_dump() == {
        "url": "https://v3b.fal.media/a.mp4",
        "content_type": None,
        "file_name": None,
        "file_size": None,
        "request_id": ID,
        "endpoint": TEXT_TO_VIDEO,
        "inference_time": None,
    }


@pytest.mark.parametrize("body", [{}, {"video": None}, {"video": {}}, {"video": {"url": "file:///etc"}}])
def test_a_result_of_fals_without_a_video_is_a_failure(body: Any) -> None:
    result = answer(200, body, x_fal_request_id=ID)
    assert type(raised(responses.result, result, TEXT_TO_VIDEO, ID)) is errors.GenerationFailed


@pytest.mark.parametrize("odd", [{"file_size": "1.5 MB"}, {"content_type": ["video/mp4"]}, {"file_name": 1}])
def test_no_cosmetic_field_of_a_result_costs_a_paid_video(odd: dict[str, Any]) -> None:
    url = "https://v3b.fal.media/a.mp4"
    assert responses.result(answer(200, {"video": {"url": url, **odd}}), TEXT_TO_VIDEO, ID).url == url


@pytest.mark.parametrize("body", ["<html>", [], "null"])
def test_a_result_that_cannot_be_read_is_looked_at_again(body: Any) -> None:
    assert type(raised(responses.result, answer(200, body), TEXT_TO_VIDEO, ID)) is errors.ForeignAnswer


def test_an_internal_error_is_the_requests_own_only_if_its_status_says_so() -> None:
    brought = raised(responses.result, answer(500, {"detail": "x", "error_type": "internal_error"}), TEXT_TO_VIDEO, ID)
    assert type(brought) is errors.ServerUnavailable
    status = QueueStatus(status="COMPLETED", error="x", error_type="internal_error")
    assert isinstance(responses.outcome(status, brought, ID), errors.GenerationInterrupted)


def test_a_result_that_is_still_in_progress_is_looked_at_again() -> None:
    error = raised(responses.result, answer(400, {"detail": "Request is still in progress"}), TEXT_TO_VIDEO, ID)
    assert error.retry_helps
    assert not isinstance(error, errors.GenerationFailed)


TYPED_500 = {"detail": [{"loc": ["body"], "msg": "boom", "type": "internal_server_error"}]}


@pytest.mark.parametrize(
    ("failure", "kind", "error_type"),
    [
        (answer(422, CONTENT_POLICY), errors.ContentPolicyViolation, "content_policy_violation"),
        (answer(422, {"detail": [{"loc": ["body", "prompt"], "msg": "Field required", "type": "missing"}]}),
         errors.InputRejected, "missing"),
        (answer(422, {"detail": "not migrated"}, x_fal_request_id=ID), errors.InputRejected, None),
        (answer(500, TYPED_500, x_fal_retryable="true"), errors.GenerationInterrupted, "internal_server_error"),
        (answer(500, TYPED_500, x_fal_retryable="false"), errors.GenerationFailed, "internal_server_error"),
        (answer(500, TYPED_500, x_fal_needs_retry="1"), errors.GenerationInterrupted, "internal_server_error"),
        (answer(400, TYPED_500, x_fal_needs_retry="1"), errors.GenerationInterrupted, "internal_server_error"),
        (answer(500, TYPED_500), errors.GenerationInterrupted, "internal_server_error"),
        (answer(503, {"detail": "gone", "error_type": "runner_disconnected"}),
         errors.GenerationInterrupted, "runner_disconnected"),
        (answer(504, {"detail": "late"}, x_fal_request_timeout_type="user", x_fal_error_type="startup_timeout"),
         errors.StartTimeout, "startup_timeout"),
        (answer(499, {"detail": "Request cancelled by the client.", "error_type": "client_cancelled"}),
         errors.GenerationCancelled, "client_cancelled"),
        (answer(503, {"detail": "late"}, x_fal_error_type="startup_timeout"),
         errors.GenerationInterrupted, "startup_timeout"),
        (answer(429, {"detail": [{"msg": "busy", "type": "concurrent_requests_limit"}]}, x_fal_request_id=ID),
         errors.GenerationFailed, "concurrent_requests_limit"),
        (answer(403, {"detail": [{"msg": "no", "type": "feature_not_supported"}]}),
         errors.GenerationFailed, "feature_not_supported"),
        (answer(404, {"detail": "Path /x not found"}, x_fal_billable_units="0"), errors.GenerationFailed, None),
        (answer(500, {"detail": "boom"}, x_fal_request_id=ID), errors.GenerationInterrupted, None),
    ],
)  # fmt: skip
def test_the_requests_own_failure_is_told_by_its_type(
    failure: Answer, kind: type[errors.PikaError], error_type: str | None
) -> None:
    error = raised(responses.result, failure, TEXT_TO_VIDEO, ID)
    assert (type(error), error.error_type, error.request_id) == (kind, error_type, ID)


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (answer(408, {"detail": "Request Timeout"}), errors.ServerUnavailable),
        (answer(425, {"detail": "Too Early"}), errors.ServerUnavailable),
        (answer(429, {"detail": "slow down"}, x_fal_request_id=ID), errors.RateLimited),
        (answer(404, {"detail": "Not Found"}), errors.DoubtfulAnswer),
        (answer(404, {"status": "NOT_FOUND"}, x_fal_request_id=ID), errors.UnknownRequest),
        (answer(401, {"detail": "invalid key credentials"}, x_fal_request_id=ID), errors.InvalidKey),
        (answer(400, {"detail": "Request is still in progress."}), errors.ServerUnavailable),
    ],
)
def test_a_gateways_or_fals_own_answer_is_no_failure_of_the_request(
    failure: Answer, kind: type[errors.PikaError]
) -> None:
    assert type(raised(responses.result, failure, TEXT_TO_VIDEO, ID)) is kind


@pytest.mark.parametrize("code", [500, 502, 503, 504])
def test_trouble_on_the_way_to_the_result_is_no_failure_of_the_request(code: int) -> None:
    error = raised(responses.result, answer(code, "<html>nginx</html>"), TEXT_TO_VIDEO, ID)
    assert type(error) is errors.ServerUnavailable


def test_fals_own_words_and_what_to_do_stand_in_the_message() -> None:
    message = str(raised(responses.result, answer(422, CONTENT_POLICY), TEXT_TO_VIDEO, ID))
    assert "prompt: It was flagged" in message
    assert f"request id {ID}, type content_policy_violation, HTTP 422" in message
    assert "Change the prompt. fal refuses the same one again" in message


def test_an_answer_of_a_megabyte_does_not_make_a_message_of_a_megabyte() -> None:
    assert len(str(raised(responses.status, answer(500, "x" * 1_000_000), ID))) < 1500


# --- status and result together

FAILED = QueueStatus(status="COMPLETED", error="Request timed out", error_type="request_timeout")
VIDEO = Video(url="https://v3b.fal.media/a.mp4", request_id=ID, endpoint=TEXT_TO_VIDEO)


def test_a_completed_status_with_an_error_fails_even_if_a_result_is_there() -> None:
    outcome = responses.outcome(FAILED, VIDEO, ID)
    assert isinstance(outcome, errors.GenerationInterrupted)
    assert "Request timed out" in str(outcome)


def test_a_completed_status_with_an_error_needs_no_readable_result() -> None:
    gone = errors.UnknownRequest("gone")
    assert isinstance(responses.outcome(FAILED, gone, ID), errors.GenerationFailed)


def test_the_results_own_words_come_before_the_statuss() -> None:
    said = errors.ContentPolicyViolation("flagged")
    assert responses.outcome(FAILED, said, ID) is said


def test_the_inference_time_comes_from_the_status() -> None:
    seen = QueueStatus.model_validate({"status": "COMPLETED", "metrics": {"inference_time": 12.5}})
    outcome = responses.outcome(seen, VIDEO, ID)
    assert isinstance(outcome, Video)
    assert outcome.inference_time == 12.5


# --- cancel


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        (answer(202, {"status": "CANCELLATION_REQUESTED"}), True),
        (answer(200, {"success": True}), True),
        (answer(200, {"status": "OK"}), True),
        (answer(204, ""), True),
        (answer(202, {}, x_fal_request_id=ID), True),
        (answer(400, {"status": "ALREADY_COMPLETED"}), False),
    ],
)
def test_a_cancel_says_whether_it_came_in_time(said: Answer, taken: bool) -> None:
    assert responses.cancelled(said, ID) is taken


def test_a_cancel_of_an_unknown_request_is_an_error() -> None:
    assert type(raised(responses.cancelled, answer(404, {"status": "NOT_FOUND"}), ID)) is errors.UnknownRequest


def test_a_cancel_that_fal_does_not_take_is_not_said_to_be_taken() -> None:
    for body in ({"success": False}, {"status": "ok"}, {"status": "QUEUED"}):
        assert raised(responses.cancelled, answer(200, body), ID).retry_helps
    assert type(raised(responses.cancelled, answer(200, {"status": "NOT_FOUND"}), ID)) is errors.UnknownRequest


# --- history


@pytest.mark.parametrize("said", [answer(403, "<html>"), answer(404, {"message": "no"}), answer(302, "")])
def test_a_history_that_something_else_refuses_is_not_to_be_had(said: Answer) -> None:
    error = raised(responses.history, said)
    assert type(error) is errors.RequestRejected
    assert "in front of fal" in error.message


@pytest.mark.parametrize("said", [answer(200, "<html>"), answer(200, {"message": "ok"}), answer(503, "<html>")])
def test_a_history_that_cannot_be_read_just_now_is_read_again(said: Answer) -> None:
    assert raised(responses.history, said).retry_helps
