"""Each fault that can be asked for, as a client meets it."""

from __future__ import annotations

import io
import socket
import time

import av
import httpx
import pytest

from tests.integration.emulator.talk import ENDPOINT, Caller
from tests.support.emulator import RunningEmulator


def test_a_lost_reply_is_a_request_that_was_accepted(caller: Caller, emulator: RunningEmulator) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        caller.post("lost once [[lost_reply]]")
    assert emulator.counts()["submit"] == {"received": 1, "accepted": 1, "refused": 0}
    assert len(emulator.requests("lost once")) == 1


def test_a_caller_that_repeats_a_lost_submission_has_two_requests(caller: Caller, emulator: RunningEmulator) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        caller.post("naive [[lost_reply]]")
    assert caller.post("naive [[lost_reply]]").status_code == 200
    assert len(emulator.requests("naive")) == 2


def test_a_lost_submission_is_lost_again_in_the_next_run(caller: Caller, emulator: RunningEmulator) -> None:
    """A collected result ends the run: the same prompt then starts anew."""
    for run in (1, 2):
        with pytest.raises(httpx.RemoteProtocolError):
            caller.post("recovered [[lost_reply]]")
        requests = emulator.requests("recovered")
        assert len(requests) == run
        assert caller.outcome(requests[-1]["request_id"]).status_code == 200


def test_a_stalled_reply_is_held_back(caller: Caller, emulator: RunningEmulator) -> None:
    began = time.monotonic()
    assert caller.post("slow [[stall seconds=0.5]]").status_code == 200
    assert time.monotonic() - began >= 0.5
    emulator.fault("stall", match="stuck")
    with pytest.raises(httpx.ReadTimeout):
        caller.http.post(f"/{ENDPOINT}", json={"prompt": "stuck"}, timeout=0.3)
    assert len(emulator.requests("stuck")) == 1


def test_a_reset_comes_before_anything_is_processed(emulator: RunningEmulator) -> None:
    emulator.fault("reset")
    host, port = emulator.queue_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /{ENDPOINT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Key k\r\nContent-Length: 2\r\n\r\n"
        connection.sendall(head.encode() + b"{}")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    assert emulator.counts()["submit"] == {"received": 1, "accepted": 0, "refused": 1}


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateway_error_is_nginx_own_page(caller: Caller, status: int) -> None:
    reply = caller.post(f"a cat [[http_{status}]]")
    assert reply.status_code == status
    assert reply.headers["content-type"].startswith("text/html")
    assert "nginx" in reply.text
    assert "x-fal-request-id" not in reply.headers


def test_a_server_error_is_json(caller: Caller) -> None:
    reply = caller.post("a cat [[http_500]]")
    assert (reply.status_code, reply.json()["error_type"]) == (500, "internal_error")


def test_a_429_says_when_to_come_back_only_if_asked_to(caller: Caller) -> None:
    assert "retry-after" not in caller.post("a cat [[http_429]]").headers
    reply = caller.post("a dog [[http_429 retry_after=7]]")
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "7")


def test_a_locked_account_is_a_403(caller: Caller) -> None:
    reply = caller.post("a cat [[locked]]")
    assert reply.status_code == 403
    assert "Exhausted balance" in reply.json()["detail"]


def test_a_malformed_reply_is_accepted_and_unreadable(caller: Caller, emulator: RunningEmulator) -> None:
    reply = caller.post("garbled [[malformed]]")
    assert reply.status_code == 200
    with pytest.raises(ValueError, match="Expecting value"):
        reply.json()
    assert len(emulator.requests("garbled")) == 1


def test_a_refusal_lasts_as_often_as_asked_and_starts_anew_in_the_next_run(
    caller: Caller, emulator: RunningEmulator
) -> None:
    for run in (1, 2):
        assert [caller.post("stubborn [[http_503 times=2]]").status_code for _ in range(3)] == [503, 503, 200]
        assert len(emulator.requests("stubborn")) == run
    assert emulator.counts()["submit"] == {"received": 6, "accepted": 2, "refused": 4}


