"""A server that speaks no HTTP library's HTTP, and what hypothesis has it say: any JSON, header, bytes and timing."""

from __future__ import annotations

import contextlib
import gzip
import json
import socketserver
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from airflow_provider_pika.fal import TEXT_TO_VIDEO
from tests.support.loopback import LoopbackServer

if TYPE_CHECKING:
    from airflow_provider_pika.triggers.pika import PikaVideoTrigger

REQUEST_ID = "019e1951-c778-7120-9c82-16efcf40ec82"

#: What is sent, piece by piece; a number is a pause in seconds.
Pieces = Iterable[bytes | float]
#: Takes a request's method, path and body.
Respond = Callable[[str, str, bytes], Pieces]


class HostileServer(LoopbackServer):
    """Answers each request with raw bytes, then closes the connection; ``heads`` are the requests' headers."""

    def __init__(self, respond: Respond) -> None:
        self.respond = respond
        self.heads: list[bytes] = []
        server = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError, ValueError, IndexError):
                    head = b"".join(iter(self.rfile.readline, b"\r\n"))
                    server.heads.append(head)
                    lines = head.decode("latin-1").lower().splitlines()
                    lengths = [int(line.split(":")[1]) for line in lines if line.startswith("content-length:")]
                    body = self.rfile.read(sum(lengths))
                    method, path = head.decode("latin-1").split(" ")[:2]
                    for piece in server.respond(method, path, body):
                        if isinstance(piece, bytes):
                            self.wfile.write(piece)
                        else:
                            time.sleep(piece)

        self._tcp = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://{self.address}"


def trigger_at(server: HostileServer, within: float = 0.05, **arguments: Any) -> PikaVideoTrigger:
    """Make a trigger that waits for :data:`REQUEST_ID` there, over the default connection, for so many seconds."""
    waiting: dict[str, Any] = {"poll_interval": 0.02, "deadline": time.time() + within, "timeout": max(within, 1.0)}
    known: dict[str, Any] = {"endpoint": TEXT_TO_VIDEO, "pika_conn_id": "pika_default", "queue_url": server.url}
    from airflow_provider_pika.triggers.pika import PikaVideoTrigger  # pure tests use the rest without Airflow

    return PikaVideoTrigger(request_id=REQUEST_ID, **{**known, **waiting, **arguments})


def http(body: bytes | str | Any, status: int | str = 200, *headers: tuple[str, str]) -> bytes:
    """Make a whole answer; what is neither bytes nor text becomes JSON, as lax as Python writes it."""
    content = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    fields = [("Content-Length", str(len(content))), ("Connection", "close"), *headers]
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode("latin-1", "replace") + content


def endless(piece: bytes) -> Pieces:
    """Repeat a piece until nobody reads any more."""
    while True:
        yield piece


#: Texts that break a database, a codec, a log or a terminal.
nasty_texts = st.sampled_from(
    ["\0", "a\0b", "\ud83d", "x\udc00y", "::group::", "\x1b[2J", "a\nb", "\u2028", "../../etc/passwd", "None", ""]
)
texts = st.one_of(
    nasty_texts,
    st.text(st.characters(), max_size=40),
    st.integers(1, 200_000).map(lambda size: "x" * size),
)
nasty_numbers = st.sampled_from([float("nan"), float("inf"), -float("inf"), 2**63, 2**64, 10**400, -1, 1e308])
numbers = st.one_of(st.floats(), st.integers(), nasty_numbers)
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(texts, inner, max_size=5)),
    max_leaves=12,
)
nasty = st.one_of(nasty_texts, nasty_texts, nasty_numbers, values)


@st.composite
def like(draw: st.DrawFn, known: dict[str, Any]) -> dict[str, Any]:
    """Make an object like a known one, of which a value or two are others, or gone."""
    made = dict(known)
    for key in draw(st.lists(st.sampled_from(sorted(known)), max_size=2)):
        if isinstance(known[key], dict) and known[key] and draw(st.booleans()):
            made[key] = draw(like(known[key]))
        elif draw(st.integers(0, 4)):
            made[key] = draw(nasty)
        else:
            made.pop(key, None)
    return made


