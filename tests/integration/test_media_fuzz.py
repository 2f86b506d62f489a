"""Whatever a host answers, and whatever a file holds: an error of ours or a result, in bounded time and memory."""

from __future__ import annotations

import importlib.util
import io
import math
import random
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_pika.exceptions import PikaError
from airflow_provider_pika.media import jpeg
from airflow_provider_pika.media.download import Download, Fetched, Limits
from airflow_provider_pika.media.mp4 import Clip
from airflow_provider_pika.media.url_policy import Trust
from airflow_provider_pika.media.verify import probe
from tests.support.bombs import encoded
from tests.support.sizes import examples

LIMITS = Limits(seconds=1.0, stall=0.3, size=1 << 16)

#: A piece of an answer: bytes, the seconds before them, and whether the connection is reset after them.
Piece = tuple[bytes, float]
Answer = tuple[list[Piece], bool]


class Host:
    """Answers each connection with the next of the answers, and the last again and again."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self._asked = 0
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/clip.mp4"
        threading.Thread(target=self._accept, daemon=True).start()

    def play(self, answers: list[Answer]) -> None:
        self.answers, self._asked = answers, 0

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            answer = self.answers[min(self._asked, len(self.answers) - 1)]
            self._asked += 1
            threading.Thread(target=self._talk, args=(connection, answer), daemon=True).start()

    def _talk(self, connection: socket.socket, answer: Answer) -> None:
        pieces, is_reset = answer
        with connection:
            try:
                connection.settimeout(2)
                connection.recv(65536)
                for content, pause in pieces:
                    time.sleep(pause)
                    connection.sendall(content)
                if is_reset:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                return


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    running = Host()
    yield running
    running.close()


STATUSES = st.one_of(
    st.sampled_from([b"200", b"206", b"301", b"302", b"307", b"404", b"416", b"429", b"500", b"103", b"204", b"407"]),
    st.integers(0, 9999).map(lambda number: str(number).encode()),
    st.binary(max_size=8),
)
NAMES = st.one_of(
    st.sampled_from(
        [
            b"Location",
            b"Content-Type",
            b"Content-Length",
            b"Content-Range",
            b"Content-Encoding",
            b"Transfer-Encoding",
            b"Retry-After",
            b"ETag",
            b"Last-Modified",
            b"Connection",
            b"Upgrade",
            b"Set-Cookie",
        ]
    ),
    st.binary(max_size=12),
)
VALUES = st.one_of(
    st.sampled_from(
        [
            b"javascript:1",
            b"/clip.mp4",
            b"//",
            b"http://[",
            b"http:///x",
            b"http://127.0.0.1:99999/",
            b"video/mp4",
            b"text/html",
            b"gzip",
            b"chunked",
            b"bytes 0-3/4",
            b"bytes 4-7/8",
            b"bytes */4",
            b"close",
            b"4",
            b"0",
            b"-1",
            b"9" * 400,
            b'"v1"',
            b"NaN",
            b"x" * 120_000,
        ]
    ),
    st.binary(max_size=40),
    st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")),
)
HEADERS = st.lists(st.tuples(NAMES, VALUES), max_size=6).map(
    lambda pairs: b"".join(name + b": " + value + b"\r\n" for name, value in pairs)
)
BODIES = st.one_of(
    st.binary(max_size=200),
    st.integers(0, 200_000).map(bytes),
    st.lists(st.binary(max_size=20), max_size=5).map(
        lambda chunks: b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    ),
)
PAUSES = st.sampled_from([0.0, 0.0, 0.0, 0.0, 0.0, 0.01, 0.4])
HTTP = st.builds(
    lambda status, headers, body, pause: [(b"HTTP/1.1 " + status + b" x\r\n" + headers + b"\r\n", 0.0), (body, pause)],
    STATUSES,
    HEADERS,
    BODIES,
    PAUSES,
)
ANYTHING = st.lists(st.tuples(st.binary(max_size=100), PAUSES), max_size=4)
ANSWERS = st.lists(st.tuples(st.one_of(HTTP, HTTP, HTTP, ANYTHING), st.booleans()), min_size=1, max_size=4)


def fetched(host: Host, sink: io.BytesIO, told: list[str]) -> Fetched | PikaError:
    trust = Trust.of(host.url.rpartition("/")[0])
    try:
        return Download(sink, trust, LIMITS, told.append, sleep=lambda seconds: None).fetch(host.url)
    except PikaError as error:
        return error


def is_plain(text: str, most: int = 1000) -> bool:
    return text.isprintable() and len(text) < most


@pytest.mark.soak
@examples(60, 2000)
@given(answers=ANSWERS)
def test_whatever_a_host_answers_a_download_ends_in_a_file_or_an_error_of_ours(
    host: Host, answers: list[Answer]
) -> None:
    host.play(answers)
    sink, told = io.BytesIO(), list[str]()
    began = time.monotonic()
    outcome = fetched(host, sink, told)
    assert time.monotonic() - began < 10
    assert len(sink.getvalue()) <= LIMITS.size + (1 << 16)
    assert all(map(is_plain, told))
    if isinstance(outcome, PikaError):
        assert is_plain(str(outcome))
        assert outcome.retry_after is None or 0 <= outcome.retry_after <= 86_400
    else:
        assert outcome.size == len(sink.getvalue())
        assert outcome.content_type is None or is_plain(outcome.content_type, 130)


SEEDS = {
    "mp4": lambda: encoded("mp4", "libx264", frames=10),
    "fragmented": lambda: encoded("mp4", "libx264", frames=10, movflags="frag_keyframe+empty_moov"),
    "mpeg4": lambda: encoded("mov", "mpeg4", frames=10),
    "webm": lambda: encoded("webm", "libvpx", frames=5),
    "avi": lambda: encoded("avi", "mpeg4", frames=5),
}


def said(content: bytes) -> Clip | PikaError:
    try:
        return probe(io.BytesIO(content), len(content), lambda line: None, with_poster=True)
    except PikaError as error:
        return error


def check_said(outcome: Clip | PikaError) -> None:
    if isinstance(outcome, PikaError):
        assert is_plain(str(outcome))
        return
    assert 1 <= outcome.width <= 8192
    assert 1 <= outcome.height <= 8192
    assert 0 <= outcome.seconds <= 3600
    assert outcome.frame_rate is None or math.isfinite(outcome.frame_rate)
    assert outcome.poster is None or (len(outcome.poster) <= 100_000 and jpeg.size_of(outcome.poster) is not None)


def mutated(content: bytes, rolled: random.Random) -> bytes:
    """Change, double, cut out and move some bytes; most of all numbers where sizes and counts are."""
    found = bytearray(content)
    for _ in range(rolled.choice([1, 1, 2, 5, 20])):
        at = rolled.randrange(max(len(found) - 8, 1))
        end = min(at + rolled.choice([1, 4, 8, 100]), len(found))
        change = rolled.randrange(5)
        if change == 0:
            found[at:end] = rolled.randbytes(end - at)
        elif change == 1:
            found[at : at + 4] = struct.pack(">I", rolled.choice([0, 1, 8, 0x7FFF_FFFF, 0xFFFF_FFFF, 60_000_000]))
        elif change == 2:
            found[at:at] = found[at:end] * rolled.choice([1, 100])
        elif change == 3:
            del found[at:end]
        else:
            found[at] ^= 1 << rolled.randrange(8)
    return bytes(found)


def check_growth(begun: int) -> None:
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begun < 100 * 1024  # KiB


@pytest.mark.parametrize("with_pyav", [True, False], ids=["with PyAV", "without"])
@pytest.mark.parametrize("name", SEEDS)
def test_whatever_becomes_of_a_video_it_is_told_or_refused(
    name: str, with_pyav: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = SEEDS[name]()
    if not with_pyav:
        without_pyav(monkeypatch)
    check_said(said(seed))
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(6 if with_pyav else 400):
        began = time.monotonic()
        check_said(said(mutated(seed, random.Random(f"{name} {number}"))))
        assert time.monotonic() - began < 60
    check_growth(begun)


def without_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    find: Callable[..., Any] = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None if name == "av" else find(name, *more))


KINDS = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"stsz", b"stts", b"stsc", b"stco", b"ctts", b"hdlr"]
KINDS += [b"tkhd", b"mdhd", b"mvhd", b"edts", b"elst", b"moof", b"traf", b"trun", b"free", b"mdat", b"avc1", b"esds"]
SIZES = st.one_of(st.none(), st.sampled_from([0, 1, 7, 8, 16, 0xFFFF_FFFF]))


def boxed(kind: bytes, parts: list[bytes], size: int | None) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content) if size is None else size, kind) + content


BOXES = st.recursive(
    st.binary(max_size=40),
    lambda inside: st.builds(boxed, st.sampled_from(KINDS), st.lists(inside, max_size=6), SIZES),
    max_leaves=30,
)


@pytest.mark.soak
@examples(100, 5000)
@given(boxes=st.lists(BOXES, max_size=5), is_headed=st.booleans())
def test_whatever_boxes_a_file_has_they_are_told_or_refused(boxes: list[bytes], is_headed: bool) -> None:
    head = struct.pack(">I4s", 16, b"ftyp") + b"isom\0\0\0\0" if is_headed else b""
    with pytest.MonkeyPatch.context() as patched:
        without_pyav(patched)
        check_said(said(head + b"".join(boxes)))
