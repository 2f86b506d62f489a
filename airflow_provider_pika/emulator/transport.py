"""Replies that are no replies: a connection dropped, a connection reset, an answer held back."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

try:
    # Half of what a call costs is its parsing, in Python. The parser in C comes with Airflow, not with uvicorn alone.
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as HttpProtocol
except ModuleNotFoundError:
    from uvicorn.protocols.http.h11_impl import H11Protocol as HttpProtocol  # type: ignore[assignment]

NO_LINGER = struct.pack("ii", 1, 0)
"""With SO_LINGER at zero seconds, closing a socket sends RST in place of FIN."""


class AbortableProtocol(HttpProtocol):
    """uvicorn's HTTP protocol, with the connection's transport in ``scope["state"]`` for a reply to get at."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Every scope of this connection is given a copy of ``app_state``."""
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)


class Dropped(Response):
    """Closes the connection without a byte: with FIN, or with RST if ``reset``. Works under TLS too."""

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__()
        self._reset = reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Abort, then wait until uvicorn has noticed: it would otherwise complain that nothing was sent."""
        transport: asyncio.Transport = scope["state"]["transport"]
        if self._reset:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        transport.abort()
        await client_gone(receive)


class Stalled(Response):
    """Holds a reply back for ``seconds``, or until the client gives up."""

    def __init__(self, reply: Response, seconds: float) -> None:
        super().__init__()
        self._reply = reply
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait, then send what was held back."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(client_gone(receive), self._seconds)
            return
        await self._reply(scope, receive, send)


async def client_gone(receive: Receive) -> None:
    """Returns when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
