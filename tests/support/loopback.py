"""A server of a test's own on loopback, which runs while it is used as a context manager."""

from __future__ import annotations

import socketserver
import threading
from http.server import ThreadingHTTPServer
from typing import Self


class LoopbackServer:
    """Serves with ``_tcp``, which a subclass makes."""

    _tcp: socketserver.ThreadingTCPServer | ThreadingHTTPServer

    def __enter__(self) -> Self:
        self._tcp.daemon_threads = True
        threading.Thread(target=self._tcp.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._tcp.shutdown()
        self._tcp.server_close()

    @property
    def address(self) -> str:
        """Return host and port."""
        host, port = self._tcp.server_address[:2]
        return f"{host!s}:{port}"
