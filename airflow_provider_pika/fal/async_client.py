"""The fal queue's client for an event loop: what ``client.py`` has, and fal's status stream.

On aiohttp, since a triggerer makes hundreds of these calls a second: one costs it 0.1 ms of CPU, httpx 0.28 0.6 ms, and
more with HTTP/2.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp

from airflow_provider_pika.exceptions import PikaError, UnexpectedAnswer
from airflow_provider_pika.fal import requests
from airflow_provider_pika.fal.account import Account
from airflow_provider_pika.fal.http_answer import Answer, most_bytes
from airflow_provider_pika.fal.inputs import SubmitControls
from airflow_provider_pika.fal.lookup import poll
from airflow_provider_pika.fal.models import QueueStatus, Video
from airflow_provider_pika.fal.network import never_sent, proxy_to, trusted
from airflow_provider_pika.fal.polling import Poll
from airflow_provider_pika.fal.prices import Told
from airflow_provider_pika.fal.pricing import ask
from airflow_provider_pika.fal.requests import Call
from airflow_provider_pika.fal.sansio import Conversation, ahold
from airflow_provider_pika.fal.submission import submit

#: Calls under way at once; with answers after 0.1 to 0.2 s, hundreds of calls a second.
CONNECTIONS = 32

#: Seconds that an idle connection is kept; fal's own limit is not established, and a new one costs a TLS handshake.
_IDLE = 30.0

#: Seconds between two reads of a status stream, and events of one read that are taken in: the newest ones.
EVENTS_APART, EVENTS_TOGETHER = 0.5, 8

#: Bytes of a read without an event that are no flood: a heartbeat is a short comment (fal-protocol.md, N3).
HEARTBEAT_BYTES = 1024

#: Bytes of an answer that is taken in beside the event loop: 1 MB takes some 50 ms.
WEIGHTY_BYTES = 32 << 10

#: What an answer's headers may have, as far as aiohttp has a limit for it: bytes of a field, and fields (3.14 has one).
#: The blocking client takes 100 KB in all, and must read no more than this one does.
_HEADERS: dict[str, Any] = {
    name: most
    for name, most in (("max_line_size", 100 << 10), ("max_field_size", 100 << 10), ("max_headers", 500))
    if name in inspect.signature(aiohttp.ClientSession).parameters
}

T = TypeVar("T")


class AsyncFalQueue:
    """A client of the queue for an event loop; close it, or use it in an ``async with``.

    Building one reads the environment's proxies and certificates, and raises ``PikaError`` if they cannot be used. With
    the key's spellings it takes about 40 ms: do it off the loop.
    """

    def __init__(self, account: Account, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        self.account = account
        self.closed = False
        self._sleep = sleep
        self._trusted = trusted()
        self._proxies = {origin: proxy_to(origin) for origin in account.origins}
        self.account.redactor.build()
        self._sessions: dict[int, aiohttp.ClientSession] = {}

    async def __aenter__(self) -> AsyncFalQueue:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        self.closed = True
        while self._sessions:
            await self._sessions.popitem()[1].close()

    async def hold(self, conversation: Conversation[T]) -> T:
        """See :meth:`FalQueue.hold`."""
        return await ahold(conversation, self._send, self._sleep)

    async def submit(self, endpoint: str, arguments: Mapping[str, Any], controls: SubmitControls | None = None) -> str:
        """See :meth:`FalQueue.submit`."""
        return await self.hold(submit(endpoint, arguments, (controls or SubmitControls()).headers()))

    async def status(self, endpoint: str, request_id: str, *, logs: bool = False) -> QueueStatus:
        """See :meth:`FalQueue.status`."""
        return await self._send(requests.status(endpoint, request_id, logs))

    async def result(self, endpoint: str, request_id: str) -> Video:
        """See :meth:`FalQueue.result`."""
        return await self._send(requests.result(endpoint, request_id))

    async def cancel(self, endpoint: str, request_id: str) -> bool:
        """See :meth:`FalQueue.cancel`."""
        return await self._send(requests.cancel(endpoint, request_id))

    async def poll(self, endpoint: str, request_id: str, seen: QueueStatus | None = None) -> Poll:
        """See :meth:`FalQueue.poll`; ``seen`` is the request's status, if that is known already."""
        return await self.hold(poll(self.account.platform_url, endpoint, request_id, seen))

    async def told_prices(self, endpoints: Iterable[str]) -> dict[str, Told]:
        """See :meth:`FalQueue.told_prices`."""
        return await self.hold(ask(self.account, endpoints))

    async def follow(self, endpoint: str, request_id: str) -> AsyncGenerator[QueueStatus]:
        """Yield the statuses that fal's status stream sends, until it ends; it may be silent for minutes.

        Those that come within :data:`EVENTS_APART` are yielded as one.

        :raises PikaError: it was refused, or it broke.
        """
        call = requests.status_stream(endpoint, request_id)
        try:
            # its connection is held for as long as the request takes: it must not take one from the calls
            async with self._request(call, connections=0, answer_within=None) as response:
                if not response.ok:
                    async with asyncio.timeout(self.account.timeout):
                        content = await _read(response, most_bytes(response.status, call.most))
                    call.understand(self._answer(response, content, call))
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    raise UnexpectedAnswer("fal's status stream is compressed, though it was asked not to be.")
                async for events in _last_events(response.content, call.most):
                    yield _merged([call.understand(self._answer(response, data, call)) for data in events])
        except (PikaError, GeneratorExit):
            raise
        except Exception as error:
            raise call.lost(error, never_sent(error)) from None

    async def _send(self, call: Call[T]) -> T:
        try:
            async with self._request(call, CONNECTIONS, self.account.timeout) as response:
                content = await _read(response, most_bytes(response.status, call.most))
            if len(content) < WEIGHTY_BYTES:
                return call.understand(self._answer(response, content, call))
            return call.understand(await asyncio.to_thread(self._answer, response, content, call))
        except PikaError:
            raise
        except Exception as error:  # whatever it was, a submit may have been accepted
            raise call.lost(error, never_sent(error)) from None

    def _answer(self, response: aiohttp.ClientResponse, content: bytes, call: Call[Any]) -> Answer:
        return self.account.answer(response.status, response.headers, content, call.most)

    def _request(self, call: Call[Any], connections: int, answer_within: float | None) -> Any:
        url = call.path if "://" in call.path else f"{self.account.queue_url}/{call.path}"
        # the time for a connection is over first: what has none was never sent
        timeout = aiohttp.ClientTimeout(total=answer_within and answer_within + 1, sock_connect=self.account.timeout)
        session = self._session(connections)
        parts = urlsplit(url)
        proxy = self._proxies[f"{parts.scheme}://{parts.netloc}"]
        # not the session's headers: aiohttp 3.14 sends those to a proxy too, with the key as Proxy-Authorization
        options = {**call.options, "headers": {**self.account.headers, **call.options.get("headers", {})}}
        if proxy:
            options["proxy"] = proxy.url
            if parts.scheme == "http":
                options["headers"] |= proxy.headers
            else:
                options["proxy_headers"] = proxy.headers
        return session.request(call.method, url, allow_redirects=False, timeout=timeout, **options)

    def _session(self, connections: int) -> aiohttp.ClientSession:
        """Return the session with so many connections, 0: without limit; made on the loop, as aiohttp wants it."""
        if connections not in self._sessions:
            connector = aiohttp.TCPConnector(limit=connections, ssl=self._trusted, keepalive_timeout=_IDLE)
            self._sessions[connections] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # a small answer could be a huge one
                trust_env=False,
                **_HEADERS,
            )
        return self._sessions[connections]


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Read the first bytes of the body."""
    content = bytearray()
    async for piece in response.content.iter_any():
        content += piece
        if len(content) >= most:
            break
    return bytes(content[:most])


async def _last_events(stream: aiohttp.StreamReader, most: int) -> AsyncGenerator[list[bytes]]:
    """Yield the data of the latest events of a stream, every :data:`EVENTS_APART` seconds at most.

    What a server sends meanwhile waits in the connection, so one that never pauses costs no memory, and little time.

    :param most: bytes that one event may have.
    :raises UnexpectedAnswer: an event has more.
    """
    begun = b""
    async for piece in stream.iter_any():
        *lines, begun = (begun + piece).split(b"\n")
        if len(begun) > most:
            raise UnexpectedAnswer("fal's status stream sent an event that is too large.")
        if data := [line[5:] for line in lines if line.startswith(b"data:")]:
            yield data[-EVENTS_TOGETHER:]
        if data or len(piece) > HEARTBEAT_BYTES:
            await asyncio.sleep(EVENTS_APART)


def _merged(statuses: list[QueueStatus]) -> QueueStatus:
    """Return the last status, with the log of all of them: in a stream, each has only what is new."""
    logs = tuple(line for status in statuses for line in status.logs)
    return statuses[-1].model_copy(update={"logs": logs})
