"""uvicorn with two sockets, one for the queue and one for the run host."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

from airflow_provider_pika.emulator.http.tls import ServerCertificate
from airflow_provider_pika.emulator.http.transport import AbortableProtocol

#: Connections that may wait to be accepted.
BACKLOG = 512

#: Seconds that uvicorn waits for replies under way, after their connections were dropped.
LAST_RESORT = 1


class Server(uvicorn.Server):
    """A server that says when it listens, and does not wait for stalled replies when it stops."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drop every connection first, so that nobody waits for a reply any more."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; 0 is any free port. Raises `OSError` if the address cannot be had."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    # asyncio sets TCP_NODELAY only where the protocol is named. Without it, each reply takes 40 ms more.
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def create_server(app: ASGIApp, certificate: ServerCertificate | None, on_ready: Callable[[], None]) -> Server:
    """Return a server of this app, over https if there is a certificate. Its own log has warnings only."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    config = uvicorn.Config(
        app,
        http=AbortableProtocol,
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=LAST_RESORT,
        ssl_certfile=None if certificate is None else certificate.certificate,
        ssl_keyfile=None if certificate is None else certificate.key,
    )
    return Server(config, on_ready)
