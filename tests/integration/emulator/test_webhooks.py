"""Webhooks, received by a real server and checked against the published key (fal-protocol.md 5)."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.integration.emulator.talk import Caller
from tests.support.emulator import RunningEmulator


@dataclass
class Receiver:
    """A receiver that keeps what it is sent. It answers with the statuses in ``answers``, then with 200."""

    url: str = ""
    location: str = "/elsewhere"

    answers: list[int] = field(default_factory=list)
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receiver.answers.pop(0) if receiver.answers else 200
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", receiver.location)
                self.send_header("Content-Length", "0")
                self.end_headers()
                receiver.received.append((dict(self.headers), body))

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        return Handler

    def wait(self, count: int, within: float = 15.0) -> list[tuple[dict[str, str], bytes]]:
        deadline = time.monotonic() + within
        while len(self.received) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(self.received) >= count
        return self.received


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    server = ThreadingHTTPServer(("127.0.0.1", 0), made.handler())
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    made.url = f"http://127.0.0.1:{server.server_port}/hook?run=7"
    yield made
    server.shutdown()
    server.server_close()


def verify(emulator: RunningEmulator, headers: dict[str, str], body: bytes) -> None:
    """Verify a signature as fal's documentation has receivers do it."""
    given = {name.lower(): value for name, value in headers.items()}
    moment = given["x-fal-webhook-timestamp"]
    assert abs(time.time() - int(moment)) < 300
    lines = [given["x-fal-webhook-request-id"], given["x-fal-webhook-user-id"], moment]
    message = "\n".join([*lines, hashlib.sha256(body).hexdigest()]).encode()
    (key,) = httpx.get(f"{emulator.queue_url}/.well-known/jwks.json").json()["keys"]
    public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "=="))
    public.verify(bytes.fromhex(given["x-fal-webhook-signature"]), message)


def test_a_finished_request_is_announced_and_signed(
    caller: Caller, emulator: RunningEmulator, receiver: Receiver
) -> None:
    request_id = caller.submit("a cat", params={"fal_webhook": receiver.url})
    ((headers, body),) = receiver.wait(1)
    verify(emulator, headers, body)
    payload = caller.outcome(request_id).json()
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {
        "request_id": request_id,
        "gateway_request_id": request_id,
        "status": "OK",
        "error": None,
        "payload": payload,
    }
    assert body == json.dumps(json.loads(body), sort_keys=True).encode()


@pytest.mark.parametrize(
    ("fault", "code"), [("content_policy_violation", 422), ("runner_error", 503), ("start_timeout", 504)]
)
def test_a_failure_is_announced_as_an_error(caller: Caller, receiver: Receiver, fault: str, code: int) -> None:
    request_id = caller.submit(f"a cat [[{fault}]]", params={"fal_webhook": receiver.url})
    ((_, body),) = receiver.wait(1)
    told = json.loads(body)
    assert (told["status"], told["error"]) == ("ERROR", f"Invalid status code: {code}")
    assert told["payload"] == caller.result(request_id).json()


def test_a_payload_may_be_too_much_for_a_webhook(caller: Caller, receiver: Receiver) -> None:
    caller.submit("a cat [[webhook_payload_error]]", params={"fal_webhook": receiver.url})
    ((_, body),) = receiver.wait(1)
    told = json.loads(body)
    assert told["payload"] is None
    assert "not JSON serializable" in told["payload_error"]


def test_a_cancelled_request_is_announced(caller: Caller, receiver: Receiver) -> None:
    caller.cancel(caller.submit("a cat [[never_finish]]", params={"fal_webhook": receiver.url}))
    ((_, body),) = receiver.wait(1)
    assert json.loads(body)["error"] == "Invalid status code: 499"


def test_a_delivery_is_repeated_until_it_is_acknowledged(
    caller: Caller, emulator: RunningEmulator, receiver: Receiver
) -> None:
    receiver.answers = [500, 404]
    caller.submit("a cat", params={"fal_webhook": receiver.url})
    deliveries = receiver.wait(3)
    for headers, body in deliveries:
        verify(emulator, headers, body)
    assert len({body for _, body in deliveries}) == 1
    time.sleep(0.5)
    assert len(receiver.received) == 3


