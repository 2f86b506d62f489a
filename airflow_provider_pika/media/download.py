"""Fetch a file over HTTP, a piece at a time; ``http_range.py`` says what an answer means, and where to continue."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import IO, Any
from urllib.parse import urljoin

import httpx

from airflow_provider_pika.exceptions import DownloadInterrupted, PikaError, UntrustedUrl
from airflow_provider_pika.fal.network import proxy_to, transport_trouble
from airflow_provider_pika.media.connections import Connection, Connections, HostPauses
from airflow_provider_pika.media.http_range import Elsewhere, Part, check_length, check_size, meaning, pause_after
from airflow_provider_pika.media.url_policy import Trust, shown

#: Redirects that are followed, one after the other.
MOST_REDIRECTS = 5

#: Tries in a row that bring nothing, after which it begins anew.
START_OVER_AFTER = 3

#: Seconds before a host is asked once more whether it has a file.
_BEFORE_ASKING_AGAIN = 1.0

#: Seconds between two lines about how far it is.
TELL_EVERY = 5.0

#: What a transport raises of a host: httpx's errors are of three families, and a URL or a header that cannot be sent is
#: a ValueError.
_BROKEN = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ValueError)


@dataclass(frozen=True)
class Limits:
    """What a download may take.

    :param seconds: in all, with its pauses.
    :param stall: seconds without a byte, after which the connection is given up.
    :param size: bytes.
    """

    seconds: float
    stall: float
    size: int


@dataclass(frozen=True)
class Fetched:
    """What came: bytes, their SHA-256 as hex digits, and the type that the host named."""

    size: int
    sha256: str
    content_type: str | None


class Download:
    """One file from a URL into a binary file. It sends no key: whoever has the URL can read it (fal-protocol.md, 7.2).

    :param sink: open for writing at any place, and empty.
    :param tell: takes a line for the task's log.
    :param sleep: what the pauses are made with.
    :param connections: those of the downloads before it; None: it opens its own.
    :param pauses: what hosts have asked of other downloads, and this one.
    """

    def __init__(
        self,
        sink: IO[bytes],
        trust: Trust,
        limits: Limits,
        tell: Callable[[str], object],
        sleep: Callable[[float], object] = time.sleep,
        connections: Connections | None = None,
        pauses: HostPauses | None = None,
    ) -> None:
        self._sink = sink
        self._trust = trust
        self._limits = limits
        self._tell = tell
        self._sleep = sleep
        self._connections = connections or Connections(keep=False)
        self._pauses = pauses or HostPauses()
        self._url = ""
        self._deadline = time.monotonic() + limits.seconds
        self._stream: Any = None
        self._part = Part()
        self._hash = hashlib.sha256()
        self._pace = _Pace()

    def fetch(self, url: str, announced: int | None = None) -> Fetched:
        """Fetch it whole.

        :param announced: its length in bytes, if fal has said it.
        :raises UntrustedUrl: the URL, or where it leads, is not allowed.
        :raises DownloadInterrupted: it did not come whole within the limits.
        :raises VideoExpired, DownloadRefused, VideoRejected: it is not to be had, or is too large.
        :raises OSError: it could not be written.
        """
        check_size(announced, self._limits.size)
        watchdog = threading.Timer(self._limits.seconds, self.cut)  # a host may drip what is no part of the file
        watchdog.daemon = True
        watchdog.start()
        try:
            self._fetch_all(url)
        finally:
            watchdog.cancel()
        check_length(self._part, announced)
        return Fetched(self._part.have, self._hash.hexdigest(), self._part.content_type)

    def answers(self, url: str) -> bool:
        """Return whether the host sends the file: it is asked for it, twice at most, and none of its bytes is read."""
        watchdog = threading.Timer(self._limits.seconds, self.cut)
        watchdog.daemon = True
        watchdog.start()
        try:
            for repeats in range(2):
                try:
                    self._go_on(url, lambda response, answer: None)
                except DownloadInterrupted:
                    if not repeats:
                        self._sleep(_BEFORE_ASKING_AGAIN)
                else:
                    return True
            return False
        except PikaError:
            return False
        finally:
            watchdog.cancel()

    def _fetch_all(self, url: str) -> None:
        tries, most = 0, 0
        while True:
            try:
                return self._go_on(url, self._take)
            except PikaError as error:
                tries = 1 if self._part.have > most else tries + 1
                most = max(most, self._part.have)  # what was had before, and had to be fetched again, is no progress
                self._pause(error, tries)

    def cut(self) -> None:
        """Break the connection off, from another thread: what reads from it fails at once."""
        with contextlib.suppress(Exception):
            self._stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    def _pause(self, error: PikaError, tries: int) -> None:
        pause = pause_after(error, tries)
        left = self._deadline - time.monotonic()
        if error.retry_after:
            self._pauses.ask(self._url, error.retry_after)
        if pause is None or left <= pause:
            raise error
        if tries == START_OVER_AFTER:  # the host may not be able to go on with what there is
            self._part = Part()
        self._tell(f"{error.message} Continuing at byte {self._part.have} in {pause:g} s.")
        self._sleep(pause)

    def _go_on(self, url: str, take: Callable[[httpx.Response, Part], None]) -> None:
        """Follow the URL to where the file is, and take in what is there."""
        for _ in range(MOST_REDIRECTS + 1):
            self._check_time()
            url = _as_it_is_sent(url)
            self._trust.check(url)
            self._wait_for_the_host(url)
            try:
                with self._connections.to(url) as connection, self._answer(connection, url) as response:
                    answer = meaning(response.status_code, response.headers, self._part)
                    if not isinstance(answer, Elsewhere):
                        return take(response, answer)
            except _BROKEN as error:
                self._check_time()
                raise DownloadInterrupted(f"The download broke: {transport_trouble(error)}.") from None
            url = _joined(url, answer.location)
        raise UntrustedUrl(f"It redirects more than {MOST_REDIRECTS} times.")

    def _wait_for_the_host(self, url: str) -> None:
        """Wait as long as the host has asked this download, or another one, to."""
        self._url = url
        while pause := self._pauses.left(url):
            if time.monotonic() + pause >= self._deadline:
                raise DownloadInterrupted(f"The host wants no requests for {pause:.0f} s.", retry_after=pause)
            self._sleep(pause)

    @contextlib.contextmanager
    def _answer(self, connection: Connection, url: str) -> Iterator[httpx.Response]:
        timeout = min(self._limits.stall, max(self._deadline - time.monotonic(), 0.001))
        extensions = {"trace": self._watched(connection, url), "timeout": httpx.Timeout(timeout).as_dict()}
        self._stream = connection.stream
        if connection.address:  # a path of the same host may not be allowed at it
            self._trust.check_address(url, connection.address)
        headers = {"User-Agent": "airflow-provider-pika", **self._part.headers()}
        request = httpx.Request("GET", url, headers=headers, extensions=extensions)
        with contextlib.closing(connection.transport.handle_request(request)) as response:
            if self._stream is None:
                raise UntrustedUrl("The address that it comes from is not known.")
            yield response

    def _check_time(self) -> None:
        if time.monotonic() >= self._deadline:
            raise DownloadInterrupted(f"It took more than {self._limits.seconds:g} s for {self._part.have} bytes.")

    def _take(self, response: httpx.Response, answer: Part) -> None:
        """Take in the file to its end."""
        if answer.have == 0:
            self._sink.seek(0)
            self._sink.truncate()
            self._hash = hashlib.sha256()
        self._part = answer
        check_size(answer.total, self._limits.size)
        if answer.is_whole:
            return
        have, most, due = answer.have, self._limits.size, min(self._pace.next, self._deadline)
        pieces: Any = response.stream  # as they come: what httpx gathers for a size is lost when it breaks
        try:
            for piece in pieces:
                self._sink.write(piece)
                self._hash.update(piece)
                have += len(piece)
                if have > most or time.monotonic() >= due:
                    check_size(have, most)
                    self._check_time()
                    self._tell(self._pace.line(replace(answer, have=have)))
                    due = min(self._pace.next, self._deadline)
        finally:
            self._part = replace(answer, have=have)
        if self._part.total is not None and not self._part.is_whole:
            raise DownloadInterrupted(f"The host ended after {self._part.have} of {self._part.total} bytes.")

    def _watched(self, connection: Connection, url: str) -> Callable[[str, dict[str, Any]], None]:
        """Have the address of a new connection checked before anything is sent to it."""

        def trace(event: str, info: dict[str, Any]) -> None:
            if event.endswith("connect_tcp.complete"):
                connection.stream = None
                connection.address = self._checked_address(url, info["return_value"])
            if event.endswith(("connect_tcp.complete", "start_tls.complete")):
                self._stream = connection.stream = info["return_value"]
                self._check_time()  # the watchdog cuts only what it knows of

        return trace

    def _checked_address(self, url: str, stream: Any) -> str | None:
        if proxy_to(url):
            return None  # the proxy looks the name up, and lets pass what it is set to
        try:
            address = str(stream.get_extra_info("server_addr")[0])
        except OSError as error:  # the host has reset the connection already
            raise DownloadInterrupted(f"The download broke: {transport_trouble(error)}.") from None
        self._trust.check_address(url, address)
        return address


def _as_it_is_sent(url: str) -> str:
    try:
        return str(httpx.URL(url))
    except (httpx.InvalidURL, ValueError):
        raise UntrustedUrl(f"{shown(url)} is no URL.") from None


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise UntrustedUrl(f"It redirects to {shown(location)}, which is no URL.") from None


class _Pace:
    """How fast it goes, told every few seconds."""

    def __init__(self) -> None:
        self._told_at = self._began = time.monotonic()

    @property
    def next(self) -> float:
        """Return when the next line is due."""
        return self._told_at + TELL_EVERY

    def line(self, part: Part) -> str:
        now = self._told_at = time.monotonic()
        mega = part.have / 1e6
        share = f" of {part.total / 1e6:.1f} MB ({part.have / part.total:.0%})" if part.total else " MB"
        return f"Fetched {mega:.1f}{share}, {mega / (now - self._began):.1f} MB/s"
