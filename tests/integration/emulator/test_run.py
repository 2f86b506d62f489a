"""The synchronous host: the same paths, the result inline (fal-protocol.md 2.6)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.integration.emulator.talk import ENDPOINT, Caller
from tests.support.emulator import RunningEmulator


@pytest.fixture
def runner(emulator: RunningEmulator) -> Iterator[httpx.Client]:
    with emulator.client(base_url=emulator.run_url, headers={"Authorization": "Key test-key"}) as client:
        yield client


def run(client: httpx.Client, prompt: str, **options: Any) -> httpx.Response:
    return client.post(f"/{ENDPOINT}", json={"prompt": prompt, "resolution": "480p"}, **options)


def test_a_run_answers_with_the_video(runner: httpx.Client, emulator: RunningEmulator) -> None:
    reply = run(runner, "a cat")
    assert reply.status_code == 200
    assert reply.headers["x-fal-request-id"]
    assert httpx.get(reply.json()["video"]["url"]).headers["content-type"] == "video/mp4"
    assert emulator.counts()["run"] == {"received": 1, "accepted": 1, "refused": 0}
    assert emulator.counts()["submit"]["received"] == 0


def test_wrong_input_is_answered_at_once(runner: httpx.Client) -> None:
    reply = runner.post(f"/{ENDPOINT}", json={"prompt": 5})
    assert (reply.status_code, reply.json()["detail"][0]["type"]) == (422, "string_type")


def test_a_run_needs_a_key(emulator: RunningEmulator) -> None:
    assert httpx.post(f"{emulator.run_url}/{ENDPOINT}", json={}).status_code == 401


def test_a_failure_is_answered_inline(runner: httpx.Client) -> None:
    reply = run(runner, "a cat [[runner_error]]")
    assert (reply.status_code, reply.json()["error_type"]) == (503, "runner_disconnected")


@pytest.mark.parametrize(
    ("prompt", "status", "needs_retry"),
    [
        ("a cat [[runner_error]]", 503, "1"),
        ("a cat [[requeue]]", 503, "1"),
        ("a cat [[http_500 on=run]]", 500, "1"),
        ("a cat [[http_429 on=run]]", 429, "1"),
        ("a cat [[generation_error retryable=true]]", 500, "1"),
        ("a cat [[downstream_error retryable=true]]", 400, "1"),
        ("a cat [[generation_error]]", 500, "0"),
        ("a cat [[content_policy_violation]]", 422, "0"),
        ("a cat [[start_timeout]]", 504, None),
        ("a cat [[http_503 on=run]]", 503, None),  # the ingress' page: fal has not seen it
        ("a cat [[locked on=run]]", 403, None),
    ],
)
def test_the_run_host_says_which_errors_pass(
    runner: httpx.Client, prompt: str, status: int, needs_retry: str | None
) -> None:
    reply = run(runner, prompt)
    assert (reply.status_code, reply.headers.get("X-Fal-Needs-Retry")) == (status, needs_retry)


def test_the_queue_does_not_say_it_of_its_own_errors(caller: Caller) -> None:
    assert "X-Fal-Needs-Retry" not in caller.generate("a cat [[runner_error]]").headers
    assert "X-Fal-Needs-Retry" not in caller.post("a cat [[http_500]]").headers


def test_a_lost_runner_is_not_retried_without_a_queue(runner: httpx.Client) -> None:
    assert run(runner, "a cat [[requeue]]").status_code == 503


def test_a_start_timeout_is_answered_inline(runner: httpx.Client) -> None:
    assert run(runner, "a cat [[start_timeout]]").status_code == 504


def test_a_run_does_not_queue(runner: httpx.Client, busy: list[str]) -> None:
    reply = run(runner, "a cat")
    assert (reply.status_code, reply.json()["detail"][0]["type"]) == (429, "concurrent_requests_limit")
    assert reply.headers["X-Fal-Needs-Retry"] == "1"


def test_a_caller_that_hangs_up_cancels_the_run(runner: httpx.Client, emulator: RunningEmulator) -> None:
    with pytest.raises(httpx.ReadTimeout):
        run(runner, "hung up [[never_finish]]", timeout=0.3)
    time.sleep(0.3)
    (request,) = emulator.requests("hung up")
    assert (request["state"], request["error_type"]) == ("COMPLETED", "client_disconnected")


def test_a_run_can_be_refused_and_its_reply_lost(runner: httpx.Client, emulator: RunningEmulator) -> None:
    assert run(runner, "refused run [[http_500 on=run]]").status_code == 500
    assert emulator.requests("refused run") == []
    with pytest.raises(httpx.RemoteProtocolError):
        run(runner, "lost run [[lost_reply on=run]]")
    assert [request["status_code"] for request in emulator.requests("lost run")] == [200]


def test_the_run_host_has_no_queue(runner: httpx.Client, caller: Caller) -> None:
    request_id = caller.submit("a cat")
    assert runner.get(f"/fal-ai/pika/requests/{request_id}/status").status_code in {404, 405}
