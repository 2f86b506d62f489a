"""The fal queue's client, blocking and for an event loop: submit, status, result, cancel, over one set of rules.

Not fal_client's own submit: it repeats the POST up to ten times when a reply is lost, and each may be charged; nor its
request handles: they repeat a read for up to 20 minutes out of our sight, and break on a key that an answer lacks
(fal-protocol.md, 8.2 and 8.3). What is sent stands in ``calls.py``, what an answer means in ``answers.py``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

import httpx

from airflow_provider_pika.exceptions import PikaError

from . import calls
from .account import Account
from .calls import Call
from .conversation import Conversation, ahold, hold
from .inputs import SubmitControls
from .lanes import Lanes
from .looking import look
from .models import QueueStatus, Video
from .polling import Look
from .submitting import submit

T = TypeVar("T")


class FalQueue:
    """A blocking client of the queue; close it, or use it in a ``with``. Every method may raise ``PikaError``.

    :param transport: what sends the requests, in place of httpx's own.
    :param sleep: what a conversation's pauses are made with.
    """

    def __init__(
        self,
        account: Account,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.account = account
        self._http = httpx.Client(transport=transport, **account.client_options())
        self._sleep = sleep

    def __enter__(self) -> FalQueue:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def hold(self, conversation: Conversation[T]) -> T:
        """Carry out an exchange of several calls."""
        return hold(conversation, self._send, self._sleep)

    def submit(self, endpoint: str, arguments: Mapping[str, Any], controls: SubmitControls | None = None) -> str:
        """Submit and give the request id; only what fal certainly did not accept is posted again, twice at most.

        :raises SubmitUnknown: the reply is lost; fal may have accepted it.
        """
        return self.hold(submit(endpoint, arguments, controls or SubmitControls()))

    def status(self, endpoint: str, request_id: str, *, logs: bool = False) -> QueueStatus:
        """Tell where a request stands."""
        return self._send(calls.status(endpoint, request_id, logs))

    def result(self, endpoint: str, request_id: str) -> Video:
        """Give the video of a completed request, or raise the way it failed."""
        return self._send(calls.result(endpoint, request_id))

    def cancel(self, endpoint: str, request_id: str) -> bool:
        """Ask fal to cancel; False if the request had completed before."""
        return self._send(calls.cancel(endpoint, request_id))

    def look(self, endpoint: str, request_id: str) -> Look:
        """Look once at a request, and how it ended if it did. Never raises ``PikaError``."""
        return self.hold(look(self.account.platform_url, endpoint, request_id))

    def _send(self, call: Call[T]) -> T:
        try:
            with self._http.stream(call.method, call.path, **call.options) as response:
                content = self._read(response)
            return call.understand(self.account.answer(response, content))
        except PikaError:
            raise
        except Exception as error:  # whatever it was, a submit may have been accepted
            raise call.lost(error) from None

    def _read(self, response: httpx.Response) -> bytes:
        """Read the body, but no longer than the timeout: httpx applies its own to each part of a body that trickles."""
        parts, deadline = [], time.monotonic() + self.account.timeout
        for part in response.iter_bytes():
            parts.append(part)
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout("the answer took too long")
        return b"".join(parts)


class AsyncFalQueue:
    """The same client for an event loop; close it, or use it in an ``async with``.

    Building one reads the machine's certificates, about 20 ms: do it off the loop.
    """

    def __init__(self, account: Account, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        self.account = account
        options = {**account.client_options(), "verify": httpx.create_ssl_context()}
        self._lanes = Lanes(options)
        # a stream holds its connection for as long as a request takes: it must not take one from the calls
        self._streams = httpx.AsyncClient(limits=httpx.Limits(), **options)
        self._sleep = sleep

    async def __aenter__(self) -> AsyncFalQueue:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._lanes.aclose()
        await self._streams.aclose()

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

    async def look(self, endpoint: str, request_id: str) -> Look:
        """See :meth:`FalQueue.look`."""
        return await self.hold(look(self.account.platform_url, endpoint, request_id))

    async def follow(self, endpoint: str, request_id: str) -> AsyncGenerator[QueueStatus]:
        """Give each status that fal's status stream sends, until it ends; it may be silent for minutes.

        :raises PikaError: it was refused, or it broke.
        """
        call = calls.status_stream(endpoint, request_id)
        try:
            timeout = httpx.Timeout(self.account.timeout, read=None)
            async with self._streams.stream(call.method, call.path, timeout=timeout, **call.options) as response:
                if not response.is_success:
                    call.understand(self.account.answer(response, await response.aread()))
                async for line in response.aiter_lines():
                    if line.startswith("data:"):
                        yield call.understand(self.account.answer(response, line[5:].encode()))
        except (PikaError, GeneratorExit):
            raise
        except Exception as error:
            raise call.lost(error) from None

    async def _send(self, call: Call[T]) -> T:
        try:
            # httpx's own limits come first: they tell a connection that never opened from an answer that never came
            async with self._lanes.one() as http, asyncio.timeout(self.account.timeout + 1):
                response = await http.request(call.method, call.path, **call.options)
            return call.understand(self.account.answer(response, response.content))
        except PikaError:
            raise
        except Exception as error:  # whatever it was, a submit may have been accepted
            raise call.lost(error) from None
