"""What is worth telling of a wait: each new queue position once, each new line of fal's log once."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from .models import LogLine, QueueStatus
from .polling import Ending, Look, LookAgain

#: How much of the story a worker repeats after a deferral: lines, and characters of one line.
TAIL_LINES = 20
LINE_LENGTH = 500

#: Lines that are remembered as told: a value of Airflow's task state has 64 KiB at most.
_REMEMBERED = 2000


class Progress:
    """The story of one request so far.

    fal's log is a sliding window, and in a status stream only what is new, so a line is known by its time and text and
    never by its place (fal-protocol.md, 2.2 and 2.3).

    :param memory: what an earlier process told of the same wait (:meth:`memory`), so that nothing is told twice.
    """

    def __init__(self, memory: Mapping[str, Any] | None = None) -> None:
        memory = memory or {}
        self._headline: str = memory.get("headline", "")
        self._told: list[str] = list(memory.get("told", ()))
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)

    def news(self, look: Look, step: LookAgain | Ending) -> list[str]:
        """Give the lines that a look, and what follows from it, add to the story; remember them as told."""
        lines = [*self._news_of(look.status)] if look.status else []
        if isinstance(step, LookAgain) and step.trouble:
            lines.append(f"{step.trouble.message} Looking again in {step.after:.0f} s."[:LINE_LENGTH])
        self._tail.extend(lines)
        return lines

    def _news_of(self, status: QueueStatus) -> Iterator[str]:
        headline = _headline(status)
        if headline and headline != self._headline:
            self._headline = headline
            yield headline
        window = {_key(line): f"fal: {line.message}"[:LINE_LENGTH] for line in status.logs}
        told = set(self._told)
        yield from (text for key, text in window.items() if key not in told)
        told_before = [key for key in self._told if key not in window]
        self._told = [*told_before, *window][-max(_REMEMBERED, len(window)) :]

    def memory(self) -> dict[str, Any]:
        """Give what has been told, as JSON that is small enough for Airflow's task state."""
        return {"headline": self._headline, "told": self._told[-_REMEMBERED:]}

    def tail(self) -> list[str]:
        """Give the last lines of the story, at most :data:`TAIL_LINES`."""
        return list(self._tail)


def _headline(status: QueueStatus) -> str:
    if status.status == "IN_QUEUE":
        return "In the queue" + ("" if status.queue_position is None else f", position {status.queue_position}")
    return "In progress" if status.status == "IN_PROGRESS" else ""


def _key(line: LogLine) -> str:
    """Name a line by its time and text, shortly, since the memory goes into Airflow's database."""
    return hashlib.blake2b(f"{line.timestamp} {line.message}".encode(), digest_size=6).hexdigest()
