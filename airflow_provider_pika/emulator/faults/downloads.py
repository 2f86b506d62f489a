"""Downloads of result files that go wrong. Each wraps a reply that handles ranges by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from airflow_provider_pika.emulator.faults.catalogue import Fault
from airflow_provider_pika.emulator.http.transport import Wrapped, client_gone, gone_within, received, reset

#: Bytes that are announced and never come.
SURPLUS = 1000

#: The ETag of a file that has changed since the download began.
CHANGED_ETAG = '"changed"'
#: Its ``Last-Modified``.
CHANGED_AT = "Thu, 01 Jan 2026 00:00:00 GMT"


class Midway(Wrapped):
    """Sends ``count`` bytes of the body. If there are more it is ``struck``, and then goes on if it can."""

    def __init__(self, reply: Response, count: int, struck: Callable[[Scope, Receive], Awaitable[object]]) -> None:
        super().__init__(reply)
        self._left = count
        self._struck = struck
        self._over = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the reply, and count its bytes."""

        async def counted(message: Message) -> None:
            body = message.get("body", b"")
            if not self._over and len(body) > self._left:
                self._over = True
                await send({**message, "body": body[: self._left], "more_body": True})
                await self._struck(scope, receive)
                message = {**message, "body": body[self._left :]}
            self._left -= len(body)
            await send(message)

        await self._reply(scope, receive, counted)


class Overstated(Wrapped):
    """Announces more bytes than it sends, and closes the connection after the last."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the reply, and keep its end from uvicorn, which checks the length. A HEAD has nothing to check."""

        async def overstated(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=list(message["headers"]))
                headers["content-length"] = str(int(headers["content-length"]) + SURPLUS)
                await send({**message, "headers": headers.raw})
            elif message.get("more_body", False) or scope["method"] == "HEAD":
                await send(message)
            else:
                await send({**message, "more_body": True})
                scope["state"]["transport"].close()
                await client_gone(receive)

        await self._reply(scope, receive, overstated)


class WithoutRanges(Wrapped):
    """The whole file, whatever range was asked for."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the reply as if no range was asked for."""
        await self._reply(_without(scope, "range", "if-range"), receive, send)


class Changed(Wrapped):
    """The file as if it had changed: it has another ETag and another date."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the changed file: whole, if a range was on the condition that nothing has changed.

        A client that knows the new ETag or date gets its range.
        """

        async def changed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=list(message["headers"]))
                headers["etag"], headers["last-modified"] = CHANGED_ETAG, CHANGED_AT
                message = {**message, "headers": headers.raw}
            await send(message)

        known = Headers(scope=scope).get("if-range", CHANGED_ETAG) in {CHANGED_ETAG, CHANGED_AT}
        hidden = ("if-range",) if known else ("if-range", "range")
        await self._reply(_without(scope, *hidden), receive, changed)


class Trickling(Wrapped):
    """The file at so many bytes a second, in ten pieces."""

    def __init__(self, reply: Response, bytes_per_second: int) -> None:
        super().__init__(reply)
        self._rate = bytes_per_second

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send each message's body in pieces."""
        size = max(self._rate // 10, 1)

        async def trickled(message: Message) -> None:
            body = message.get("body", b"")
            while body:
                piece, body = body[:size], body[size:]
                await send({**message, "body": piece, "more_body": True})
                await asyncio.sleep(len(piece) / self._rate)
            if not message.get("more_body", False):
                await send({**message, "body": b""})

        await self._reply(scope, receive, trickled)


def spoiled_download(fault: Fault, reply: Response) -> Response:
    """Return the reply as this download fault leaves it."""
    match fault.fault:
        case "reset_midway":
            return Midway(reply, fault.bytes, _reset)
        case "stall_midway":
            return Midway(reply, fault.bytes, lambda _, receive: gone_within(receive, fault.seconds))
        case "wrong_content_length":
            return Overstated(reply)
        case "no_ranges":
            return WithoutRanges(reply)
        case "changed_file":
            return Changed(reply)
    raise ValueError(f"{fault.fault} does not befall a download")


async def _reset(scope: Scope, receive: Receive) -> None:
    transport: asyncio.Transport = scope["state"]["transport"]
    await received(transport)
    reset(transport)
    await client_gone(receive)


def _without(scope: Scope, *names: str) -> Scope:
    """Return the same request without these headers."""
    hidden = {name.encode() for name in names}
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name not in hidden]}
