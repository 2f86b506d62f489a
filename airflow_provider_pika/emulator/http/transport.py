"""Replies that are no replies: a connection dropped, a connection reset, an answer held back."""

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

    def _unsupported_upgrade_warning(self) -> None:
        """Leave it to the router: uvicorn's warning asks the user to install a WebSocket library."""


LOOK_EVERY = 0.005
"""Seconds between two looks at what the other side has not received yet."""


class Wrapped(Response):
    """A reply that is sent in another way than by itself; it may be wrapped already."""

    def __init__(self, reply: Response) -> None:
        super().__init__()
        self._reply = reply


class Dropped(Response):
    """Closes the connection without a byte: with FIN, or with RST if ``reset``. Works under TLS too."""

    def __init__(self, *, reset: bool = False) -> None:
        super().__init__()
        self._reset = reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Abort, then wait until uvicorn has noticed: it would otherwise complain that nothing was sent."""
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
        """Wait, then send what was held back."""
        if not await gone_within(receive, self._seconds):
            await self._reply(scope, receive, send)


async def client_gone(receive: Receive) -> None:
    """Returns when the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def gone_within(receive: Receive, seconds: float) -> bool:
    """Waits for ``seconds``, or until the client has closed the connection: whether it has."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(client_gone(receive), seconds)
        return True
    return False


def reset(transport: asyncio.Transport) -> None:
    """Close the connection with RST. What the other side has not received yet is lost: see `received`."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    transport.abort()


async def received(transport: asyncio.Transport) -> None:
    """Returns when the other side's kernel has all that was written, or when the connection is closed."""
    looks = 0
    # Once is not enough: under TLS there is a buffer more, which cannot be seen, on its way into the kernel's.
    while looks < 2 and not transport.is_closing():
        looks = 0 if _on_the_way(transport) else looks + 1
        await asyncio.sleep(LOOK_EVERY)


def _on_the_way(transport: asyncio.Transport) -> int:
    """Bytes that were written and that the other side has not acknowledged."""
    try:
        answer = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:  # Linux tells it of sockets, others may not
        return transport.get_write_buffer_size()
    unacknowledged: int = struct.unpack("i", answer)[0]
    return transport.get_write_buffer_size() + unacknowledged
