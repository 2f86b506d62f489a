"""An HTTP server that answers as a test says, for what neither fal nor the emulator does."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.loopback import LoopbackServer

Answer = Callable[[BaseHTTPRequestHandler], None]


class StrangeServer(LoopbackServer):
    """Answers as a test says; ``authorizations`` and ``bodies`` are those it was sent."""

    def __init__(self, answer: Answer) -> None:
        self.authorizations: list[str | None] = []
        self.bodies: list[bytes] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def respond(self) -> None:
                server.authorizations.append(self.headers["Authorization"])
                server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
                answer(self)

            do_GET = do_POST = do_PUT = respond  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._tcp = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://{self.address}"


def reply(status: int, body: str, **headers: str) -> Answer:
    """Answer everything with this."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body.encode())), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body.encode())

    return answer
