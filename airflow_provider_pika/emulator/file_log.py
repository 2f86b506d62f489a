"""Who asked for which result file, and how: what a test asks when it wants to know that a download was resumed."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from airflow_provider_pika.emulator.transport import Wrapped

KEPT = 1000
"""Exchanges; older ones are forgotten."""


@dataclass
class FileRequest:
    """One exchange. ``authorization`` is whether there was such a header, ``status`` is 0 until one was sent."""

    path: str
    method: str
    range: str | None
    if_range: str | None
    authorization: bool
    status: int = 0


class FileLog:
    """The last exchanges about files, in the order in which they came; gone with the process."""

    def __init__(self) -> None:
        self._requests: deque[FileRequest] = deque(maxlen=KEPT)

    def add(self, request: Request) -> FileRequest:
        """Note a request; its status is for `Noted` to fill in."""
        headers = request.headers
        noted = FileRequest(
            request.url.path, request.method, headers.get("range"), headers.get("if-range"), "authorization" in headers
        )
        self._requests.append(noted)
        return noted

    def read(self) -> list[dict[str, Any]]:
        """All of them, oldest first."""
        return [asdict(request) for request in self._requests]

    def reset(self) -> None:
        """Forget them."""
        self._requests.clear()


class Noted(Wrapped):
    """A reply that writes its status down before it is sent."""

    def __init__(self, reply: Response, request: FileRequest) -> None:
        super().__init__(reply)
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look at the first message."""

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._request.status = message["status"]
            await send(message)

        await self._reply(scope, receive, noted)
