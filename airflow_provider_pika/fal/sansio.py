"""An exchange with fal of several calls, without I/O: written once, for the blocking client and for an event loop.

Such an exchange is a generator, a :data:`Conversation`. Read ``x = yield call`` as "send this call; ``x`` is what its
answer means". The function stops there. The client that runs it sends the call, blocking or not, and the function goes
on with the answer. If the call failed, its ``PikaError`` is raised at that ``yield``, where a ``try`` can catch it.
What the function returns is what the client's ``hold`` returns. ::

    def cancel_if_it_waits(endpoint: str, request_id: str) -> Conversation[bool]:
        seen = yield requests.status(endpoint, request_id, logs=False)
        if seen.status != "IN_QUEUE":
            return False
        return (yield requests.cancel(endpoint, request_id))

    cancelled = queue.hold(cancel_if_it_waits(endpoint, "r-1"))  # FalQueue
    cancelled = await queue.hold(cancel_if_it_waits(endpoint, "r-1"))  # AsyncFalQueue

``yield Pause(2.0)`` sleeps in the client's own way. ``yield Act(f)`` calls ``f``, which may block or be awaited. One
such function calls another with ``yield from``, as a coroutine does with ``await``. A test sends nothing: it gives the
answers itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from airflow_provider_pika.exceptions import PikaError
from airflow_provider_pika.fal.requests import Call

T = TypeVar("T")


@dataclass(frozen=True)
class Pause:
    """Do nothing for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Act:
    """Do something that is no call to fal; on an event loop, ``do`` may give an awaitable."""

    do: Callable[[], Any]


#: What a conversation may yield.
Wish: TypeAlias = Call[Any] | Pause | Act

#: A generator that yields wishes, is given what came of each, and returns a ``T``.
Conversation: TypeAlias = Generator[Wish, Any, T]


def hold(conversation: Conversation[T], send: Callable[[Call[Any]], Any], sleep: Callable[[float], object]) -> T:
    """Carry out a conversation, blocking, and return its outcome.

    :param send: sends a call and returns what its answer means, or raises ``PikaError``.
    """
    step = _Step(conversation)
    while step.wish is not None:
        if isinstance(step.wish, Pause):
            step.go_on(sleep(step.wish.seconds))
            continue
        try:
            answer = step.wish.do() if isinstance(step.wish, Act) else send(step.wish)
        except PikaError as error:
            step.go_on(error=error)
        else:
            step.go_on(answer)
    return step.outcome


async def ahold(
    conversation: Conversation[T],
    send: Callable[[Call[Any]], Awaitable[Any]],
    sleep: Callable[[float], Awaitable[object]],
) -> T:
    """Carry out a conversation on an event loop, as :func:`hold` does."""
    step = _Step(conversation)
    while step.wish is not None:
        if isinstance(step.wish, Pause):
            step.go_on(await sleep(step.wish.seconds))
            continue
        try:
            answer = step.wish.do() if isinstance(step.wish, Act) else send(step.wish)
            if inspect.isawaitable(answer):
                answer = await answer
        except PikaError as error:
            step.go_on(error=error)
        else:
            step.go_on(answer)
    return step.outcome


class _Step(Generic[T]):
    """Where a conversation stands: its next wish, or None and its ``outcome``."""

    wish: Wish | None
    outcome: T

    def __init__(self, conversation: Conversation[T]) -> None:
        self._conversation = conversation
        self.go_on(None)

    def go_on(self, answer: Any = None, *, error: PikaError | None = None) -> None:
        """Let the wish come true with an answer, or an error, and run the conversation up to its next wish."""
        try:
            self.wish = self._conversation.send(answer) if error is None else self._conversation.throw(error)
        except StopIteration as end:
            self.wish, self.outcome = None, end.value
