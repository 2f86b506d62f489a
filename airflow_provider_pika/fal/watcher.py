"""A wait on an event loop: poll, decide, pause; or let fal's status stream say when to poll."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

from airflow_provider_pika.exceptions import PikaError
from airflow_provider_pika.fal.client_pool import SharedQueue
from airflow_provider_pika.fal.models import QueueStatus, Video
from airflow_provider_pika.fal.poll_interval import EXPERIENCE, Expectation, Experience, Kind
from airflow_provider_pika.fal.polling import Ending, Poll, PollAgain, Wait, decide

#: Seconds after which a request is looked at although its stream is silent: a dead connection is silent, too.
SILENCE = 60.0

#: Is told of every poll and of what follows from it.
Tell: TypeAlias = Callable[[Poll, PollAgain | Ending], object]


class Watch:
    """Watches one request until it ends, or its time is up.

    :param kind: what it is one of, and where it is.
    :param stream: follow fal's status stream; where that is refused, or breaks, the wait goes on by polling.
    """

    def __init__(
        self,
        queue: SharedQueue,
        kind: Kind,
        tell: Tell,
        *,
        stream: bool = False,
        experience: Experience = EXPERIENCE,
    ) -> None:
        self._queue = queue
        self._kind = kind
        self._tell = tell
        self._streams = stream
        self._experience = experience

    async def until_it_ends(self, wait: Wait) -> Ending:
        """Return how the wait ended.

        :raises OtherQueue: the connection leads to another queue than the one that has the request.
        """
        await self._queue.pause(wait.first_pause(time.time(), self._expected), wait.deadline)
        async with self._stream(wait.request_id) as stream:
            poll = await self._poll_first(wait, stream)
            while True:
                step = decide(wait, poll, time.time(), self._expected)
                self._tell(poll, step)
                if not isinstance(step, PollAgain):
                    self._learn(wait, poll)
                    return step
                wait = step.wait
                poll = await self._poll_again(step, stream)

    @property
    def _expected(self) -> Expectation:
        return self._experience.expect(self._kind)

    def _learn(self, wait: Wait, poll: Poll) -> None:
        if isinstance(poll.outcome, Video):
            self._experience.learn(self._kind, wait.seen.took(time.time(), poll.outcome.inference_time))

    async def _poll_first(self, wait: Wait, stream: StatusStream | None) -> Poll:
        if stream is None:
            return await self._queue.poll(self._kind.endpoint, wait.request_id)
        return await self._listen(wait, stream)

    async def _poll_again(self, step: PollAgain, stream: StatusStream | None) -> Poll:
        if stream and not stream.over and not step.trouble:
            return await self._listen(step.wait, stream)
        await self._queue.pause(step.after, step.wait.deadline)
        return await self._queue.poll(self._kind.endpoint, step.wait.request_id)

    async def _listen(self, wait: Wait, stream: StatusStream) -> Poll:
        """Take what the stream says; where it says nothing, or that it is over, poll."""
        seen = await stream.next(min(SILENCE, max(0.0, wait.deadline - time.time())))
        if seen is not None and seen.status != "COMPLETED":
            return Poll(seen)
        return await self._queue.poll(self._kind.endpoint, wait.request_id, seen)

    @asynccontextmanager
    async def _stream(self, request_id: str) -> AsyncIterator[StatusStream | None]:
        if not self._streams:
            yield None
            return
        async with self._queue.lend() as client:
            stream = StatusStream(client.follow(self._kind.endpoint, request_id))
            try:
                yield stream
            finally:
                await stream.aclose()


class StatusStream:
    """The statuses of one request as fal tells them; ``over`` once it tells no more, for whatever reason."""

    def __init__(self, statuses: AsyncGenerator[QueueStatus]) -> None:
        self.over = False
        self._statuses = statuses
        self._next: asyncio.Task[QueueStatus | None] | None = None

    async def next(self, within: float) -> QueueStatus | None:
        """Return the next status; None if none comes within so many seconds, or no more."""
        self._next = self._next or asyncio.create_task(self._advance())
        done, _ = await asyncio.wait({self._next}, timeout=within)  # it stays under way where none has come yet
        if not done:
            return None
        status, self._next = self._next.result(), None
        self.over = status is None
        return status

    async def _advance(self) -> QueueStatus | None:
        try:
            return await anext(self._statuses, None)
        except PikaError:
            return None

    async def aclose(self) -> None:
        """Stop listening."""
        if self._next:
            self._next.cancel()
            with suppress(asyncio.CancelledError):
                await self._next
        await self._statuses.aclose()
