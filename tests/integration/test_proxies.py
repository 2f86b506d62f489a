"""What the worker reaches, the triggerer and the download reach: the environment's proxies and certificates."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.emulator.http.tls import ServerCertificate
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.network import trusted
from airflow_provider_pika.hooks.pika import PikaHook
from airflow_provider_pika.media.download import Download, Limits
from airflow_provider_pika.media.url_policy import Trust
from tests.integration.conftest import KEY, connect
from tests.support.emulator import RunningEmulator
from tests.support.hostile import HostileServer, http
from tests.support.proxy import LoopbackProxy

INPUT = {"prompt": "a fox", "resolution": "480p"}
REQUEST_ID = "019e1951-c778-7120-9c82-16efcf40ec82"
WAYS = ("worker", "event loop", "download")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what this machine has set."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="module")
def tls_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    """An emulator that speaks TLS, with a CA of its own."""
    data: Path = tmp_path_factory.mktemp("tls")
    with RunningEmulator.start(data, generation_time="0.1", keys=[KEY], tls=True, extra=["--render", "off"]) as running:
        yield running


def reach(way: str, url: str) -> None:
    """Submit and poll as a worker or a triggerer does, or download: whatever is at the URL, it must be reached."""
    if way == "worker":
        hook = PikaHook()
        hook.status(TEXT_TO_VIDEO, hook.submit(TEXT_TO_VIDEO, INPUT))
    elif way == "event loop":
        asyncio.run(_on_a_loop())
    else:
        sink, limits = io.BytesIO(), Limits(seconds=20, stall=5, size=1 << 20)
        download = Download(sink, Trust.of(url), limits, lambda line: None, sleep=lambda seconds: None)
        with contextlib.suppress(errors.UnexpectedFile):  # which says of what came that it is no video
            download.fetch(f"{url}/_emulator/counts")


async def _on_a_loop() -> None:
    async with await PikaHook().aget_conn() as queue:
        await queue.status(TEXT_TO_VIDEO, await queue.submit(TEXT_TO_VIDEO, INPUT))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("http_proxy", "{}"),
        ("HTTP_PROXY", "http://{}"),
        ("all_proxy", "{}/"),
        ("ALL_PROXY", " http://{} "),
        ("http_proxy", "HTTP://{}"),
        ("http_proxy", "//{}"),
        ("HTTP_PROXY", "us%20er:p%40ss%E2%82%AC@{}"),
        ("HTTP_PROXY", "http://only-user@{}"),
    ],
)
def test_a_plain_proxy_is_gone_through_by_all(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch, way: str, name: str, form: str
) -> None:
    with LoopbackProxy() as proxy:
        monkeypatch.setenv(name, form.format(proxy.address))
        reach(way, emulator.queue_url)
    assert proxy.asked
    assert all(line.split(" ")[1].startswith(emulator.queue_url) for line in proxy.asked)
    logins = {"us%": "us er:p@ss€", "http://only": "only-user:"}
    expected = [login for begin, login in logins.items() if form.startswith(begin)]
    assert sorted(set(proxy.logins)) == expected


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_https_goes_through_a_tunnel_for_all(
    tls_emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch, way: str, name: str
) -> None:
    connect(monkeypatch, tls_emulator.queue_url)
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_emulator.ca_file))
    with LoopbackProxy() as proxy:
        monkeypatch.setenv(name, proxy.address)
        reach(way, tls_emulator.queue_url)
    assert set(proxy.asked) == {f"CONNECT {tls_emulator.queue_url.removeprefix('https://')}"}
    key_id, secret = (part.encode() for part in KEY.split(":"))
    assert not any(key_id in head or secret in head for head in proxy.heads)  # the key is the queue's alone


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_may_speak_tls_itself(
    emulator: RunningEmulator,
    tls_emulator: RunningEmulator,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    way: str,
    scheme: str,
) -> None:
    own = ServerCertificate.prepare(tmp_path, [])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.key)
    (tmp_path / "both.pem").write_bytes(Path(str(tls_emulator.ca_file)).read_bytes() + own.ca.read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "both.pem"))
    url = emulator.queue_url if scheme == "http" else tls_emulator.queue_url
    connect(monkeypatch, url)
    with LoopbackProxy(tls=context) as proxy:
        monkeypatch.setenv("all_proxy", f"https://{proxy.address}")
        reach(way, url)
    assert proxy.asked


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "no_proxy", ["127.0.0.1", "127.0.0.0/8", "fd00::/8,127.0.0.0/8", "[::1] 127.0.0.1", "*", "10.0.0.0/99,127.0.0.1"]
)
def test_what_no_proxy_names_is_reached_directly_by_all(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch, way: str, no_proxy: str
) -> None:
    monkeypatch.setenv("http_proxy", "127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    reach(way, emulator.queue_url)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "proxy", ["socks5://u:secret@127.0.0.1:9", "socks5h://127.0.0.1:9", "ftp://h", "http://[", "h:x"]
)
def test_a_proxy_that_one_of_them_cannot_use_is_refused_by_all_before_anything_is_sent(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch, way: str, proxy: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(errors.UnusableProxy, match="ALL_PROXY") as refused:
        reach(way, emulator.queue_url)
    assert "secret" not in str(refused.value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    reach(way, emulator.queue_url)


# --- certificates


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("broken", ["missing", "empty", "no PEM", "folder", "no certificates", "a missing folder"])
def test_certificates_that_cannot_be_read_are_named_before_anything_is_sent(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, way: str, broken: str
) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "no PEM").write_text("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n")
    (tmp_path / "folder").mkdir()
    name = "SSL_CERT_DIR" if broken in ("no certificates", "a missing folder") else "SSL_CERT_FILE"
    path = tmp_path if broken == "no certificates" else tmp_path / broken
    monkeypatch.setenv(name, str(path))
    with pytest.raises(errors.UnusableCertificates, match=name) as refused:
        reach(way, emulator.queue_url)
    assert str(path) in str(refused.value)
    assert emulator.counts()["submit"]["received"] == 0


def test_a_folder_of_certificates_is_trusted_by_all(
    tls_emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pem = Path(str(tls_emulator.ca_file)).read_bytes()
    name = os.popen(f"openssl x509 -subject_hash -noout -in '{tls_emulator.ca_file}'").read().strip()
    (tmp_path / f"{name}.0").write_bytes(pem)
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path / 'missing'}{os.pathsep}{tmp_path}")
    connect(monkeypatch, tls_emulator.queue_url)
    for way in WAYS:
        reach(way, tls_emulator.queue_url)


def test_certificates_are_read_once_and_again_when_they_change(
    tls_emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pem = Path(str(tls_emulator.ca_file)).read_bytes()
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(ServerCertificate.prepare(tmp_path, []).ca.read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    connect(monkeypatch, tls_emulator.queue_url)
    first = trusted()
    for way in WAYS:
        with pytest.raises(errors.PikaError, match="certificate"):
            reach(way, tls_emulator.queue_url)
    assert trusted() is first
    time.sleep(0.01)
    bundle.write_bytes(pem)
    assert trusted() is not first
    for way in WAYS:
        reach(way, tls_emulator.queue_url)


def test_a_hundred_clients_read_the_certificates_once(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Any] = []
    build = ssl.create_default_context

    def counted(*given: Any, **named: Any) -> ssl.SSLContext:
        read.append(1)
        return build(*given, **named)

    monkeypatch.setattr(ssl, "create_default_context", counted)
    for _ in range(100):
        PikaHook().get_conn().close()
    assert len(read) <= 1


# --- answers


@pytest.mark.parametrize(
    "fields",
    [
        [("X-One", "x" * 9_000)],
        [(f"X-{number}", "x" * 20) for number in range(300)],
        [("Set-Cookie", "x" * 4_000)] * 4,
        [("Content-Security-Policy", "x" * 60_000)],
    ],
    ids=["one of 9 KB", "300", "cookies", "one of 60 KB"],
)
@pytest.mark.parametrize("way", ["worker", "event loop"])
def test_an_answer_with_large_headers_is_read_by_both_clients(
    monkeypatch: pytest.MonkeyPatch, way: str, fields: list[tuple[str, str]]
) -> None:
    body = {"request_id": REQUEST_ID, "status": "IN_QUEUE"}
    with HostileServer(lambda *_: [http(body, 200, *fields)]) as server:
        connect(monkeypatch, server.url)
        reach(way, server.url)


# --- what was sent

Submit = Callable[[], str]


@pytest.fixture(params=["worker", "event loop"])
def submit(request: pytest.FixtureRequest) -> Submit:
    """A submit by either client."""
    if request.param == "worker":
        return lambda: PikaHook().submit(TEXT_TO_VIDEO, INPUT)
    return lambda: asyncio.run(PikaHook().asubmit(TEXT_TO_VIDEO, INPUT))


@pytest.mark.parametrize("status", ["403 Forbidden", "407 Login", "502 Bad Gateway", "504 Late", "302 Found"])
def test_a_refused_tunnel_sent_nothing(submit: Submit, monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    answer = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()
    connect(monkeypatch, "https://queue.example")
    with LoopbackProxy(answer) as proxy:
        monkeypatch.setenv("https_proxy", proxy.address)
        with pytest.raises(errors.Unreachable, match="Nothing was submitted"):
            submit()
    assert set(proxy.asked) == {"CONNECT queue.example:443"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("403 Forbidden", errors.AccessDenied),
        ("407 Login", errors.RequestRejected),
        ("502 Bad Gateway", errors.SubmitUnknown),
        ("503 Full", errors.SubmitUnknown),
        ("504 Late", errors.SubmitUnknown),
        ("302 Found", errors.SubmitUnknown),
    ],
)
def test_a_plain_proxys_own_answer_comes_after_it_was_sent(
    submit: Submit, monkeypatch: pytest.MonkeyPatch, status: str, kind: type[errors.PikaError]
) -> None:
    answer = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nLocation: javascript:1\r\n\r\n".encode()
    connect(monkeypatch, "http://queue.example")
    with LoopbackProxy(answer) as proxy:
        monkeypatch.setenv("http_proxy", proxy.address)
        with pytest.raises(kind):
            submit()
    assert len(proxy.asked) == 1


@pytest.mark.parametrize("location", ["javascript:1", "http://[", "//", "https://x:99999999", "\x7f", "http://%zz"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_no_url_is_no_proof_that_nothing_was_sent(
    submit: Submit, monkeypatch: pytest.MonkeyPatch, status: int, location: str
) -> None:
    with HostileServer(lambda *_: [http({}, status, ("Location", location))]) as server:
        connect(monkeypatch, server.url)
        with pytest.raises(errors.SubmitUnknown):
            submit()
    assert len(server.heads) == 1


def test_a_server_that_closes_a_reused_connection_may_have_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A POST on a kept connection that the server ends at once is unknown, and not posted again."""
    import socketserver
    import threading

    posts: list[bytes] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for _ in range(2):
                head = b"".join(iter(self.rfile.readline, b"\r\n"))
                if head.startswith(b"POST"):
                    posts.append(head)
                    return
                body = json.dumps({"status": "IN_QUEUE"}).encode()
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    async def on_a_loop() -> None:
        async with await PikaHook().aget_conn() as queue:
            await queue.status(TEXT_TO_VIDEO, REQUEST_ID)
            await queue.submit(TEXT_TO_VIDEO, INPUT)

    def in_a_worker() -> None:
        with PikaHook().get_conn() as queue:
            queue.status(TEXT_TO_VIDEO, REQUEST_ID)
            queue.submit(TEXT_TO_VIDEO, INPUT)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        connect(monkeypatch, f"http://127.0.0.1:{server.server_address[1]}")
        for ask in (in_a_worker, lambda: asyncio.run(on_a_loop())):
            with pytest.raises(errors.SubmitUnknown):
                ask()
        server.shutdown()
    assert len(posts) == 2