def test_a_redirect_is_not_followed_and_not_repeated(caller: Caller, receiver: Receiver) -> None:
    receiver.answers = [307]
    caller.submit("a cat", params={"fal_webhook": receiver.url})
    receiver.wait(1)
    time.sleep(1.5)
    assert len(receiver.received) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "ftp://x/", "nonsense", "http://[::bad"])
def test_a_receiver_that_cannot_be_reached_harms_nobody(caller: Caller, url: str) -> None:
    assert caller.generate("a cat", params={"fal_webhook": url}).status_code == 200


# The receiver listens on 127.0.0.1, and a connection to 0.0.0.0 gets there: an address that works, and is no loopback
# one.
def elsewhere(receiver: Receiver, host: str = "0.0.0.0") -> str:
    return receiver.url.replace("127.0.0.1", host)


@pytest.mark.parametrize("host", ["localhost", "127.1", "[::ffff:127.0.0.1]"])
def test_a_webhook_goes_to_this_machine_whatever_it_is_called(caller: Caller, receiver: Receiver, host: str) -> None:
    request_id = caller.submit("a cat", params={"fal_webhook": elsewhere(receiver, host)})
    ((headers, body),) = receiver.wait(1)
    assert json.loads(body)["request_id"] == request_id
    assert headers["Host"].partition(":")[0] == httpx.URL(f"http://{host}").netloc.decode().partition(":")[0]


def test_a_webhook_to_another_machine_is_not_sent_nor_tried_again(tmp_path: Path, receiver: Receiver) -> None:
    hosts = ("0.0.0.0", "0", "[::ffff:0.0.0.0]", "192.0.2.1", "169.254.169.254")
    with RunningEmulator.start(tmp_path, generation_time="0") as emulator:
        caller = Caller(emulator)
        for host in hosts:
            assert caller.generate("a cat", params={"fal_webhook": elsewhere(receiver, host)}).status_code == 200
        caller.submit("another cat", params={"fal_webhook": receiver.url})
        receiver.wait(1)
        time.sleep(1.5)  # a second attempt would come after one
        assert len(receiver.received) == 1
        said = emulator.stderr.splitlines()
        assert len(said) == len(hosts)
        assert all("is not a loopback address: start the emulator with --webhooks-anywhere" in line for line in said)
        assert "run=7" not in emulator.stderr  # a receiver's URL may have a token


def test_a_redirect_to_another_machine_is_not_followed(caller: Caller, receiver: Receiver) -> None:
    receiver.answers = [307]
    receiver.location = elsewhere(receiver)
    caller.submit("a cat", params={"fal_webhook": receiver.url})
    receiver.wait(1)
    time.sleep(1.5)
    assert len(receiver.received) == 1


def test_a_webhook_goes_to_another_machine_if_that_is_asked_for(tmp_path: Path, receiver: Receiver) -> None:
    with RunningEmulator.start(tmp_path, extra=["--webhooks-anywhere"]) as emulator:
        request_id = Caller(emulator).submit("a cat", params={"fal_webhook": elsewhere(receiver)})
        ((headers, body),) = receiver.wait(1)
        verify(emulator, headers, body)
        assert json.loads(body)["request_id"] == request_id
        assert emulator.stderr == ""


def test_a_pending_delivery_survives_a_kill_and_keeps_its_key(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answers = [503]
    with RunningEmulator.start(tmp_path) as emulator:
        Caller(emulator).submit("a cat", params={"fal_webhook": receiver.url})
        receiver.wait(1)
        time.sleep(0.3)
        jwks = httpx.get(f"{emulator.queue_url}/.well-known/jwks.json").json()
        emulator.kill()
        emulator.restart()
        headers, body = receiver.wait(2)[1]
        verify(emulator, headers, body)
        assert httpx.get(f"{emulator.queue_url}/.well-known/jwks.json").json() == jwks
