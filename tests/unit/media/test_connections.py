"""Downloads that share something: a connection that stays open, the pause that a host has asked for."""

from __future__ import annotations

import http.server
import io
import threading
import time
from collections.abc import Iterator

import pytest

from airflow_provider_pika.exceptions import DownloadInterrupted, PikaError, UntrustedUrl
from airflow_provider_pika.media.connections import Connections, HostPauses
from airflow_provider_pika.media.download import Download, Limits
from airflow_provider_pika.media.url_policy import Trust

LIMITS = Limits(seconds=20, stall=5, size=1 << 20)


class Host:
    """A host that counts its connections, and says what it is told to."""

    def __init__(self) -> None:
        self.connections, self.asked = 0, list[float]()
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.closes = False
        host = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                host.connections += 1
                super().setup()

            def do_GET(self) -> None:
                host.asked.append(time.monotonic())
                status, headers = host.answers.pop(0) if host.answers else (200, {})
                self.send_response(status)
                for name, value in {"Content-Type": "video/mp4", "Content-Length": "3", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"mp4")
                self.close_connection = host.closes  # without a word, as an idle connection ends

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/clip.mp4"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    yield host
    host.server.shutdown()
    host.server.server_close()


def fetch(url: str, connections: Connections | None = None, pauses: HostPauses | None = None, **more: object) -> int:
    limits = LIMITS if "seconds" not in more else Limits(float(str(more["seconds"])), 5, 1 << 20)
    trust = more.get("trust") or Trust.of(url)
    download = Download(io.BytesIO(), trust, limits, lambda line: None, connections=connections, pauses=pauses)  # type: ignore[arg-type]
    return download.fetch(url).size


def test_one_connection_serves_several_downloads(host: Host) -> None:
    connections = Connections()
    assert [fetch(host.url, connections) for _ in range(5)] == [3] * 5
    assert host.connections == 1
    connections.close()
    fetch(host.url, connections)
    assert host.connections == 2


def test_a_connection_that_the_host_has_closed_is_opened_again(host: Host) -> None:
    host.closes = True
    connections = Connections()
    for _ in range(3):
        assert fetch(host.url, connections) == 3
        time.sleep(0.05)
    assert host.connections == 3


def test_a_connection_on_which_something_went_wrong_is_not_kept(host: Host) -> None:
    connections = Connections()
    host.answers = [(403, {})]
    with pytest.raises(PikaError):
        fetch(host.url, connections)
    fetch(host.url, connections)
    assert host.connections == 2


def test_an_address_is_checked_for_each_url_on_a_kept_connection_too(host: Host) -> None:
    name = host.url.replace("127.0.0.1", "localhost")
    trust = Trust.of(None, [name.split("/")[2] + "/clip.mp4", name.split("/")[2] + "/other", "127.0.0.0/8"])
    elsewhere = Trust.of(None, [name.split("/")[2] + "/clip.mp4"])
    connections = Connections()
    fetch(name, connections, trust=trust)
    with pytest.raises(UntrustedUrl, match="not public"):
        fetch(name, connections, trust=elsewhere)
    assert len(host.asked) == 1


def test_a_pause_that_a_host_asks_one_download_for_holds_for_all(host: Host) -> None:
    pauses = HostPauses()
    host.answers = [(429, {"Retry-After": "1"})]
    first = threading.Thread(target=fetch, args=(host.url, None, pauses))
    first.start()
    while not pauses.left(host.url):
        time.sleep(0.005)
    others = [threading.Thread(target=fetch, args=(host.url, None, pauses)) for _ in range(5)]
    for thread in others:
        thread.start()
    for thread in (first, *others):
        thread.join()
    assert len(host.asked) == 7
    assert min(host.asked[1:]) - host.asked[0] >= 0.99


def test_another_host_is_not_held_up_by_a_pause(host: Host) -> None:
    pauses = HostPauses()
    pauses.ask("http://other.example.com/x.mp4", 60)
    began = time.monotonic()
    assert fetch(host.url, None, pauses) == 3
    assert time.monotonic() - began < 5


def test_a_pause_that_is_longer_than_the_time_that_is_left_ends_the_download_at_once(host: Host) -> None:
    pauses = HostPauses()
    pauses.ask(host.url, 60)
    began = time.monotonic()
    with pytest.raises(DownloadInterrupted, match="wants no requests for 60 s"):
        fetch(host.url, None, pauses, seconds=10)
    assert time.monotonic() - began < 1
    assert host.asked == []
