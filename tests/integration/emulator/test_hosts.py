"""Which hosts the emulator answers to, and that no web page can make its own name one of them."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.emulator.talk import ENDPOINT, Caller
from tests.support.emulator import RunningEmulator


def exchanged(url: str, request: str) -> tuple[int, str]:
    """Send these bytes, and return the status and the body of the answer."""
    with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=10) as connection:
        connection.sendall(request.encode("latin-1"))
        reply = connection.makefile("rb").read().decode()
    head, _, body = reply.partition("\r\n\r\n")
    return int(head.split()[1]), body


def asked(url: str, *headers: str, line: str = "GET /_emulator/requests HTTP/1.1") -> tuple[int, str]:
    return exchanged(url, "\r\n".join([line, *headers, "Connection: close", "", ""]))


@pytest.fixture(scope="module")
def open_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    """Yield an emulator that listens on every address, and has a name in a network of containers."""
    extra = ["--host", "0.0.0.0", "--allow-host", "fal_emulator", "--allow-host", "192.0.2.7"]
    with RunningEmulator.start(tmp_path_factory.mktemp("open"), extra=extra) as running:
        yield running


@pytest.mark.parametrize(
    "header",
    [
        "Host: evil.example",
        "Host: evil.example:8188",
        "Host: localhost.evil.example",
        "Host: 192.0.2.7",
        "Host: 169.254.169.254",
        "Host: 127.0.0.1@evil.example",
        "Host: ",
        "Host: localhost\r\nHost: evil.example",
        "Host: evil.example\r\nX-Forwarded-Host: localhost",
    ],
)
@pytest.mark.parametrize("port", ["queue_url", "run_url"])
def test_a_request_to_another_host_is_refused_on_both_ports(emulator: RunningEmulator, header: str, port: str) -> None:
    status, body = asked(getattr(emulator, port), header)
    assert status in (400, 421)  # two headers are 400 to one of uvicorn's parsers
    assert status == 400 or "--allow-host" in json.loads(body)["detail"]


@pytest.mark.parametrize(
    "line", ["GET /_emulator/requests HTTP/1.0", "GET http://localhost/_emulator/requests HTTP/1.0"]
)
def test_a_request_without_a_host_is_refused(emulator: RunningEmulator, line: str) -> None:
    assert asked(emulator.queue_url, line=line)[0] == 421


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "fal.localhost", "127.0.0.1:99", "127.8.8.8", "[::1]:8188", "queue.fal.run"]
)
def test_loopback_names_and_those_of_fal_are_answered(emulator: RunningEmulator, host: str) -> None:
    assert asked(emulator.queue_url, f"Host: {host}")[0] == 200


@pytest.mark.parametrize("host", ["0.0.0.0:8188", "fal_emulator:8188", "FAL_EMULATOR", "192.0.2.7", "127.0.0.1"])
def test_its_address_and_the_names_it_was_given_are_answered(open_emulator: RunningEmulator, host: str) -> None:
    assert asked(open_emulator.queue_url, f"Host: {host}")[0] == 200
    assert asked(open_emulator.queue_url, "Host: evil.example")[0] == 421


def test_the_urls_of_a_request_are_on_the_name_that_it_was_sent_to(open_emulator: RunningEmulator) -> None:
    headers = {"Host": "fal_emulator:8188"}
    reply = Caller(open_emulator).post("a cat", headers=headers)
    assert reply.json()["status_url"].startswith("http://fal_emulator:8188/fal-ai/pika/requests/")


def test_a_refused_request_submits_and_counts_nothing(emulator: RunningEmulator) -> None:
    before = emulator.counts()
    assert Caller(emulator).post("a rebound cat", headers={"Host": "evil.example"}).status_code == 421
    assert Caller(emulator).post("a rebound cat", headers={"Origin": "https://evil.example"}).status_code == 403
    assert (emulator.counts(), emulator.requests("a rebound cat")) == (before, [])


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://evil.example", 403),
        ("https://localhost.evil.example", 403),
        ("null", 403),
        ("", 403),
        ("http://localhost:3000", 201),
        ("http://127.0.0.1:8188", 201),
    ],
)
def test_a_page_of_another_host_cannot_set_a_fault(emulator: RunningEmulator, origin: str, status: int) -> None:
    """A browser sends this content type, or none, before it asks whether it may."""
    with emulator.client(headers={"Origin": origin}) as page:
        fault = {"fault": "http_503", "on": "run", "match": "nobody"}
        assert page.post("/_emulator/faults", json=fault).status_code == status


def test_a_name_that_it_was_given_is_in_its_certificate(tmp_path: Path) -> None:
    with (
        RunningEmulator.start(tmp_path, tls=True, extra=["--allow-host", "fal"]) as emulator,
        emulator.client() as http,
    ):
        reply = http.post(
            f"/{ENDPOINT}", headers={"Host": "fal"}, json={}, extensions={"sni_hostname": "fal"}
        )  # checked against the certificate, too
        assert reply.status_code == 401


def test_a_name_that_it_was_not_given_is_not_in_its_certificate(tmp_path: Path) -> None:
    with (
        RunningEmulator.start(tmp_path, tls=True) as emulator,
        emulator.client() as http,
        pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        http.get("/", headers={"Host": "fal"}, extensions={"sni_hostname": "fal"})
