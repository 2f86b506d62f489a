"""What several downloads share: connections that stay open, and the pauses that a host has asked for."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_pika.fal.network import httpx_transport

if TYPE_CHECKING:
    import httpx

#: Hosts to which a connection is kept; fal has two.
_MOST_KEPT = 4


@dataclass
class Connection:
    """The way to one host.

    :param stream: the connection that was opened last, and ``address`` what it leads to; None: not known.
    """

    transport: httpx.HTTPTransport
    stream: Any = None
    address: str | None = None


class Connections:
    """Connections for downloads one after the other, by scheme, host and port. Not for several threads.

    :param keep: whether they stay open for the next download.
    """

    def __init__(self, keep: bool = True) -> None:
        self._keep = keep
        self._kept: dict[tuple[str, str], Connection] = {}

    @contextlib.contextmanager
    def to(self, url: str) -> Iterator[Connection]:
        """Yield the way to a URL's host; what goes wrong inside closes it.

        :raises UnusableProxy, UnusableCertificates: see ``network.httpx_transport``.
        """
        parts = urlsplit(url)
        origin = (parts.scheme, parts.netloc)
        # A client would read the environment's proxies again, keep cookies, and build the request that a redirect asks
        # for, which raises an InvalidURL for "javascript:1" (httpx 0.28) before anybody has decided to follow it.
        connection = self._kept.pop(origin, None) or Connection(httpx_transport(url))
        kept = False
        try:
            yield connection
            kept = self._keep
        finally:
            if kept:
                self._kept[origin] = connection
            else:
                connection.transport.close()
        while len(self._kept) > _MOST_KEPT:
            self._kept.pop(next(iter(self._kept))).transport.close()

    def close(self) -> None:
        """Close what is kept."""
        while self._kept:
            self._kept.popitem()[1].transport.close()


class HostPauses:
    """Until when each host wants no requests, for all threads that download."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()

    def ask(self, url: str, seconds: float) -> None:
        """Send the URL's host nothing for so long."""
        host = urlsplit(url).netloc
        with self._lock:
            self._until[host] = max(self._until.get(host, 0.0), time.monotonic() + seconds)

    def left(self, url: str) -> float:
        """Return the seconds that are left of the pause of the URL's host."""
        with self._lock:
            return max(0.0, self._until.get(urlsplit(url).netloc, 0.0) - time.monotonic())
