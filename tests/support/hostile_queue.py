"""A queue that accepts every submit, and then answers as the prompt says: one case of hostility each."""

from __future__ import annotations

import functools
import gzip
import json
from collections.abc import Callable
from typing import Any

from tests.support.hostile import HostileServer, Pieces, endless, http
from tests.support.spellings import SPELLINGS

SECRET = "9f8e7d6c5b4a39281706f5e4d3c2b1a0"
KEY = f"0a1b2c3d-1111-4222-8333-444455556666:{SECRET}"

VIDEO = {"video": {"url": "https://v3.fal.media/files/b/x/y.mp4", "content_type": "video/mp4", "file_size": 9}}
REFUSED = http({"detail": [{"loc": ["body", "prompt"], "msg": "refused, at last", "type": "image_too_small"}]}, 422)

#: What the status says, what the result says, and whether the clip is there all the same.
Case = tuple[Callable[[], Pieces], bytes, bool]

NASTY = "a\0b \ud83d ::group::closed for you \n[2026-11-26T00:00:00] ERROR - the database is gone \x1b[2J\x07"
LONG = "x" * 900_000
ECHOES = [spell(KEY) for spell in SPELLINGS.values()]


def _completed(**more: Any) -> bytes:
    return http({"status": "COMPLETED", "logs": [], "metrics": {}, **more})


def _log(*messages: str) -> bytes:
    return _completed(logs=[{"message": message, "timestamp": str(n)} for n, message in enumerate(messages)])


def _flood() -> Pieces:
    event = b'data: {"status": "IN_PROGRESS", "logs": [{"message": "flood", "timestamp": "t"}]}\n\n'
    yield b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    yield from endless(event)


def _body_without_end() -> Pieces:
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    yield from endless(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


@functools.cache
def _bomb() -> bytes:
    """Return 0.2 MB that become 200."""
    return http(gzip.compress(b"x" * (200 << 20), 1), 200, ("Content-Encoding", "gzip"))


CASES: dict[str, Case] = {
    "nasty errors": (lambda: [_completed(error=NASTY, error_type=NASTY)], REFUSED, False),
    "nasty log": (lambda: [_log(NASTY, NASTY)], http(VIDEO), True),
    "nasty result": (lambda: [_completed()], http({"detail": NASTY, "error_type": NASTY}, 500), False),
    "long errors": (lambda: [_completed(error=LONG)], REFUSED, False),
    "long lines": (lambda: [_log(LONG)], http(VIDEO), True),
    "not a number": (lambda: [_completed(metrics={"inference_time": float("nan")})], http(VIDEO), True),
    "infinity": (lambda: [_completed(metrics={"inference_time": float("inf")})], http(VIDEO), True),
    "4,000 digits": (lambda: [_completed(metrics={"inference_time": 10**4000})], http(VIDEO), True),
    "a pause of 400 digits": (lambda: [http({}, 429, ("Retry-After", "9" * 400))], REFUSED, False),
    "nested": (lambda: [b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 900_000], REFUSED, False),
    "a bomb": (lambda: [_bomb()], REFUSED, False),
    "a body without end": (_body_without_end, REFUSED, False),
    "a stream without pause": (_flood, REFUSED, False),
    "50,000 lines": (lambda: [_log(*("line",) * 50_000)], http(VIDEO), True),
    "no HTTP": (lambda: [b"\0\xff\r\n\r\n"], REFUSED, False),
    "the key in its log": (lambda: [_log(*ECHOES)], http({"detail": "no", "error_type": "runner_error"}, 500), False),
    "the key in errors": (lambda: [_completed()], http({"detail": ECHOES, "error_type": ECHOES[18]}, 500), False),
}


def hostile_queue() -> HostileServer:
    """Make the queue; it runs while it is used as a context manager."""
    names = list(CASES)
    _bomb()  # which takes a second or two, before anybody waits for it

    def respond(method: str, path: str, body: bytes) -> Pieces:
        if method == "POST":
            return [http({"request_id": f"case-{names.index(json.loads(body)['prompt'])}", "status": "IN_QUEUE"})]
        status, result, _ = CASES[names[int(path.partition("/requests/case-")[2].partition("/")[0])]]
        if "/status" not in path:
            return [result]
        return [_completed()] if path.endswith("logs=0") else status()

    return HostileServer(respond)