@pytest.mark.parametrize("operation", ["status", "result", "cancel"])
def test_other_operations_fail_once_for_each_request(caller: Caller, operation: str) -> None:
    for _ in range(2):
        request_id = caller.submit(f"a cat [[http_502 on={operation}]]")
        call = getattr(caller, operation)
        assert [call(request_id).status_code == 502 for _ in range(2)] == [True, False]


def test_a_file_can_be_refused(caller: Caller) -> None:
    url = caller.video("a cat [[http_503 on=file]]")["url"]
    assert [caller.http.get(url).status_code for _ in range(2)] == [503, 200]


def test_the_history_can_be_refused_for_a_request_in_it(caller: Caller) -> None:
    request_id = caller.submit("historic [[http_500 on=history]]")
    caller.until(request_id, "COMPLETED")
    query = {"endpoint_id": ENDPOINT, "request_id": request_id}
    path = "/v1/models/requests/by-endpoint"
    assert [caller.http.get(path, params=query).status_code for _ in range(2)] == [500, 200]


def test_an_admin_fault_strikes_where_it_matches_and_as_often_as_asked(
    caller: Caller, emulator: RunningEmulator
) -> None:
    emulator.fault("http_503", times=2, match="dog")
    assert caller.post("a cat").status_code == 200
    assert [caller.post("a dog").status_code for _ in range(3)] == [503, 503, 200]


def test_admin_faults_can_be_listed_and_cleared(caller: Caller, emulator: RunningEmulator) -> None:
    emulator.fault("http_503", on="status", times=3)
    (fault,) = caller.http.get("/_emulator/faults").json()
    assert (fault["fault"], fault["on"], fault["left"]) == ("http_503", "status", 3)
    emulator.clear_faults()
    assert caller.http.get("/_emulator/faults").json() == []
    assert caller.status(caller.submit("a cat")).status_code == 202


def test_the_admin_faults_of_one_match_can_be_cleared(caller: Caller, emulator: RunningEmulator) -> None:
    emulator.fault("http_503", match="dog")
    emulator.fault("http_503", match="cat")
    emulator.clear_faults("dog")
    assert [fault["match"] for fault in caller.http.get("/_emulator/faults").json()] == ["cat"]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"fault": "sunset"}, "sunset"), ({"fault": "reset", "seconds": 1}, "seconds"), ({}, "fault")],
)
def test_an_unknown_admin_fault_is_a_422_that_names_it(caller: Caller, wrong: dict[str, object], named: str) -> None:
    reply = caller.http.post("/_emulator/faults", json=wrong)
    assert reply.status_code == 422
    assert named in reply.text


def test_an_unknown_directive_is_text(caller: Caller) -> None:
    assert caller.generate("a cat [[sunset]]").status_code == 200


@pytest.mark.parametrize(
    ("directive", "status", "kind", "retryable"),
    [
        ("content_policy_violation", 422, "content_policy_violation", "false"),
        ("generation_error retryable=true", 500, "internal_server_error", "true"),
        ("generation_error", 500, "internal_server_error", "false"),
        ("downstream_error retryable=true", 400, "downstream_service_error", "true"),
    ],
)
def test_a_model_error_is_completed_and_said_by_the_result_alone(
    caller: Caller, directive: str, status: int, kind: str, retryable: str
) -> None:
    request_id = caller.submit(f"a cat [[{directive}]]")
    assert "error" not in caller.until(request_id, "COMPLETED")
    reply = caller.result(request_id)
    assert (reply.status_code, reply.json()["detail"][0]["type"]) == (status, kind)
    assert reply.headers["X-Fal-Retryable"] == retryable
    assert reply.headers["X-Fal-Needs-Retry"] == {"true": "1", "false": "0"}[retryable]


