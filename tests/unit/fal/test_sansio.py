from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_pika.exceptions import PikaError, ServerUnavailable
from airflow_provider_pika.fal import TEXT_TO_VIDEO, requests, sansio
from airflow_provider_pika.fal.models import QueueStatus
from airflow_provider_pika.fal.requests import Call
from airflow_provider_pika.fal.sansio import Conversation, Pause, ahold, hold


def three_calls() -> Conversation[list[Any]]:
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
    assert hold(three_calls(), blocking.send, blocking.slept.append) == expected
    assert asyncio.run(ahold(three_calls(), looping.asend, looping.sleep)) == expected
    assert blocking.asked == looping.asked
    assert blocking.slept == looping.slept == [0, 1, 2]


def test_an_error_that_a_conversation_does_not_expect_ends_it() -> None:
    def naive() -> Conversation[bool]:
        return (yield requests.cancel(TEXT_TO_VIDEO, "r-1"))  # type: ignore[no-any-return]

    fal = Fal()
    fal.asked.append("before")
    with pytest.raises(ServerUnavailable):
        hold(naive(), fal.send, fal.slept.append)


@pytest.mark.parametrize(("status", "calls", "outcome"), [("IN_QUEUE", 2, True), ("IN_PROGRESS", 1, False)])
def test_the_example_in_the_docstring_does_what_it_says(status: str, calls: int, outcome: bool) -> None:
    code = str(sansio.__doc__).split("::\n\n")[1].split("\n\n")[0]
    names: dict[str, Any] = {"requests": requests, "Conversation": Conversation}
    exec(textwrap.dedent(code), names)
    example: Callable[[str, str], Conversation[bool]] = names["cancel_if_it_waits"]
    asked: list[str] = []

    def send(call: Call[Any]) -> Any:
        asked.append(call.method)
        return QueueStatus.model_validate({"status": status}) if call.method == "GET" else True

    assert hold(example(TEXT_TO_VIDEO, "r-1"), send, lambda _: None) is outcome
    assert asked == ["GET", "PUT"][:calls]
