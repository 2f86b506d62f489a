"""The fal queue's client for an event loop: what ``client.py`` has, and fal's status stream.

On aiohttp, since a triggerer makes hundreds of these calls a second: one costs it 0.1 ms of CPU, httpx 0.28 0.6 ms, and
more with HTTP/2.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import httpx

from airflow_provider_pika.exceptions import PikaError

from . import calls
from .account import Account
from .calls import Call
from .conversation import Conversation, ahold
from .inputs import SubmitControls
from .looking import look
from .models import QueueStatus, Video
from .polling import Look
from .proxies import proxy_to
from .submitting import submit

#: Calls under way at once; with answers after 0.1 to 0.2 s, hundreds of calls a second.
CONNECTIONS = 32

#: Seconds that an idle connection is kept; fal's own limit is not established, and a new one costs a TLS handshake.
_IDLE = 30.0

#: The connection was never opened, so nothing was sent.
_NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)

T = TypeVar("T")


class AsyncFalQueue:
    """A client of the queue for an event loop; close it, or use it in an ``async with``.

    Building one reads the machine's certificates, about 20 ms: do it off the loop.
    """

    def __init__(self, account: Account, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        self.account = account
        self.closed = False
        self._sleep = sleep
        self._trusted = httpx.create_ssl_context()  # the same authorities as those of the blocking client
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
        return await self.hold(submit(endpoint, arguments, controls or SubmitControls()))

    async def status(self, endpoint: str, request_id: str, *, logs: bool = False) -> QueueStatus:
        """See :meth:`FalQueue.status`."""
        return await self._send(calls.status(endpoint, request_id, logs))

    async def result(self, endpoint: str, request_id: str) -> Video:
        """See :meth:`FalQueue.result`."""
        return await self._send(calls.result(endpoint, request_id))

    async def cancel(self, endpoint: str, request_id: str) -> bool:
        """See :meth:`FalQueue.cancel`."""
        return await self._send(calls.cancel(endpoint, request_id))

    async def look(self, endpoint: str, request_id: str, seen: QueueStatus | None = None) -> Look:
        """See :meth:`FalQueue.look`; ``seen`` is the request's status, if that is known already."""
        return await self.hold(look(self.account.platform_url, endpoint, request_id, seen))

    async def follow(self, endpoint: str, request_id: str) -> AsyncGenerator[QueueStatus]:
        """Give each status that fal's status stream sends, until it ends; it may be silent for minutes.

        :raises PikaError: it was refused, or it broke.
        """
        call = calls.status_stream(endpoint, request_id)
        try:
            # its connection is held for as long as the request takes: it must not take one from the calls
            async with self._request(call, connections=0, answer_within=None) as response:
                if not response.ok:
                    call.understand(self.account.answer(response.status, response.headers, await response.read()))
                async for line in response.content:
                    if line.startswith(b"data:"):
                        yield call.understand(self.account.answer(response.status, response.headers, line[5:]))
        except (PikaError, GeneratorExit):
            raise
        except Exception as error:
            raise call.lost(error, isinstance(error, _NEVER_SENT)) from None

    async def _send(self, call: Call[T]) -> T:
        try:
            async with self._request(call, CONNECTIONS, self.account.timeout) as response:
                content = await response.read()
            return call.understand(self.account.answer(response.status, response.headers, content))
        except PikaError:
            raise
        except Exception as error:  # whatever it was, a submit may have been accepted
            raise call.lost(error, isinstance(error, _NEVER_SENT)) from None

    def _request(self, call: Call[Any], connections: int, answer_within: float | None) -> Any:
        url = call.path if "://" in call.path else f"{self.account.queue_url}/{call.path}"
        # the time for a connection is over first: what has none was never sent
        timeout = aiohttp.ClientTimeout(total=answer_within and answer_within + 1, sock_connect=self.account.timeout)
        session = self._session(connections)
        scheme, netloc = urlsplit(url)[:2]
        return session.request(
            call.method, url, allow_redirects=False, timeout=timeout, proxy=proxy_to(scheme, netloc), **call.options
        )

    def _session(self, connections: int) -> aiohttp.ClientSession:
        """Give the session with so many connections, 0: without limit; made on the loop, as aiohttp wants it."""
        if connections not in self._sessions:
            connector = aiohttp.TCPConnector(limit=connections, ssl=self._trusted, keepalive_timeout=_IDLE)
            self._sessions[connections] = aiohttp.ClientSession(
                connector=connector,
                headers=self.account.headers,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._sessions[connections]