def test_an_infrastructure_error_is_on_the_status_too(caller: Caller) -> None:
    request_id = caller.submit("a cat [[runner_error]]")
    status = caller.until(request_id, "COMPLETED")
    assert (status["error"], status["error_type"]) == ("Runner disconnected", "runner_disconnected")
    reply = caller.result(request_id)
    assert (reply.status_code, reply.headers["X-Fal-Error-Type"]) == (503, "runner_disconnected")


def test_a_start_timeout_can_be_had_without_waiting(caller: Caller) -> None:
    request_id = caller.submit("a cat [[start_timeout]]")
    assert caller.until(request_id, "COMPLETED")["error_type"] == "startup_timeout"
    assert caller.result(request_id).headers["X-Fal-Request-Timeout-Type"] == "user"


def test_a_requeued_request_goes_back_and_ends_well_under_its_id(caller: Caller) -> None:
    request_id = caller.submit("a cat [[requeue]]")
    seen: list[str] = []
    while seen[-1:] != ["COMPLETED"]:
        state = caller.status(request_id).json()["status"]
        seen += [state] if seen[-1:] != [state] else []
        time.sleep(0.01)
    assert seen[-4:] == ["IN_PROGRESS", "IN_QUEUE", "IN_PROGRESS", "COMPLETED"]
    assert caller.result(request_id).status_code == 200


def test_an_expired_result_is_completed_and_gone(caller: Caller) -> None:
    request_id = caller.submit("a cat [[expire]]")
    assert "error" not in caller.until(request_id, "COMPLETED")
    assert caller.result(request_id).status_code == 404


def test_a_running_request_may_ignore_a_cancel(caller: Caller) -> None:
    request_id = caller.submit("a cat [[ignore_cancel]]", resolution="1080p")
    caller.until(request_id, "IN_PROGRESS")
    assert caller.cancel(request_id).status_code == 202
    assert caller.outcome(request_id).status_code == 200


@pytest.mark.drawn
def test_a_clip_of_the_wrong_length_is_about_half_of_it(caller: Caller) -> None:
    content = caller.http.get(caller.video("a cat [[wrong_length]]")["url"]).content
    with av.open(io.BytesIO(content), "r") as container:
        assert container.duration == 2_500_000


def test_a_truncated_file_is_half_of_what_the_result_says(caller: Caller) -> None:
    video = caller.video("a cat [[truncated_file]]")
    reply = caller.http.get(video["url"])
    assert len(reply.content) == int(reply.headers["content-length"]) == video["file_size"] // 2


def test_a_broken_file_has_the_right_type_and_size_and_is_no_video(caller: Caller) -> None:
    video = caller.video("a cat [[broken_file]]")
    reply = caller.http.get(video["url"])
    assert reply.headers["content-type"] == "video/mp4"
    assert len(reply.content) == video["file_size"]
    with pytest.raises(av.error.InvalidDataError):
        av.open(io.BytesIO(reply.content))


def test_an_html_page_can_be_in_the_files_place(caller: Caller) -> None:
    reply = caller.http.get(caller.video("a cat [[html_file]]")["url"])
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/html")
    assert reply.text.startswith("<!DOCTYPE html>")


def test_a_slow_download_is_slow_and_whole(caller: Caller) -> None:
    video = caller.video("a cat [[slow_download bytes_per_second=500000]]")
    began = time.monotonic()
    content = caller.http.get(video["url"]).content
    assert len(content) == video["file_size"]
    assert time.monotonic() - began > 0.5 * video["file_size"] / 500_000


def test_an_admin_fault_can_befall_a_request(caller: Caller, emulator: RunningEmulator) -> None:
    emulator.fault("runner_error", match="unlucky")
    assert caller.generate("a cat").status_code == 200
    assert caller.generate("unlucky").status_code == 503
    assert caller.generate("unlucky").status_code == 200
