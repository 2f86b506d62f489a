"""fal's own host names on one port, over TLS: what each serves, and what it says of the rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.emulator.talk import ENDPOINT
from tests.support.emulator import RunningEmulator
from tests.support.waiting import until

KEY = {"Authorization": "Key some-id:some-secret"}
HISTORY = f"/v1/models/requests/by-endpoint?endpoint_id={ENDPOINT}"
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture(scope="module")
def fal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    extra = ["--render", "off"]
    with RunningEmulator.start(tmp_path_factory.mktemp("fal"), tls=True, generation_time="0.1", extra=extra) as running:
        yield running
        assert running.stderr == ""


def ask(fal: RunningEmulator, url: str, method: str = "GET", **options: Any) -> httpx.Response:
    """Send a request as if fal's host were at the emulator's port: the same name in TLS and in ``Host``."""
    asked = httpx.URL(url)
    headers = {"Host": asked.host, **KEY, **options.pop("headers", {})}
    with fal.client() as client:
        target = httpx.URL(fal.queue_url).join(asked.raw_path.decode())
        return client.request(method, target, headers=headers, extensions={"sni_hostname": asked.host}, **options)


def finish(fal: RunningEmulator, host: str = "queue.fal.run") -> dict[str, Any]:
    """Submit, wait for the end, and return the answer to the submission."""
    submitted: dict[str, Any] = ask(fal, f"https://{host}/{ENDPOINT}", "POST", json={"prompt": "a cat"}).json()
    until(lambda: ask(fal, submitted["status_url"]).json()["status"] == "COMPLETED", "the end", 20.0)
    return submitted


@pytest.mark.parametrize("host", ["queue.fal.run", "queue.falrun.com"])
def test_the_queue_names_its_own_host_and_the_host_of_files(fal: RunningEmulator, host: str) -> None:
    submitted = finish(fal, host)
    assert submitted["response_url"] == f"https://{host}/fal-ai/pika/requests/{submitted['request_id']}"
    video = ask(fal, submitted["response_url"]).json()["video"]
    assert video["url"].startswith("https://v3b.fal.media/files/b/")
    assert len(ask(fal, video["url"]).content) == video["file_size"]


@pytest.mark.parametrize("host", ["fal.run", "falrun.com"])
def test_the_run_host_answers_with_the_result(fal: RunningEmulator, host: str) -> None:
    reply = ask(fal, f"https://{host}/{ENDPOINT}", "POST", json={"prompt": "a cat"})
    assert reply.status_code == 200
    assert reply.json()["video"]["url"].startswith("https://v3b.fal.media/files/b/")


def test_the_platform_has_the_history(fal: RunningEmulator) -> None:
    submitted = finish(fal)
    rows = ask(fal, f"https://api.fal.ai{HISTORY}&request_id={submitted['request_id']}").json()["items"]
    assert [row["request_id"] for row in rows] == [submitted["request_id"]]


def test_the_key_of_webhooks_is_where_fal_has_it(fal: RunningEmulator) -> None:
    served = ask(fal, "https://rest.fal.ai/.well-known/jwks.json").json()
    with fal.client() as client:
        assert served == client.get("/.well-known/jwks.json").json()
    assert [key["crv"] for key in served["keys"]] == ["Ed25519"]


def test_a_file_is_served_by_the_older_hosts_too(fal: RunningEmulator) -> None:
    url = ask(fal, finish(fal)["response_url"]).json()["video"]["url"]
    for host in ("v3.fal.media", "fal.media"):
        assert ask(fal, url.replace("v3b.fal.media", host)).status_code == 200


@pytest.mark.parametrize(
    ("method", "url", "status", "told"),
    [
        ("POST", "https://rest.alpha.fal.ai/tokens/", 421, "does not serve rest.alpha.fal.ai: of fal's hosts it has"),
        ("GET", "https://ws.fal.run/fal-ai/pika", 421, "does not serve ws.fal.run: of fal's hosts it has"),
        ("GET", "https://fal.ai/models", 421, "does not serve fal.ai: of fal's hosts it has"),
        ("POST", "https://auth.fal.ai/oauth/token", 421, "does not serve auth.fal.ai"),
        (
            "GET",
            "https://api.fal.ai/v1/models/analytics",
            404,
            "does not serve GET /v1/models/analytics: of fal's",
        ),
        ("POST", "https://api.fal.ai/v1/models/requests/by-endpoint", 404, "does not serve POST /v1/models/requests"),
        ("GET", "https://api.fal.ai/", 404, "does not serve GET /: of fal's Platform API"),
        ("DELETE", "https://api.fal.ai/_emulator/counts", 404, "does not serve DELETE /_emulator/counts"),
        ("POST", f"https://api.fal.ai/{ENDPOINT}", 404, "does not serve POST"),
        ("GET", f"https://queue.fal.run{HISTORY}", 404, "fal's Platform API is at https://api.fal.ai/v1"),
        ("POST", "https://queue.fal.run/v1/keys", 404, "fal's Platform API is at https://api.fal.ai/v1"),
        ("POST", "https://rest.fal.ai/storage/upload/initiate", 404, "of rest.fal.ai it has GET /.well-known"),
        ("POST", "https://v3.fal.media/files/upload", 404, "does not serve POST /files/upload: of fal's file hosts"),
        ("POST", f"https://v3b.fal.media/{ENDPOINT}", 404, "of fal's file hosts it has"),
    ],
)
def test_what_is_not_served_says_so_and_counts_nothing(
    fal: RunningEmulator, method: str, url: str, status: int, told: str
) -> None:
    before = fal.counts()
    reply = ask(fal, url, method)
    assert reply.status_code == status
    assert told in reply.json()["detail"]
    assert fal.counts() == before


@pytest.mark.parametrize("path", ["/v1/models", "/v1/keys", "/v1"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_path_of_the_platform_that_is_not_served_says_so_on_the_own_names_too(
    fal: RunningEmulator, method: str, path: str
) -> None:
    with fal.client(headers=KEY) as client:
        reply = client.request(method, path)
    assert reply.status_code == 404
    assert f"does not serve {method} {path}: of fal's Platform API" in reply.json()["detail"]


@pytest.mark.parametrize(
    "url", ["https://ws.fal.run/fal-ai/pika", "https://fal.run/fal-ai/pika/realtime", "https://localhost/fal-ai/pika"]
)
def test_a_websocket_is_told_that_there_is_none(fal: RunningEmulator, url: str) -> None:
    reply = ask(fal, url, headers=UPGRADE)
    assert reply.status_code == 501
    assert "serves no WebSocket" in reply.json()["detail"]


def test_another_upgrade_is_ignored(fal: RunningEmulator) -> None:
    offered = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAAQAAP__"}
    assert ask(fal, f"https://api.fal.ai{HISTORY}", headers=offered).status_code == 200


def test_the_hosts_are_told_apart_without_tls_too(tmp_path: Path) -> None:
    with RunningEmulator.start(tmp_path, extra=["--render", "off"]) as emulator, emulator.client(headers=KEY) as client:
        body = {"prompt": "a cat"}
        queued = client.post(f"/{ENDPOINT}", json=body, headers={"Host": "queue.fal.run"}).json()
        assert queued["status_url"].startswith("http://queue.fal.run/fal-ai/pika/requests/")
        ran = client.post(f"/{ENDPOINT}", json=body, headers={"Host": "fal.run:8188"}).json()
        assert ran["video"]["url"].startswith("http://v3b.fal.media:8188/files/b/")
