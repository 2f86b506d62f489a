"""Hosts that are no good: what a download does about them, and that it ends."""

from __future__ import annotations

import http.server
import io
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_pika.exceptions import (
    DownloadInterrupted,
    DownloadRefused,
    PikaError,
    UntrustedUrl,
    UnusableProxy,
)
from airflow_provider_pika.media.download import Download, Fetched, Limits
from airflow_provider_pika.media.url_policy import Trust

Serve = Callable[[Callable[[socket.socket], object]], str]

LIMITS = Limits(seconds=60, stall=5, size=1 << 20)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return what makes a server of what to do with a connection; its URL."""
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


def drip_bytes_of_a_header(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(1000):
        connection.sendall(b"y")
        time.sleep(0.02)


def drip_a_chunks_extension(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nTransfer-Encoding: chunked\r\n\r\n1;")
    for _ in range(1000):
        connection.sendall(b"y")
        time.sleep(0.02)


def drip_trailers(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n")
    for number in range(1000):
        connection.sendall(b"X-%d: y\r\n" % number)
        time.sleep(0.02)


def lead_round_in_a_circle_slowly(connection: socket.socket) -> None:
    time.sleep(0.1)
    connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /clip.mp4\r\nContent-Length: 0\r\n\r\n")


DRIPS = [
    drip_headers,
    say_nothing,
    send_early_hints,
    drip_bytes_of_a_header,
    drip_a_chunks_extension,
    drip_trailers,
    lead_round_in_a_circle_slowly,
]


@pytest.mark.parametrize("answer", DRIPS)
def test_a_host_that_never_comes_to_the_file_is_bounded_by_the_deadline(
    serve: Serve, answer: Callable[[socket.socket], object]
) -> None:
    began = time.monotonic()
    with pytest.raises(DownloadInterrupted, match=r"more than 0.3 s"):
        fetch(serve(answer), Limits(seconds=0.3, stall=20, size=1 << 20))
    assert time.monotonic() - began < 5


def test_a_handshake_that_drips_is_bounded_by_the_deadline(serve: Serve) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"\x16\x03\x03\x40\x00")  # the head of a record of 16 kB
        for _ in range(1000):
            connection.sendall(b"x")
            time.sleep(0.02)

    began = time.monotonic()
    with pytest.raises(DownloadInterrupted):
        fetch(serve(drip).replace("http:", "https:"), Limits(seconds=0.3, stall=20, size=1 << 20))
    assert time.monotonic() - began < 5


LOCATIONS = [
    b"javascript:1",
    b"javascript://x/%0aalert(1)",
    b"data:video/mp4;base64,AAAA",
    b"data:,",
    b"about:blank",
    b"mailto:x@y",
    b"file:///etc/passwd",
    b"ftp://127.0.0.1/x",
    b"//",
    b"///",
    b"//evil.example/x",
    b"http:",
    b"http://",
    b"http:///x",
    b"http://[",
    b"http://[::1",
    b"http://[v1.x]/",
    b"http://]/",
    b"https://[::1]:x/",
    b"http://127.0.0.1:99999/",
    b"http://127.0.0.1:-1/",
    b"http://127.0.0.1:0/",
    b"http://127.0.0.1:1e3/",
    b"http://user:secret@127.0.0.1/x",
    b"http://127.0.0.1\\@evil.example/x",
    b"\\\\evil.example\\x",
    b"/\\evil.example/x",
    b"http://evil.example\t.fal.media/",
    b"\x01\x02\x1b[31m",
    b"http://\x7f/",
    b"http://a\xff\xfe/",
    b"/\xff\xfe\xed\xa0\xbd",
    "http://m\u00fcller.example/".encode(),
    "http://\u2100.example/".encode(),
    "http://xn--\u00fc/".encode(),
    b"http://xn--a/",
    "http://\u3002/".encode(),
    b"http://" + b"a" * 64 + b".fal.media/",
    b"http://" + b"a." * 200 + b"fal.media/",
    b"http://" + "\u00fc".encode() * 5_000 + b"/",
    b"http://evil.example/" + b"a" * 60_000,
    b"/" + b"a" * 70_000,
    b"a" * 99_000,
    b"x" * 200_000,
    b"http://0x7f.1/",
    b"http://2130706433/",
    b"http://169.254.169.254/latest/meta-data",
    b"http://[::ffff:169.254.169.254]/",
    b"http://[fe80::1%25eth0]/",
    b"http://%31%32%37.0.0.1/",
    b"?",
    b"#x",
    b".",
    b"../../..",
    b"%",
    b"%00",
    b"clip.mp4, clip.mp4",
    b":",
    b"::",
    b"1:",
    b" ",
    b"",
]


@pytest.mark.parametrize("location", LOCATIONS, ids=lambda location: repr(location[:30]))
def test_a_redirect_to_whatever_a_host_writes_is_followed_to_no_end_and_no_error_is_raw(
    serve: Serve, location: bytes
) -> None:
    asked = []

    def redirect(connection: socket.socket) -> None:
        asked.append(1)
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n")

    with pytest.raises((UntrustedUrl, DownloadInterrupted, DownloadRefused)) as raised:
        fetch(serve(redirect))
    assert len(asked) < 12
    assert len(raised.value.message) < 1000
    assert raised.value.message.isprintable()
    assert "secret" not in raised.value.message


def test_a_redirect_to_what_is_no_place_is_not_tried_again(serve: Serve) -> None:
    asked = []

    def redirect(connection: socket.socket) -> None:
        asked.append(1)
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: javascript:1\r\nContent-Length: 0\r\n\r\n")

    with pytest.raises(UntrustedUrl, match="javascript:1"):
        fetch(serve(redirect))
    assert len(asked) == 1


SECRET = "do-not-quote-me"

MALFORMED = {
    "status line": f"HTTP/1.1 {SECRET}\r\n\r\n",
    "no http": f"{SECRET}\r\n\r\n",
    "header": f"HTTP/1.1 200 OK\r\n{SECRET}\r\n\r\n",
    "header name": f"HTTP/1.1 200 OK\r\n{SECRET} x: y\r\n\r\n",
    "length": f"HTTP/1.1 200 OK\r\nContent-Length: {SECRET}\r\n\r\n",
    "two lengths": f"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2{SECRET}\r\n\r\n",
    "chunk": f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{SECRET}\r\n",
    "coding": f"HTTP/1.1 200 OK\r\nTransfer-Encoding: {SECRET}\r\n\r\n",
    "long header": f"HTTP/1.1 200 OK\r\nX: {SECRET * 20_000}\r\n\r\n",
    "location": f"HTTP/1.1 302 Found\r\nLocation: http://x:{SECRET}@[/\r\n\r\n",
}


@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED)
def test_what_a_host_sends_is_in_no_message(serve: Serve, answer: str) -> None:
    with pytest.raises((DownloadInterrupted, UntrustedUrl)) as raised:
        fetch(serve(lambda connection: connection.sendall(answer.encode())))
    assert SECRET not in str(raised.value)
    assert len(str(raised.value)) < 500


def test_a_broken_connection_is_told_by_the_systems_words(serve: Serve) -> None:
    def reset(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with pytest.raises(DownloadInterrupted, match=r"the connection broke, connection reset by peer"):
        fetch(serve(reset))
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(DownloadInterrupted, match=r"no connection, connection refused"):
        fetch(f"http://127.0.0.1:{port}/clip.mp4")


def test_a_host_that_speaks_no_tls_is_told_by_openssls_words(serve: Serve) -> None:
    url = serve(lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n"))
    with pytest.raises(DownloadInterrupted, match=r"no connection, [a-z ]+ .ConnectError"):
        fetch(url.replace("http:", "https:"))


@pytest.mark.parametrize(
    "header",
    [
        "Content-Length: " + "9" * 400,
        "Content-Length: 99999999999999999999",
        "Content-Length: -1",
        "Content-Encoding: gzip",
        "Content-Encoding: " + "gzip, " * 1000,
        "Content-Type: text/html",
        "X-Long: " + "x" * 100_000,
        "X-Long: " + "x" * 200_000,
        "\r\n".join(f"X-{number}: y" for number in range(5_000)),
    ],
    ids=lambda header: header[:30],
)
@pytest.mark.parametrize("status", ["200 OK", "206 Partial Content", "503 Busy", "416 Range Not Satisfiable"])
def test_a_header_of_any_length_and_number_ends_in_an_error_of_ours(serve: Serve, status: str, header: str) -> None:
    answer = f"HTTP/1.1 {status}\r\n{header}\r\nConnection: close\r\n\r\n"
    with pytest.raises(PikaError) as raised:
        fetch(serve(lambda connection: connection.sendall(answer.encode())))
    assert len(raised.value.message) < 500


@pytest.mark.parametrize(
    "header",
    [
        "Content-Type: " + "x" * 10_000,
        "Content-Type: video/" + "x" * 10_000,
        "Content-Type: video/mp4\x1b[31m",
        "Content-Type: video",
        "Content-Type: /",
        "Content-Type: video/m\u00fcp4",
        "Content-Type: ;",
    ],
    ids=lambda header: header[:30],
)
def test_a_content_type_that_is_none_is_not_told(serve: Serve, header: str) -> None:
    answer = f"HTTP/1.1 200 OK\r\n{header}\r\nContent-Length: 4\r\n\r\nclip"
    fetched = fetch(serve(lambda connection: connection.sendall(answer.encode())))
    assert (fetched.size, fetched.content_type) == (4, None)


@pytest.mark.parametrize("mark", [b'"' + b"x" * 10_000 + b'"', b'"\xff\xfe"', b'"\x1b"'], ids=repr)
def test_a_mark_that_cannot_be_sent_back_is_none(serve: Serve, mark: bytes) -> None:
    heads = iter(
        [
            b"HTTP/1.1 200 OK\r\nETag: " + mark + b"\r\nContent-Length: 8\r\n\r\nclip",
            b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 4-7/8\r\nContent-Length: 4\r\n\r\nclip",
        ]
    )
    assert fetch(serve(lambda connection: connection.sendall(next(heads)))).size == 8


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


@pytest.mark.parametrize(
    "proxy",
    [
        "http://user:do-not-quote-me@127.0.0.1:1",
        "nothing://user:do-not-quote-me@127.0.0.1:1",
        "http://user:do-not-quote-me@[",
        "socks5://user:do-not-quote-me@127.0.0.1:1",
    ],
)
def test_the_user_and_the_password_of_a_proxy_are_in_no_message(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(DownloadInterrupted if "127.0.0.1:1" in proxy and "http:" in proxy else UnusableProxy) as raised:
        Download(io.BytesIO(), Trust.of(None), LIMITS, lambda line: None, sleep=lambda seconds: None).fetch(
            "http://v3.fal.media/clip.mp4"
        )
    monkeypatch.undo()
    assert SECRET not in str(raised.value)
    assert "user" not in str(raised.value)


@pytest.mark.parametrize("variable", ["http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_is_gone_through_and_looks_the_name_up(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    asked: list[str] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("P", (Proxy,), {"asked": asked})) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv(variable, f"http://127.0.0.1:{server.server_port}")
        url = "http://v3.fal.media/files/b/x/clip.mp4"
        fetched = Download(io.BytesIO(), Trust.of(None), LIMITS, lambda line: None).fetch(url)
        server.shutdown()
    monkeypatch.undo()
    assert (fetched.size, asked) == (4, [url])
