"""Hosts that are no good: what a download does about them, and that it ends."""

from __future__ import annotations

import http.server
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_pika.exceptions import DownloadInterrupted, UntrustedUrl
from airflow_provider_pika.fal.network import proxy_to
from airflow_provider_pika.media.download import Download, Fetched, Limits
from airflow_provider_pika.media.trust import Trust

Serve = Callable[[Callable[[socket.socket], object]], str]

LIMITS = Limits(seconds=60, stall=5, size=1 << 20)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Give what makes a server of what to do with a connection; its URL."""
    listening = socket.create_server(("127.0.0.1", 0))

    def start(answer: Callable[[socket.socket], object]) -> str:
        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

        def talk(connection: socket.socket) -> None:
            with connection:
                try:
                    connection.recv(65536)
                    answer(connection)
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}/clip.mp4"

    yield start
    listening.close()


def fetch(url: str, limits: Limits = LIMITS) -> Fetched:
    trust = Trust.of(url.rpartition("/")[0])
    return Download(io.BytesIO(), trust, limits, lambda line: None, sleep=lambda seconds: None).fetch(url)


def drip_headers(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for number in range(1000):
        connection.sendall(b"X-%d: y\r\n" % number)
        time.sleep(0.1)


def say_nothing(connection: socket.socket) -> None:
    time.sleep(30)


def send_early_hints(connection: socket.socket) -> None:
    for _ in range(1000):
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        time.sleep(0.1)


@pytest.mark.parametrize("answer", [drip_headers, say_nothing, send_early_hints])
def test_a_host_that_never_comes_to_the_file_is_bounded_by_the_deadline(
    serve: Serve, answer: Callable[[socket.socket], object]
) -> None:
    began = time.monotonic()
    with pytest.raises(DownloadInterrupted, match=r"more than 1 s"):
        fetch(serve(answer), Limits(seconds=1, stall=20, size=1 << 20))
    assert time.monotonic() - began < 5


def test_a_host_that_always_stops_at_the_same_place_and_takes_no_ranges_is_given_up(serve: Serve) -> None:
    answers = []

    def cut(connection: socket.socket) -> None:
        answers.append(1)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: 1000\r\n\r\n" + b"x" * 500)

    with pytest.raises(DownloadInterrupted):
        fetch(serve(cut))
    assert len(answers) < 12


def test_a_host_that_lies_about_ranges_is_begun_anew(serve: Serve) -> None:
    heads = iter(
        [
            b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: 1000\r\n\r\n" + b"a" * 500,
            *[b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 7-9/10\r\nContent-Length: 3\r\n\r\nbbb"] * 3,
            b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: 4\r\n\r\ncccc",
        ]
    )
    fetched = fetch(serve(lambda connection: connection.sendall(next(heads))))
    assert fetched.size == 4


@pytest.mark.parametrize("url", ["https://[::1/x", "https://fal.media/\nx", ":abc", "http://fal.media:x/"])
def test_what_is_no_url_is_not_trusted(url: str) -> None:
    with pytest.raises(UntrustedUrl):
        Download(io.BytesIO(), Trust.of(None), LIMITS, lambda line: None).fetch(url)


class Proxy(http.server.BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"clip")

    def log_message(self, *_: Any) -> None: ...


@pytest.mark.parametrize("variable", ["http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_is_gone_through_and_looks_the_name_up(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    asked: list[str] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("P", (Proxy,), {"asked": asked})) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(variable, f"http://127.0.0.1:{server.server_port}")
        proxy_to.cache_clear()
        url = "http://v3.fal.media/files/b/x/clip.mp4"
        fetched = Download(io.BytesIO(), Trust.of(None), LIMITS, lambda line: None).fetch(url)
        server.shutdown()
    monkeypatch.undo()
    proxy_to.cache_clear()
    assert (fetched.size, asked) == (4, [url])
