"""The way to a host, for every client that we have: which proxy a call goes through, and why there was no answer."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any
from urllib.request import getproxies, proxy_bypass

#: What a transport's errors mean, by a part of their class's name: httpx's and aiohttp's own words quote what the
#: server sent, which may be the key, and aiohttp's those of a proxy with its password.
_MEANINGS = {
    "Proxy": "the proxy did not let it through",
    "Certificate": "the server's certificate is not trusted",
    "Import": "a package for this proxy is missing",
    "SSL": "there is no secure connection",
    "DNS": "the host's name was not found",
    "ConnectTimeout": "no connection in time",
    "ConnectionTimeout": "no connection in time",
    "Connector": "no connection",
    "Connect": "no connection",
    "Timeout": "no answer in time",
    "Disconnected": "the server closed the connection",
    "Payload": "the answer broke off, or is not what its headers say",
    "Protocol": "the answer is not HTTP",
    "ResponseError": "the answer is not HTTP",
    "BadStatusLine": "the answer is not HTTP",
    "LineTooLong": "the answer's headers are too large",
    "URL": "the address is not one",
    "Read": "the connection broke",
    "OSError": "the connection broke",
}


@lru_cache(maxsize=64)
def proxy_to(scheme: str, netloc: str) -> str | None:
    """Return what HTTPS_PROXY and its like name, as httpx does; aiohttp itself would ask twice a call, in a thread."""
    return None if proxy_bypass(netloc) else getproxies().get(scheme) or getproxies().get("all")


class Watchdog:
    """Cuts a blocking client's connections when its time is up: httpx bounds each wait for a byte, not all of them.

    :meth:`trace` goes into the ``trace`` extension of each of its requests.
    """

    def __init__(self) -> None:
        #: Whether it was cut off before anything of a request was sent: to connect may take all of its time.
        self.cut_while_connecting = False
        self._is_connecting = False
        self._has_cut = False
        self._streams: deque[Any] = deque(maxlen=4)  # a client that makes one call at a time has one for each host

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Take note of a connection when it opens, and of a request when it is sent."""
        if event.endswith(("connect_tcp.started", "send_request_headers.started")):
            self._is_connecting = event.endswith("connect_tcp.started")
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._streams.append(info["return_value"])

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Allow so many seconds for what happens inside.

        :raises TimeoutError: it took longer, whatever came of it: a body of no known length just seems to end.
        """
        self._has_cut = self._is_connecting = self.cut_while_connecting = False
        timer = threading.Timer(seconds, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        except Exception:
            self._check()
            raise
        finally:
            timer.cancel()
        self._check()

    def _check(self) -> None:
        if self._has_cut:
            raise TimeoutError from None

    def _cut(self) -> None:
        self._has_cut, self.cut_while_connecting = True, self._is_connecting
        for stream in list(self._streams):
            with suppress(Exception):
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


def transport_trouble(error: BaseException) -> str:
    """Return in our own words why there was no answer: the error's kind, and the system's reason if there is one."""
    name = type(error).__name__
    meaning = next((words for part, words in _MEANINGS.items() if part in name), "no answer that can be read")
    reason = next(filter(None, map(_system_reason, _causes(error))), "")
    return f"{meaning}{reason and f', {reason}'} ({name})"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(10):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _system_reason(error: BaseException) -> str:
    """Return the reason of the system, the resolver or OpenSSL: texts of their own tables, none of the server's."""
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "verify_message", None) or getattr(error, "reason", None) or ""
        return str(reason).replace("_", " ").lower()
    if isinstance(error, socket.gaierror):
        return str(error.strerror or "").lower()
    if isinstance(error, OSError) and isinstance(error.errno, int) and error.errno > 0:
        with suppress(ValueError, OverflowError):
            return os.strerror(error.errno).lower()
    return ""
