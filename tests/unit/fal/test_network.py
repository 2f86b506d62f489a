from __future__ import annotations

import errno
import ssl
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import aiohttp
import httpx
import pytest
from aiohttp import RequestInfo
from aiohttp.client_reqrep import ConnectionKey
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from airflow_provider_pika.fal.network import NEVER_SENT, Watchdog, never_sent, proxy_to, transport_trouble
from tests.support.strange_server import StrangeServer

PROXY = URL("http://user:proxy-password@proxy.example:3128")
INFO = RequestInfo(PROXY, "GET", CIMultiDictProxy(CIMultiDict()), PROXY)
KEY = ConnectionKey("queue.example", 443, True, True, None, None, None)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.ReadTimeout("SECRET"), "no answer in time (ReadTimeout)"),
        (TimeoutError("SECRET"), "no answer in time (TimeoutError)"),
        (httpx.ConnectTimeout("SECRET"), "no connection in time (ConnectTimeout)"),
        (httpx.RemoteProtocolError("illegal status line: SECRET"), "the answer is not HTTP (RemoteProtocolError)"),
        (httpx.ProxyError("407 SECRET"), "the proxy did not let it through (ProxyError)"),
        (httpx.InvalidURL("SECRET"), "the address is not one (InvalidURL)"),
        (
            aiohttp.ClientPayloadError("SECRET"),
            "the answer broke off, or is not what its headers say (ClientPayloadError)",
        ),
        (aiohttp.ServerDisconnectedError("SECRET"), "the server closed the connection (ServerDisconnectedError)"),
        (
            aiohttp.ClientHttpProxyError(INFO, (), status=407, message="SECRET"),
            "the proxy did not let it through (ClientHttpProxyError)",
        ),
        (
            aiohttp.ClientResponseError(INFO, (), status=400, message="bytes: SECRET"),
            "the answer is not HTTP (ClientResponseError)",
        ),
        (
            ConnectionResetError(errno.ECONNRESET, "SECRET"),
            "no connection, connection reset by peer (ConnectionResetError)",
        ),
        (ssl.SSLError(1, "[SSL: SECRET] SECRET"), "there is no secure connection (SSLError)"),
        (KeyError("SECRET"), "no answer that can be read (KeyError)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_transports_error_is_told_in_our_words_and_none_of_the_servers(error: Exception, words: str) -> None:
    assert transport_trouble(error) == words


def test_the_systems_reason_is_told_from_however_deep() -> None:
    refused = httpx.ConnectError("SECRET")
    refused.__cause__ = OSError("SECRET")
    refused.__cause__.__context__ = ConnectionRefusedError(errno.ECONNREFUSED, "SECRET")
    assert transport_trouble(refused) == "no connection, connection refused (ConnectError)"


def drip_headers(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(100):
        handler.wfile.write(b"X-%d: drip\r\n" % number)
        time.sleep(0.1)


def test_a_server_that_drips_headers_is_cut_off_in_time() -> None:
    watchdog = Watchdog()
    began = time.monotonic()
    with (
        StrangeServer(drip_headers) as server,
        httpx.Client(timeout=5) as client,
        pytest.raises(TimeoutError),
        watchdog.within(0.5),
    ):
        client.get(server.url, extensions={"trace": watchdog.trace})
    assert time.monotonic() - began < 5


def test_what_ends_in_time_is_left_alone(tmp_path: Path) -> None:
    with Watchdog().within(60):
        (tmp_path / "done").touch()
    with pytest.raises(KeyError), Watchdog().within(60):
        raise KeyError("its own error")


# --- proxies


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that names no proxies."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("queue.fal.run", "https://queue.fal.run", True),
        ("fal.run", "https://queue.fal.run", True),
        (".fal.run", "https://queue.fal.run", True),
        (".fal.run", "https://fal.run", True),
        ("*.fal.run", "https://queue.fal.run", True),
        ("FAL.Run", "https://QUEUE.fal.run", True),
        ("fal.run.", "https://queue.fal.run.", True),
        ("al.run", "https://queue.fal.run", False),
        ("queue.fal.run.evil", "https://queue.fal.run", False),
        ("queue.fal.run:443", "https://queue.fal.run", True),
        ("queue.fal.run:443", "https://queue.fal.run:8443", False),
        ("queue.fal.run:8443", "https://queue.fal.run:8443", True),
        ("https://queue.fal.run", "https://queue.fal.run", True),
        ("http://queue.fal.run", "https://queue.fal.run", False),
        ("all://queue.fal.run", "https://queue.fal.run", True),
        ("*", "https://queue.fal.run", True),
        ("a, *", "https://queue.fal.run", True),
        ("a b\tqueue.fal.run", "https://queue.fal.run", True),
        ("", "https://queue.fal.run", False),
        (",, ,.", "https://queue.fal.run", False),
        ("10.0.0.0/8", "http://10.1.2.3:8188", True),
        ("10.0.0.7/8", "http://10.1.2.3:8188", True),
        ("10.0.0.0/8", "http://11.1.2.3", False),
        ("10.0.0.0/8", "http://10.example", False),
        ("10.0.0.0/99", "http://10.1.2.3", False),
        ("10.1.2.3", "http://10.1.2.3", True),
        ("10.1.2.3:8188", "http://10.1.2.3:8188", True),
        ("2.3", "http://10.1.2.3", False),
        ("fd00::/8", "http://[fd12::1]:8188", True),
        ("fd00::/8", "http://[fe80::1]", False),
        ("[fd00::]/8", "http://[fd12::1]", True),
        ("::1", "http://[::1]:8188", True),
        ("[::1]", "http://[::1]:8188", True),
        ("[::1]:8188", "http://[::1]:8188", True),
        ("[::1]:8189", "http://[::1]:8188", False),
        ("0:0:0:0:0:0:0:1", "http://[::1]", True),
        ("localhost", "http://localhost:8188", True),
        ("::1/128/3,[,],:,%,//", "http://localhost", False),
    ],
)
def test_no_proxy_names_hosts_as_people_write_them(
    settings: pytest.MonkeyPatch, no_proxy: str, url: str, direct: bool
) -> None:
    settings.setenv("ALL_PROXY", "proxy.example:3128")
    settings.setenv("NO_PROXY", no_proxy)
    assert (proxy_to(url) is None) is direct


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({"http_proxy": "a:1"}, "http://a:1"),
        ({"HTTP_PROXY": "a:1"}, "http://a:1"),
        ({"http_proxy": "a:1", "HTTP_PROXY": "b:1"}, "http://a:1"),
        ({"http_proxy": "", "HTTP_PROXY": "b:1"}, None),
        ({"all_proxy": "a:1"}, "http://a:1"),
        ({"http_proxy": "a:1", "all_proxy": "b:1"}, "http://a:1"),
        ({"https_proxy": "a:1"}, None),
        ({"http_proxy": "a"}, "http://a:80"),
        ({"http_proxy": "https://a"}, "https://a:443"),
        ({"http_proxy": "http://[::1]:3128/"}, "http://[::1]:3128"),
        ({"http_proxy": "a:1", "NO_PROXY": "example", "no_proxy": ""}, "http://a:1"),
        ({"http_proxy": "a:1", "NO_PROXY": "example"}, None),
    ],
)
def test_the_environments_names_are_read_in_both_cases(
    settings: pytest.MonkeyPatch, given: dict[str, str], url: str | None
) -> None:
    for name, value in given.items():
        settings.setenv(name, value)
    proxy = proxy_to("http://queue.example")
    assert (proxy and proxy.url) == url


