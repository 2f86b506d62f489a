"""An exchange with fal of more than one call, without I/O: the same steps for a blocking client and an event loop.

A conversation is a generator. It yields what it wants done, a :class:`~.calls.Call`, a :class:`Pause` or an
:class:`Act`, and is given what came of it: the call's meaning, say, or the ``PikaError`` that it raised. It returns the
outcome.
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


Wish: TypeAlias = Call[Any] | Pause | Act
Conversation: TypeAlias = Generator[Wish, Any, T]


def hold(conversation: Conversation[T], send: Callable[[Call[Any]], Any], sleep: Callable[[float], object]) -> T:
    """Hold a conversation, blocking."""
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
    """Hold a conversation on an event loop."""
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
        try:
            self.wish = self._conversation.send(answer) if error is None else self._conversation.throw(error)
        except StopIteration as end:
            self.wish, self.outcome = None, end.value
