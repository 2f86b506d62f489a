"""Answers without end: memory stays flat, a wait ends in time, and a clip is delivered in spite of its log."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gzip
import json
import socket
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.fal import TEXT_TO_VIDEO, lookup
from airflow_provider_pika.fal.account import Account
from airflow_provider_pika.fal.async_client import EVENTS_APART, AsyncFalQueue
from airflow_provider_pika.fal.client import FalQueue
from airflow_provider_pika.fal.lookup import search
from airflow_provider_pika.fal.progress import LINES_A_LOOK
from airflow_provider_pika.sensors.pika import PikaVideoSensor
from tests.integration.conftest import KEY, connect
from tests.support.airflow import run_to_the_end
from tests.support.hostile import REQUEST_ID, HostileServer, Pieces, endless, http

Read = Callable[[str], object]

#: Megabytes that reading one answer may take; the largest that is read whole has 8, as bytes, as text and as objects.
MEMORY = 64

CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"


@contextmanager
def flat_memory(most: int = MEMORY) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most << 20
    finally:
        tracemalloc.stop()


def blocking(url: str) -> object:
    with FalQueue(Account(f"Key {KEY}", url, timeout=2.0)) as queue:
        return queue.status(TEXT_TO_VIDEO, REQUEST_ID)


def on_a_loop(url: str) -> object:
    async def read() -> object:
        async with AsyncFalQueue(Account(f"Key {KEY}", url, timeout=2.0)) as queue:
            return await queue.status(TEXT_TO_VIDEO, REQUEST_ID)

    return asyncio.run(read())


def in_a_stream(url: str) -> object:
    async def read() -> object:
        async with AsyncFalQueue(Account(f"Key {KEY}", url, timeout=2.0)) as queue:
            return [status async for status in queue.follow(TEXT_TO_VIDEO, REQUEST_ID)]

    return asyncio.run(read())


@functools.cache
def packed() -> bytes:
    """Return 0.4 MB that become 400."""
    return gzip.compress(b"x" * (400 << 20), 1)


def bomb(status: int) -> Pieces:
    return [http(packed(), status, ("Content-Encoding", "gzip"))]


def without_end(status: int) -> Pieces:
    yield f"HTTP/1.1 {status} OK\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    yield from endless(CHUNK)


def headers_without_end(status: int) -> Pieces:
    yield f"HTTP/1.1 {status} OK\r\n".encode()
    yield from endless(b"X-More: " + b"x" * 5000 + b"\r\n")


def one_line_without_end(status: int) -> Pieces:
    yield f"HTTP/1.1 {status} OK\r\nContent-Type: text/event-stream\r\n\r\n: ".encode()
    yield from endless(b"x" * 0x10000)


@pytest.mark.parametrize("read", [blocking, on_a_loop, in_a_stream])
@pytest.mark.parametrize("status", [200, 403])
@pytest.mark.parametrize("answer", [bomb, without_end, headers_without_end, one_line_without_end])
def test_an_answer_without_end_takes_little_memory_and_is_an_error(
    answer: Callable[[int], Pieces], status: int, read: Read
) -> None:
    packed()  # which takes much memory, once
    with HostileServer(lambda *_: answer(status)) as server, flat_memory(), pytest.raises(errors.PikaError):
        read(server.url)


@pytest.mark.parametrize("read", [blocking, on_a_loop])
def test_an_answer_that_drips_ends_in_time(read: Read) -> None:
    def drip(*request: Any) -> Pieces:
        yield b"HTTP/1.1 200 OK\r\nX-A: "
        for _ in range(100):
            yield b"x"
            yield 0.2

    began = time.monotonic()
    with HostileServer(drip) as server, pytest.raises(errors.Unreachable, match="no answer in time"):
        read(server.url)
    assert time.monotonic() - began < 10  # of the 20 that it drips


def test_a_history_without_end_takes_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"request_id": f"r{n}", "status_code": 200, "json_input": {"prompt": "x" * 20_000}} for n in range(100)]
    page = http({"items": rows, "next_cursor": "1", "has_more": True})
    monkeypatch.setattr(lookup, "SEARCH_PAUSES", ())
    monkeypatch.setattr(lookup, "MOST_PAGES", 5)
    with (
        HostileServer(lambda *_: [page]) as server,
        FalQueue(Account(f"Key {KEY}", server.url)) as queue,
        flat_memory(),
    ):
        found = queue.hold(search(queue.account.platform_url, TEXT_TO_VIDEO, {"prompt": "a fox"}, 0.0))
    assert len(server.heads) == 5
    assert found.trouble
    assert "not read completely" in found.trouble.message


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "poke"])
@pytest.mark.parametrize("lines", [5_000, 200_000])
def test_a_log_of_any_length_costs_no_clip(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, lines: int, deferrable: bool
) -> None:
    log = [{"message": f"step {number}", "timestamp": "t"} for number in range(lines)]
    polls: list[str] = []

    def respond(method: str, path: str, body: bytes) -> Pieces:
        if "/status" not in path:
            return [http({"video": {"url": "https://v3.fal.media/x.mp4"}})]
        polls.append(path)
        known = {"request_id": REQUEST_ID, "status": "IN_PROGRESS" if len(polls) < 5 else "COMPLETED"}
        return [http({**known, "logs": log if "logs=1" in path else None})]

    with HostileServer(respond) as server:
        connect(monkeypatch, server.url)
        sensor = PikaVideoSensor(task_id="t", request_id=REQUEST_ID, deferrable=deferrable, poll_interval=0.05)
        assert run_to_the_end(sensor)["url"] == "https://v3.fal.media/x.mp4"
    assert sum("fal: step" in line for line in caplog.messages) <= LINES_A_LOOK


def test_a_stream_that_never_pauses_is_taken_in_twice_a_second() -> None:
    event = {"request_id": REQUEST_ID, "status": "IN_PROGRESS", "logs": [{"message": "x", "timestamp": "t"}]}

    def respond(*_: Any) -> Pieces:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        yield from endless(b"data: " + json.dumps(event).encode() + b"\n\n")

    async def listen(url: str) -> int:
        seen = 0
        async with AsyncFalQueue(Account(f"Key {KEY}", url)) as queue:
            statuses = queue.follow(TEXT_TO_VIDEO, REQUEST_ID)
            began = time.monotonic()
            while time.monotonic() - began < 6 * EVENTS_APART:
                await anext(statuses)
                seen += 1
            await statuses.aclose()
        return seen

    with HostileServer(respond) as server, flat_memory():
        assert asyncio.run(listen(server.url)) <= 8


def test_events_that_come_together_keep_their_log_and_the_last_ones_status(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [{"status": "IN_QUEUE", "queue_position": 1}]
    events += [{"status": "IN_PROGRESS", "logs": [{"message": f"m{n}", "timestamp": str(n)}]} for n in range(3)]
    told = b"".join(b"data: " + json.dumps({"request_id": REQUEST_ID, **event}).encode() + b"\n\n" for event in events)
    with HostileServer(lambda *_: [b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + told]) as server:
        statuses: Any = in_a_stream(server.url)
    assert [status.status for status in statuses] == ["IN_PROGRESS"]
    assert [line.message for line in statuses[0].logs] == ["m0", "m1", "m2"]


@pytest.mark.parametrize(
    "text", ["\\", "&#" + "9" * 5000, "\u0315\u0300", "%41", '{"a": '], ids=["escapes", "entities", "marks", "%", "{"]
)
def test_a_prompt_that_comes_back_in_the_log_costs_no_clip(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    said = text * (100_000 // len(text))

    def respond(method: str, path: str, body: bytes) -> Pieces:
        if "/status" not in path:
            return [http({"video": {"url": "https://v3.fal.media/x.mp4"}})]
        return [http({"status": "COMPLETED", "logs": [{"message": said, "timestamp": "t"}], "seed": 10**4000})]

    with HostileServer(respond) as server:
        connect(monkeypatch, server.url)
        sensor = PikaVideoSensor(task_id="t", request_id=REQUEST_ID, poll_interval=0.05, timeout=20)
        assert run_to_the_end(sensor)["url"] == "https://v3.fal.media/x.mp4"


def test_a_connection_that_never_opens_is_no_submit(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a host with two addresses, neither of which answers: together they take longer than one call may."""
    with socket.socket() as first, socket.socket() as second, contextlib.ExitStack() as waiting:
        first.bind(("127.0.0.1", 0))
        port = first.getsockname()[1]
        second.bind(("127.0.0.2", port))
        for listener in (first, second):
            listener.listen(0)
            for _ in range(3):  # its queue is full, so the next one gets no answer
                connection = waiting.enter_context(socket.socket())
                connection.setblocking(False)
                connection.connect_ex(listener.getsockname())
        addresses = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.1", "127.0.0.2")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
        with (
            FalQueue(Account(f"Key {KEY}", f"http://queue.example:{port}", timeout=2.0), sleep=lambda _: None) as queue,
            pytest.raises(errors.Unreachable, match="Nothing was submitted"),
        ):
            queue.submit(TEXT_TO_VIDEO, {"prompt": "a fox"})