def test_a_proxys_login_is_in_no_repr(settings: pytest.MonkeyPatch) -> None:
    settings.setenv("http_proxy", "http://us%C3%A9r:p%40ss@proxy:1")
    proxy = proxy_to("http://queue.example")
    assert proxy is not None
    assert proxy.login == ("us\xe9r", "p@ss")
    assert "p@ss" not in repr(proxy)


# --- what was sent


def test_each_error_that_proves_that_nothing_was_sent_is_one_of_its_library() -> None:
    for name in NEVER_SENT:
        library, _, kind = name.partition(".")
        assert issubclass(getattr({"httpx": httpx, "aiohttp": aiohttp}[library], kind), Exception)


OSERROR = OSError(errno.ECONNREFUSED, "refused")


@pytest.mark.parametrize(
    ("error", "unsent"),
    [
        (httpx.ConnectError("x"), True),
        (httpx.ConnectTimeout("x"), True),
        (httpx.PoolTimeout("x"), True),
        (httpx.ProxyError("403"), True),
        (aiohttp.ClientConnectorError(KEY, OSERROR), True),
        (aiohttp.ClientConnectorDNSError(KEY, OSERROR), True),
        (aiohttp.ClientProxyConnectionError(KEY, OSERROR), True),
        (aiohttp.ClientConnectorCertificateError(KEY, ssl.CertificateError()), True),
        (aiohttp.ConnectionTimeoutError(), True),
        (aiohttp.ClientHttpProxyError(INFO, (), status=403), True),
        (httpx.InvalidURL("in a redirect"), False),
        (httpx.UnsupportedProtocol("in a redirect"), False),
        (httpx.LocalProtocolError("x"), False),
        (httpx.RemoteProtocolError("x"), False),
        (httpx.ReadError("x"), False),
        (httpx.ReadTimeout("x"), False),
        (httpx.WriteError("x"), False),
        (httpx.WriteTimeout("x"), False),
        (aiohttp.ServerDisconnectedError(), False),
        (aiohttp.ClientOSError(), False),
        (aiohttp.ClientConnectionResetError(), False),
        (aiohttp.SocketTimeoutError(), False),
        (aiohttp.ServerTimeoutError(), False),
        (aiohttp.InvalidURL("x"), False),
        (aiohttp.ClientResponseError(INFO, ()), False),
        (TimeoutError(), False),
        (ConnectionRefusedError(), False),
        (ValueError(), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_only_a_connection_that_never_opened_proves_that_nothing_was_sent(error: Exception, unsent: bool) -> None:
    assert never_sent(error) is unsent
