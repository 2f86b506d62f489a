from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider_pika.exceptions import PikaError, ServerUnavailable
from airflow_provider_pika.fal import TEXT_TO_VIDEO, requests
from airflow_provider_pika.fal.requests import Call
from airflow_provider_pika.fal.sansio import Conversation, Pause, ahold, hold


def metadata() -> Conversation[list[Any]]:
    said: list[Any] = []
    for number in range(3):
        try:
            said.append((yield requests.cancel(TEXT_TO_VIDEO, f"r-{number}")))
        except PikaError as error:
            said.append(type(error))
        yield Pause(number)
    return said


class Fal:
    """Answers the first call, and refuses every other; keeps what was asked, and the pauses."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.slept: list[float] = []

    def send(self, call: Call[Any]) -> Any:
        self.asked.append(call.path)
        if len(self.asked) > 1:
            raise ServerUnavailable("busy")
        return True

    async def asend(self, call: Call[Any]) -> Any:
        return self.send(call)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def test_a_conversation_is_the_same_blocking_and_on_an_event_loop() -> None:
    blocking, looping = Fal(), Fal()
    expected = [True, ServerUnavailable, ServerUnavailable]
    assert hold(metadata(), blocking.send, blocking.slept.append) == expected
    assert asyncio.run(ahold(metadata(), looping.asend, looping.sleep)) == expected
    assert blocking.asked == looping.asked
    assert blocking.slept == looping.slept == [0, 1, 2]


def test_an_error_that_a_conversation_does_not_expect_ends_it() -> None:
    def naive() -> Conversation[bool]:
        return (yield requests.cancel(TEXT_TO_VIDEO, "r-1"))  # type: ignore[no-any-return]

    fal = Fal()
    fal.asked.append("before")
    with pytest.raises(ServerUnavailable):
        hold(naive(), fal.send, fal.slept.append)
