"""Broken connections: one that is dropped, one that is reset, an answer that is held back."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

try:
    # In Python, parsing is half the cost of a call. The parser in C comes with Airflow, not with uvicorn alone.
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as HttpProtocol
except ModuleNotFoundError:
    from uvicorn.protocols.http.h11_impl import H11Protocol as HttpProtocol  # type: ignore[assignment]

#: With SO_LINGER at zero seconds, closing a socket sends RST in place of FIN.
NO_LINGER = struct.pack("ii", 1, 0)


class AbortableProtocol(HttpProtocol):
    """uvicorn's HTTP protocol. It puts the connection's transport into ``scope["state"]``, where a reply can use it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Put the transport into ``app_state``, of which every scope of this connection gets a copy."""
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)

    def _unsupported_upgrade_warning(self) -> None:
        """Leave it to the router: uvicorn's warning asks the user to install a WebSocket library."""


#: Seconds between two checks of what the other side has not received yet.
CHECK_EVERY = 0.005


class Wrapped(Response):
    """A reply that is sent in another way than by itself. It may be wrapped already."""

    def __init__(self, reply: Response) -> None:
        super().__init__()
        self._reply = reply


class Dropped(Response):
    """Closes the connection without a byte: with FIN, or with RST if ``reset``. It works under TLS, too."""

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__()
        self._reset = reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Abort, then wait until uvicorn has noticed. It would otherwise complain that nothing was sent."""
        transport: asyncio.Transport = scope["state"]["transport"]
        if self._reset:
            reset(transport)
        else:
            transport.abort()
        await client_gone(receive)


class Stalled(Wrapped):
    """Holds a reply back for ``seconds``, or until the client gives up."""

    def __init__(self, reply: Response, seconds: float) -> None:
        super().__init__(reply)
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait, then send the reply."""
        if not await gone_within(receive, self._seconds):
            await self._reply(scope, receive, send)


async def client_gone(receive: Receive) -> None:
    """Wait until the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def gone_within(receive: Receive, seconds: float) -> bool:
    """Wait for ``seconds``, and tell whether the client has closed the connection before that."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(client_gone(receive), seconds)
        return True
    return False


def reset(transport: asyncio.Transport) -> None:
    """Close the connection with RST. What the other side has not received yet is lost: see `received`."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    transport.abort()


async def received(transport: asyncio.Transport) -> None:
    """Wait until the other side's kernel has all that was written, or the connection is closed."""
    quiet = 0
    # Once is not enough: under TLS there is another buffer, which cannot be seen, before the kernel's.
    while quiet < 2 and not transport.is_closing():
        quiet = 0 if _on_the_way(transport) else quiet + 1
        await asyncio.sleep(CHECK_EVERY)


def _on_the_way(transport: asyncio.Transport) -> int:
    """Return the number of bytes that were written and that the other side has not acknowledged."""
    try:
        answer = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:  # not every system answers this for sockets
        return transport.get_write_buffer_size()
    unacknowledged: int = struct.unpack("i", answer)[0]
    return transport.get_write_buffer_size() + unacknowledged
