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
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from airflow_provider_pika.fal.network import Watchdog, transport_trouble
from tests.support.strange_server import StrangeServer

PROXY = URL("http://user:proxy-password@proxy.example:3128")
INFO = RequestInfo(PROXY, "GET", CIMultiDictProxy(CIMultiDict()), PROXY)


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
