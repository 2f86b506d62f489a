"""One client of the queue for all waits of an event loop on one connection, however many there are.

A client costs 20 ms of TLS set-up and holds connections of its own. A thousand waits share one, and with it what one of
them is told: that the key has changed, or that fal asks for fewer calls.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias
from weakref import WeakKeyDictionary

from airflow_provider_pika.exceptions import DoubtfulAnswer, InvalidKey, OtherQueue, PikaError, RateLimited, TryLater
from airflow_provider_pika.fal.polling import LONGEST_RETRY_AFTER, Poll

if TYPE_CHECKING:
    from airflow_provider_pika.fal.async_client import AsyncFalQueue
    from airflow_provider_pika.fal.models import QueueStatus

#: Seconds over which the waits come back after fal asked all of them to pause.
COMING_BACK = 5.0

#: Seconds that reading the connection may take: whoever has a client waits for it, too, after a 401.
READ_WITHIN = 60.0

#: Reads the connection, and builds a client of it off the loop.
Open: TypeAlias = "Callable[[], Awaitable[AsyncFalQueue]]"


class SharedQueue:
    """A client that is opened once, and read anew when fal refuses its key.

    :param open: is called when the first wait comes, and after a 401; what it raises goes to all who wait for it.
    :param queue_url: the queue that has the requests; a connection that leads elsewhere, for a moment or for good, may
        lead to another account, and is not used.
    """

    def __init__(self, open: Open, queue_url: str) -> None:
        self.users = 0
        self._open = open
        self._queue_url = queue_url
        self._reading = asyncio.Lock()
        self._client: AsyncFalQueue | None = None
        self._retired: list[AsyncFalQueue] = []
        self._lent: Counter[AsyncFalQueue] = Counter()
        self._read_at = float("-inf")
        self._failure: Exception | None = None
        self._quiet_until = float("-inf")

    async def client(self, read_since: float | None = None) -> AsyncFalQueue:
        """Return the client.

        However many ask at once, the connection is read once: whoever asks before a reading began takes what it brings.

        :param read_since: of the clock ``time.monotonic``: the connection must have been read after that.
        :raises OtherQueue: the connection leads to another queue.
        :raises Exception: what reading the connection raised.
        """
        if self._client and read_since is None:
            return self._client
        since = time.monotonic() if read_since is None else read_since
        async with self._reading:
            if self._read_at < since and not (self._client and read_since is None):
                await self._read()
        if self._client is None or (self._failure and read_since is not None):
            raise self._failure or TryLater("The connection was not read.")
        return self._client

    async def _read(self) -> None:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(READ_WITHIN):
                fresh = await self._open()
            self._failure = await self._adopt(fresh)
        except Exception as error:
            self._failure = error
        self._read_at = begun

    async def _adopt(self, fresh: AsyncFalQueue) -> OtherQueue | None:
        url = fresh.account.queue_url
        if url != self._queue_url:
            await fresh.aclose()
            return OtherQueue(f"The queue was {self._queue_url}, and the connection leads to {url}.")
        if self._client and self._client.account == fresh.account:
            await fresh.aclose()
            return None
        replaced, self._client = self._client, fresh
        if replaced:
            self._retired.append(replaced)
            await self._close_if_done(replaced)
        return None

    @asynccontextmanager
    async def lend(self, read_since: float | None = None) -> AsyncIterator[AsyncFalQueue]:
        """Lend the client for a call, or for a stream. One that was replaced meanwhile closes with its last call.

        :raises Exception: as :meth:`client`.
        """
        client = await self.client(read_since)
        self._lent[client] += 1
        try:
            yield client
        finally:
            self._lent[client] -= 1
            await self._close_if_done(client)

    async def _close_if_done(self, client: AsyncFalQueue) -> None:
        if self._lent[client] == 0:
            del self._lent[client]
            if client in self._retired:
                self._retired.remove(client)
                await client.aclose()

    async def poll(self, endpoint: str, request_id: str, seen: QueueStatus | None = None) -> Poll:
        """Poll a request once, and if fal refuses the key, once more with a key that was read since.

        :param seen: its status, if that is known already.
        :raises OtherQueue: fal refuses the key, and the connection leads to another queue now.
        """
        async with self.lend() as client:
            begun = time.monotonic()
            poll = await client.poll(endpoint, request_id, seen)
        if isinstance(poll.outcome, InvalidKey) or _may_refuse_the_key(poll.outcome):
            poll = await self._with_a_new_key(client, begun, endpoint, request_id) or poll
        if isinstance(poll.outcome, RateLimited) and poll.outcome.retry_after:
            asked = min(poll.outcome.retry_after, LONGEST_RETRY_AFTER)
            self._quiet_until = max(self._quiet_until, time.monotonic() + asked)
        return poll

    async def _with_a_new_key(
        self, refused: AsyncFalQueue, begun: float, endpoint: str, request_id: str
    ) -> Poll | None:
        try:
            async with self.lend(read_since=begun) as client:
                return None if client is refused else await client.poll(endpoint, request_id)
        except OtherQueue:
            raise
        except PikaError as error:
            return Poll(outcome=error)
        except Exception as error:  # a key that cannot be read just now is no reason to give a clip up
            return Poll(outcome=TryLater(f"fal refused the key, and the connection cannot be read: {error}"))

    async def pause(self, seconds: float, deadline: float) -> None:
        """Let the time between two polls pass, and longer while fal wants to be left alone; but not past the deadline.

        :param deadline: unix seconds.
        """
        await asyncio.sleep(seconds)
        while (left := min(self._quiet_until - time.monotonic(), deadline - time.time())) > 0:
            spread = random.uniform(0, COMING_BACK)  # noqa: S311 (no secret)
            await asyncio.sleep(min(left + spread, max(deadline - time.time(), 0)))

    async def aclose(self) -> None:
        """Close all connections."""
        clients = [*self._retired, *([self._client] if self._client else [])]
        self._retired, self._client = [], None
        for client in clients:
            await client.aclose()


def _may_refuse_the_key(outcome: object) -> bool:
    return isinstance(outcome, DoubtfulAnswer) and outcome.status_code == 401


#: The clients of each event loop, by the connection and the URL of its queue.
_QUEUES: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], SharedQueue]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_queue(connection: str, queue_url: str, open: Open) -> AsyncIterator[SharedQueue]:
    """Share the client of a connection and a queue with all of this event loop; the last one to leave closes it."""
    queues = _QUEUES.setdefault(asyncio.get_running_loop(), {})
    name = (connection, queue_url)
    shared = queues.setdefault(name, SharedQueue(open, queue_url))
    shared.users += 1
    try:
        yield shared
    finally:
        shared.users -= 1
        if not shared.users:
            del queues[name]
            await shared.aclose()
