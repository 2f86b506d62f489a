"""The fal queue's client, blocking and for an event loop: submit, status, result, cancel, over one set of rules.

Not fal_client's own submit: it repeats the POST up to ten times when a reply is lost, and each may be charged; nor its
request handles: they repeat a read for up to 20 minutes out of our sight, and break on a key that an answer lacks
(fal-protocol.md, 8.2 and 8.3). What is sent stands in ``calls.py``, what an answer means in ``answers.py``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from airflow_provider_pika.exceptions import PikaError

from . import calls
from .calls import Call
from .conversation import Conversation, ahold, hold
from .http_answer import Answer
from .looking import look
from .models import QueueStatus, SubmitControls, Video
from .polling import Look
from .submitting import submit

#: fal's own queue, its stand-in, and the platform that has the request history of both (fal-protocol.md, 1.1).
QUEUE_URL = "https://queue.fal.run"
BACKUP_QUEUE_URL = "https://queue.falrun.com"
PLATFORM_URL = "https://api.fal.ai/v1"

#: Characters: what is shorter is nobody's secret, and may be part of a request's id.
SHORTEST_SECRET = 8

T = TypeVar("T")


@dataclass(frozen=True)
class Account:
    """Where the queue is and who asks.

    :param authorization: the header's whole value, such as ``Key id:secret``; never part of a repr.
    :param queue_url: where the endpoints' ids are appended to.
    :param timeout: seconds that one call may take.
    """

    authorization: str = field(repr=False)
    queue_url: str = QUEUE_URL
    timeout: float = 60.0

    @property
    def platform_url(self) -> str:
        """Where the request history is: fal's platform for fal's queue, and for any other address that address itself.

        So the key of a gateway goes to the gateway only; the emulator has its history there, too.
        """
        return PLATFORM_URL if self.queue_url in (QUEUE_URL, BACKUP_QUEUE_URL) else f"{self.queue_url}/v1"

    def client_options(self) -> dict[str, Any]:
        """Give the options of the HTTP client, blocking and async alike.

        Redirects are not followed: they could carry the key to another host.
        """
        return {
            "base_url": self.queue_url,
            "headers": {"Authorization": self.authorization, "Accept": "application/json"},
            "timeout": self.timeout,
            "follow_redirects": False,
        }

    def answer(self, response: httpx.Response, content: bytes) -> Answer:
        """Take in a response; a server that echoes what it was sent must not get the key into a message."""
        key = self.authorization.partition(" ")[2]
        text = content.decode("utf-8", "replace")
        for secret in (key, key.partition(":")[2]):
            if len(secret) >= SHORTEST_SECRET:
                text = text.replace(secret, "***")
        return Answer.read(response.status_code, response.headers, text)


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
        self._http = httpx.AsyncClient(**account.client_options())
        self._sleep = sleep

    async def __aenter__(self) -> AsyncFalQueue:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

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

    async def _send(self, call: Call[T]) -> T:
        try:
            async with asyncio.timeout(self.account.timeout):
                response = await self._http.request(call.method, call.path, **call.options)
            return call.understand(self.account.answer(response, response.content))
        except PikaError:
            raise
        except Exception as error:  # whatever it was, a submit may have been accepted
            raise call.lost(error) from None