log_lines = st.lists(like({"message": "step 1", "timestamp": "2026-11-24T02:00:07Z"}), max_size=4)
_STATUS = {"request_id": REQUEST_ID, "metrics": {"inference_time": 1.5}, "response_url": "https://queue.fal.run/x"}
_VIDEO = {
    "url": "https://v3.fal.media/files/b/x/y.mp4",
    "content_type": "video/mp4",
    "file_name": "y.mp4",
    "file_size": 9,
}
statuses = st.one_of(
    st.builds(lambda status, logs: {**status, "logs": logs}, like({**_STATUS, "status": "COMPLETED"}), log_lines),
    st.builds(lambda status, logs: {**status, "logs": logs}, like({**_STATUS, "status": "IN_PROGRESS"}), log_lines),
    like({**_STATUS, "status": "COMPLETED", "error": "broken", "error_type": "runner_error"}),
    like({**_STATUS, "status": "IN_QUEUE", "queue_position": 3, "logs": None}),
)
results = like({"video": _VIDEO})
refusals = st.one_of(
    like({"detail": "broken", "error_type": "runner_error"}),
    like({"loc": ["body", "prompt"], "msg": "no", "type": "content_policy_violation"}).map(lambda e: {"detail": [e]}),
)
histories = st.builds(
    lambda items, more: {"items": items, **more},
    st.lists(like({"request_id": REQUEST_ID, "status_code": 200, "json_input": {}, "json_output": {}}), max_size=3),
    like({"next_cursor": "2", "has_more": False}),
)

header_values = st.one_of(
    st.sampled_from(["9" * 400, "-1", "nan", "1e999", "Wed, 21 Oct 99999 07:28:00 GMT", "\xff\xfe", "a" * 9000]),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60),
)
headers = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "Retry-After",
                "X-Fal-Error-Type",
                "X-Fal-Retryable",
                "X-Fal-Billable-Units",
                "X-Fal-Request-Id",
                "X-Fal-Request-Timeout-Type",
                "Content-Type",
                "Content-Encoding",
                "Location",
                "Set-Cookie",
                "Server",
            ]
        ),
        header_values,
    ),
    max_size=4,
)
codes = st.one_of(
    st.sampled_from([200, 200, 200, 202, 400, 401, 403, 404, 422, 429, 499, 500, 503, 504]), st.integers(100, 999)
)


def answers(bodies: st.SearchStrategy[Any], *good: int) -> st.SearchStrategy[list[bytes | float]]:
    """Make answers with such bodies, and sometimes any other; some are cut off, compressed, slow, or no HTTP at all."""
    content = bodies.map(lambda body: json.dumps(body).encode())
    other = st.one_of(content, values.map(lambda body: json.dumps(body).encode()), st.binary(max_size=300))
    plain = st.builds(
        lambda body, code, fields: [http(body, code, *fields)], content, st.sampled_from(good or (200,)), headers
    )
    whole = st.builds(lambda body, code, fields: [http(body, code, *fields)], other, codes, headers)
    zipped = content.map(lambda body: [http(gzip.compress(body), 200, ("Content-Encoding", "gzip"))])
    cut = st.builds(lambda pieces, at: [pieces[0][: int(at * len(pieces[0]))]], whole, st.floats(0, 1))
    slow = st.builds(lambda pieces, pause: [pieces[0][:40], pause, pieces[0][40:]], whole, st.floats(0, 0.05))
    raw = st.binary(max_size=200).map(lambda some: [some])
    odd = st.builds(lambda line, body: [line + b"\r\n\r\n" + body], st.binary(max_size=60), content)
    return st.one_of(plain, plain, plain, plain, plain, plain, whole, whole, zipped, cut, slow, raw, odd)
