"""The queue's rules, one by one (fal-protocol.md 2)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.integration.emulator.talk import ENDPOINT, Caller
from tests.support.emulator import RunningEmulator

UNKNOWN = "7f0f0b0e-5e1c-4c4e-9d6e-2b1a4a5f9c11"
IMAGE = "https://v3b.fal.media/files/b/cat.png"


@pytest.fixture(scope="module")
def unrendered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """Yield an emulator that does not draw, for the tests that open no file."""
    folder = tmp_path_factory.mktemp("unrendered")
    with RunningEmulator.start(folder, generation_time="0", extra=["--render", "off"]) as emulator:
        yield Caller(emulator)


def test_a_submission_is_answered_with_all_eight_fields_in_order(caller: Caller, emulator: RunningEmulator) -> None:
    reply = caller.post("a cat")
    body = reply.json()
    base = f"{emulator.queue_url}/fal-ai/pika/requests/{body['request_id']}"
    assert reply.status_code == 200
    assert reply.headers["x-fal-request-id"] == body["request_id"]
    assert list(body.items()) == [
        ("status", "IN_QUEUE"),
        ("request_id", body["request_id"]),
        ("response_url", base),
        ("status_url", f"{base}/status"),
        ("cancel_url", f"{base}/cancel"),
        ("logs", None),
        ("metrics", {}),
        ("queue_position", 0),
    ]


@pytest.mark.parametrize(
    ("path", "given", "units"),
    [
        ("v2.5/text-to-video", {"duration": 10}, "10"),
        ("v2.2/text-to-video", {"duration": 10}, "1"),
        ("v2.2/text-to-video", {"resolution": "1080p"}, "2.25"),
        ("v2.1/text-to-video", {"duration": 7}, "1"),
        ("v2.1/image-to-video", {"duration": 7}, "1"),
        ("v2/turbo/text-to-video", {}, "1"),
        ("v2/turbo/image-to-video", {}, "1"),
        ("v2/pikaswaps", {}, "1"),
        ("v2.2/pikaframes", {"transitions": [{"duration": 3}]}, "5"),
        ("v2.2/pikaframes", {"transitions": [{"duration": 8}]}, "8"),
    ],
)
def test_billable_units_are_seconds_or_one_for_a_price_a_video(
    unrendered: Caller, path: str, given: dict[str, object], units: str
) -> None:
    media = {"image_url": IMAGE, "image_urls": [IMAGE, IMAGE], "video_url": IMAGE, "resolution": "720p"}
    reply = unrendered.generate("a cat", endpoint=f"fal-ai/pika/{path}", **{**media, **given})
    assert (reply.status_code, reply.headers["X-Fal-Billable-Units"]) == (200, units)


@pytest.mark.parametrize(("billed", "units"), [("", None), (" billed=true", "10")])
def test_a_refused_prompt_may_be_charged_for(unrendered: Caller, billed: str, units: str | None) -> None:
    reply = unrendered.generate(f"a cat [[content_policy_violation{billed}]]", duration=10)
    assert (reply.status_code, reply.headers.get("X-Fal-Billable-Units")) == (422, units)


def test_a_request_ends_in_a_video_with_its_billable_seconds(caller: Caller, finished: str) -> None:
    reply = caller.result(finished)
    video = reply.json()["video"]
    assert reply.status_code == 200
    assert list(video) == ["url", "content_type", "file_name", "file_size"]
    assert video["content_type"] == "video/mp4"
    assert reply.headers["X-Fal-Billable-Units"] == "5"
    assert reply.headers["x-fal-request-id"]


def test_equal_submissions_are_separate_requests(caller: Caller, emulator: RunningEmulator) -> None:
    assert caller.submit("twins") != caller.submit("twins")
    assert emulator.counts()["submit"] == {"received": 2, "accepted": 2, "refused": 0}


def test_wrong_input_is_accepted_and_fails_as_the_models_own_422(caller: Caller) -> None:
    request_id = caller.submit("a cat", duration=7)
    status = caller.until(request_id, "COMPLETED")
    assert "error" not in status
    reply = caller.result(request_id)
    (entry,) = reply.json()["detail"]
    assert reply.status_code == 422
    assert (entry["loc"], entry["type"], entry["input"]) == (["body", "duration"], "literal_error", 7)
    assert set(entry) >= {"msg", "url"}
    assert reply.headers["X-Fal-Retryable"] == "false"
    assert reply.headers["X-Fal-Needs-Retry"] == "0"


@pytest.mark.parametrize("body", [b"not json", b"", b"[]", b"\xff\xfe"])
def test_a_body_that_is_no_json_object_fails_when_it_runs(caller: Caller, body: bytes) -> None:
    reply = caller.http.post(f"/{ENDPOINT}", content=body)
    assert reply.status_code == 200
    outcome = caller.outcome(reply.json()["request_id"])
    assert (outcome.status_code, outcome.json()["detail"][0]["type"]) == (422, "json_invalid")


def test_a_missing_prompt_is_named(caller: Caller) -> None:
    reply = caller.http.post(f"/{ENDPOINT}", json={})
    (entry,) = caller.outcome(reply.json()["request_id"]).json()["detail"]
    assert (entry["loc"], entry["type"]) == (["body", "prompt"], "missing")


def test_an_unknown_path_of_a_known_app_fails_as_the_apps_404(caller: Caller) -> None:
    reply = caller.generate("a cat", endpoint="fal-ai/pika/v9/text-to-video")
    assert (reply.status_code, reply.json()) == (404, {"detail": "Path /v9/text-to-video not found"})
    assert reply.headers["x-fal-billable-units"] == "0"


@pytest.mark.parametrize("key", [{"Authorization": "Key test-key"}, {}])
def test_an_unknown_app_is_refused(emulator: RunningEmulator, key: dict[str, str]) -> None:
    reply = httpx.post(f"{emulator.queue_url}/fal-ai/h3-max/x", json={}, headers=key)
    assert (reply.status_code, reply.json()) == (404, {"detail": 'Application "h3-max" not found'})


@pytest.mark.parametrize(
    ("header", "detail"),
    [
        ("Key", "invalid key credentials"),
        ("Basic abc", "invalid key credentials"),
        ("Bearer abc", "bearer: unable to decode issuer"),
        (None, 'Cannot access application "fal-ai/pika"'),
    ],
)
def test_a_caller_without_a_good_key_is_refused(emulator: RunningEmulator, header: str | None, detail: str) -> None:
    headers = {} if header is None else {"Authorization": header}
    reply = httpx.post(f"{emulator.queue_url}/{ENDPOINT}", json={"prompt": "a cat"}, headers=headers)
    assert reply.status_code == 401
    assert reply.json()["detail"].startswith(detail)
    assert emulator.counts()["submit"] == {"received": 1, "accepted": 0, "refused": 1}


@pytest.mark.parametrize("operation", ["status", "result", "cancel"])
def test_an_unknown_id_is_not_found(caller: Caller, operation: str) -> None:
    reply: httpx.Response = getattr(caller, operation)(UNKNOWN)
    assert (reply.status_code, reply.json()) == (404, {"status": "NOT_FOUND"})


def test_a_random_id_tells_a_good_key_from_a_bad_one(emulator: RunningEmulator) -> None:
    url = f"{emulator.queue_url}/fal-ai/pika/requests/{UNKNOWN}/status"
    assert httpx.get(url, headers={"Authorization": "Key"}).status_code == 401
    assert httpx.get(url).status_code == 404


def test_status_is_202_until_it_is_200(caller: Caller, busy: list[str]) -> None:
    queued = caller.submit("a cat")
    assert caller.status(queued).status_code == 202
    assert caller.status(busy[0]).status_code == 202
    caller.cancel(busy[0])
    caller.until(queued, "COMPLETED")
    assert caller.status(queued).status_code == 200


def test_positions_count_from_nought_and_only_while_queued(caller: Caller, busy: list[str]) -> None:
    first, second = caller.submit("first"), caller.submit("second")
    assert [caller.status(each).json()["queue_position"] for each in (first, second)] == [0, 1]
    assert "queue_position" not in caller.status(busy[0]).json()
    caller.cancel(first)
    assert caller.status(second).json()["queue_position"] == 0


def test_low_priority_waits_behind_normal(caller: Caller, busy: list[str]) -> None:
    low = caller.submit("low", headers={"X-Fal-Queue-Priority": "low"})
    normal = caller.submit("normal")
    assert [caller.status(each).json()["queue_position"] for each in (low, normal)] == [1, 0]


@pytest.mark.drawn
@pytest.mark.parametrize("logs", ["1", "true"])
def test_logs_come_in_full_form_when_asked_for(caller: Caller, logs: str) -> None:
    request_id = caller.submit("a cat")
    caller.outcome(request_id)
    body = caller.status(request_id, logs=logs).json()
    messages = [entry["message"] for entry in body["logs"]]
    assert 5 <= len(messages) <= 8
    assert messages[0] == "Starting generation"
    assert "Rendered 48/120 frames" in messages
    entry = body["logs"][0]
    assert entry["timestamp"].endswith("Z")
    assert (entry["level"], entry["source"]) == ("INFO", "USER")
    assert entry["labels"] == {"level": "INFO", "source": "USER"}


@pytest.mark.parametrize("params", [{}, {"logs": "0"}, {"logs": "false"}])
def test_logs_are_null_when_not_asked_for(caller: Caller, finished: str, params: dict[str, str]) -> None:
    assert caller.status(finished, **params).json()["logs"] is None


def test_a_finished_request_says_how_long_it_ran(caller: Caller, finished: str) -> None:
    metrics = caller.status(finished).json()["metrics"]
    assert 0.05 < metrics["inference_time"] < 20


@pytest.mark.parametrize("slash", ["", "/"])
def test_requests_answer_under_their_app(caller: Caller, finished: str, slash: str) -> None:
    base = f"/fal-ai/pika/requests/{finished}"
    assert caller.http.get(f"{base}/status{slash}").json()["status"] == "COMPLETED"
    assert caller.http.get(f"{base}/status/stream{slash}").status_code == 200
    assert caller.http.get(f"{base}{slash}").status_code == 200
    assert caller.http.put(f"{base}/cancel{slash}").status_code == 400


OPERATIONS = [("GET", "/status"), ("GET", "/status/stream"), ("GET", ""), ("PUT", "/cancel"), ("GET", "/response")]


@pytest.mark.parametrize("path", [ENDPOINT, "fal-ai/pika/v2.2/pikascenes", "fal-ai/pika/v9", "fal-ai/pika/requests"])
@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(("method", "operation"), OPERATIONS)
def test_requests_do_not_answer_under_their_endpoint(
    caller: Caller, busy: list[str], path: str, slash: str, method: str, operation: str
) -> None:
    reply = caller.http.request(method, f"/{path}/requests/{busy[0]}{operation}{slash}")
    assert (reply.status_code, reply.json()) == (405, {"detail": "Method Not Allowed"})
    assert caller.status(busy[0]).json()["status"] == "IN_PROGRESS"


@pytest.mark.parametrize("request_id", [None, UNKNOWN])
def test_the_path_is_refused_before_id_and_key_are_looked_at(
    emulator: RunningEmulator, finished: str, request_id: str | None
) -> None:
    url = f"{emulator.queue_url}/{ENDPOINT}/requests/{request_id or finished}/status"
    assert httpx.get(url).status_code == 405
    assert httpx.get(url, headers={"Authorization": "Bearer no"}).status_code == 405


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_result_has_no_suffix(caller: Caller, finished: str, slash: str) -> None:
    assert caller.http.get(f"/fal-ai/pika/requests/{finished}/response{slash}").status_code == 405


@pytest.mark.parametrize(
    ("method", "operation"),
    [
        (method, operation)
        for operation in ("", "/status", "/status/stream", "/cancel", "/response", "/logs")
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
        if (method, operation) not in OPERATIONS[:-1]
    ],
)
@pytest.mark.parametrize("app", ["fal-ai/pika", ENDPOINT])
def test_no_other_method_answers_and_none_submits(
    caller: Caller, emulator: RunningEmulator, finished: str, method: str, operation: str, app: str
) -> None:
    before = len(emulator.requests())
    reply = caller.http.request(method, f"/{app}/requests/{finished}{operation}")
    assert reply.status_code == 405
    assert (len(emulator.requests()), emulator.counts()["submit"]["received"]) == (before, 0)


@pytest.mark.parametrize(("method", "operation"), [*OPERATIONS, ("POST", "")])
@pytest.mark.parametrize(
    ("path", "alias"),
    [("fal-ai/h3-max", "h3-max"), ("fal-ai/pika2/v2.5/text-to-video", "pika2"), ("pika", "pika"), ("me/pika", "pika")],
)
def test_a_request_is_not_found_under_an_app_that_does_not_exist(
    caller: Caller, busy: list[str], method: str, operation: str, path: str, alias: str
) -> None:
    reply = caller.http.request(method, f"/{path}/requests/{busy[0]}{operation}")
    assert (reply.status_code, reply.json()) == (404, {"detail": f'Application "{alias}" not found'})
    assert caller.status(busy[0]).json()["status"] == "IN_PROGRESS"


def test_a_submission_may_end_in_a_slash(caller: Caller) -> None:
    assert caller.post("a cat", endpoint=f"{ENDPOINT}/").status_code == 200


def test_a_result_too_early_is_a_400(caller: Caller, busy: list[str]) -> None:
    reply = caller.result(busy[0])
    assert (reply.status_code, reply.json()) == (400, {"detail": "Request is still in progress"})


def test_a_queued_request_is_cancelled_for_good(caller: Caller, busy: list[str]) -> None:
    request_id = caller.submit("a cat")
    reply = caller.cancel(request_id)
    assert (reply.status_code, reply.json()) == (200, {"status": "OK"})
    status = caller.status(request_id).json()
    assert (status["status"], status["error_type"]) == ("COMPLETED", "client_cancelled")
    result = caller.result(request_id)
    assert (result.status_code, result.headers["X-Fal-Error-Type"]) == (499, "client_cancelled")


def test_a_running_request_honours_a_cancel(caller: Caller, busy: list[str]) -> None:
    asked = caller.cancel(busy[0])
    assert (asked.status_code, asked.json()) == (202, {"status": "CANCELLATION_REQUESTED"})
    reply = caller.outcome(busy[0])
    assert (reply.status_code, reply.json()) == (499, {"detail": "Request cancelled by the client."})


def test_a_cancel_right_after_the_submission_ends_the_request(caller: Caller, emulator: RunningEmulator) -> None:
    """The runner may have the request without having begun it."""
    for _ in range(10):
        request_id = caller.submit("quick [[never_finish]]")
        caller.cancel(request_id)
        assert caller.outcome(request_id).status_code == 499


def test_a_request_that_is_cancelled_in_the_queue_is_finished(caller: Caller, busy: list[str]) -> None:
    request_id = caller.submit("a cat")
    assert [caller.cancel(request_id).json()["status"] for _ in range(2)] == ["OK", "ALREADY_COMPLETED"]


def test_a_finished_request_cannot_be_cancelled(caller: Caller, finished: str) -> None:
    reply = caller.cancel(finished)
    assert (reply.status_code, reply.json()) == (400, {"status": "ALREADY_COMPLETED"})
    assert caller.result(finished).status_code == 200


def test_a_start_deadline_is_kept(caller: Caller, busy: list[str]) -> None:
    began = time.monotonic()
    request_id = caller.submit("a cat", headers={"X-Fal-Request-Timeout": "0.4"})
    assert caller.status(request_id).json()["status"] == "IN_QUEUE"
    status = caller.until(request_id, "COMPLETED")
    assert time.monotonic() - began > 0.3
    assert (status["error"], status["error_type"]) == ("Request timed out", "startup_timeout")
    reply = caller.result(request_id)
    assert (reply.status_code, reply.headers["X-Fal-Request-Timeout-Type"]) == (504, "user")


def test_a_request_that_started_in_time_is_left_alone(caller: Caller) -> None:
    assert caller.generate("a cat", headers={"X-Fal-Request-Timeout": "5"}).status_code == 200


CURRENT, DEPRECATED = "X-Fal-Request-Start-Timeout", "X-Fal-Request-Timeout"


@pytest.mark.parametrize(
    ("headers", "in_time"),
    [
        ({CURRENT: "0.2"}, False),
        ({CURRENT: "0.2", DEPRECATED: "60"}, False),
        ({CURRENT: "60", DEPRECATED: "0.2"}, True),
        ({CURRENT: "60", DEPRECATED: "soon"}, True),
    ],
)
def test_the_current_header_of_the_start_deadline_wins(
    caller: Caller, busy: list[str], headers: dict[str, str], in_time: bool
) -> None:
    request_id = caller.submit("a cat", headers=headers)
    time.sleep(0.6)
    assert caller.status(request_id).json()["status"] == ("IN_QUEUE" if in_time else "COMPLETED")


@pytest.mark.parametrize("header", [CURRENT, DEPRECATED])
@pytest.mark.parametrize("seconds", ["0.1", "soon", "-1", "inf"])
def test_a_start_deadline_must_be_above_a_tenth_of_a_second(caller: Caller, header: str, seconds: str) -> None:
    reply = caller.post("a cat", headers={header: seconds})
    assert (reply.status_code, reply.json()["error_type"]) == (400, "bad_request")
    assert reply.json()["detail"].startswith(f"{header} must be")


@pytest.mark.parametrize("priority", ["high", "LOW", "", "1"])
def test_a_priority_that_is_not_recognised_is_ignored(caller: Caller, busy: list[str], priority: str) -> None:
    low = caller.submit("low", headers={"X-Fal-Queue-Priority": "low"})
    other = caller.submit("other", headers={"X-Fal-Queue-Priority": priority})
    assert [caller.status(each).json()["queue_position"] for each in (low, other)] == [1, 0]


@pytest.mark.parametrize("value", ["1", "true", "Yes"])
def test_a_caller_may_forbid_the_queue_to_try_again(caller: Caller, value: str) -> None:
    request_id = caller.submit("a cat [[requeue]]", headers={"X-Fal-No-Retry": value})
    assert caller.until(request_id, "COMPLETED")["error_type"] == "runner_disconnected"
    assert caller.result(request_id).status_code == 503


def test_a_queue_tries_again_unless_it_is_forbidden(caller: Caller) -> None:
    assert caller.generate("a cat [[requeue]]", headers={"X-Fal-No-Retry": "0"}).status_code == 200


def test_a_queue_that_is_too_long_for_the_caller_is_a_429(caller: Caller, busy: list[str]) -> None:
    assert caller.post("first", params={"fal_max_queue_length": "0"}).status_code == 200
    assert caller.post("second", params={"fal_max_queue_length": "0"}).status_code == 429
    assert caller.post("third", params={"fal_max_queue_length": "1"}).status_code == 200


def events(caller: Caller, request_id: str, logs: str) -> list[dict[str, object]]:
    path = f"/fal-ai/pika/requests/{request_id}/status/stream"
    with caller.http.stream("GET", path, params={"logs": logs}) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        return [json.loads(line.removeprefix("data: ")) for line in reply.iter_lines() if line.startswith("data: ")]


@pytest.mark.drawn
def test_a_stream_ends_with_completed_and_repeats_no_log_line(caller: Caller) -> None:
    seen = events(caller, caller.submit("a cat"), "1")
    messages = [entry["message"] for event in seen for entry in event["logs"]]  # type: ignore[attr-defined]
    assert seen[-1]["status"] == "COMPLETED"
    assert {event["status"] for event in seen} <= {"IN_QUEUE", "IN_PROGRESS", "COMPLETED"}
    assert messages[0] == "Starting generation"
    assert len(messages) == len(set(messages)) >= 5


def test_a_stream_without_logs_has_none(caller: Caller) -> None:
    assert {event["logs"] for event in events(caller, caller.submit("a cat"), "0")} == {None}
