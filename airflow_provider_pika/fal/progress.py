"""What is worth telling of a wait: each new queue position once, each new line of fal's log once."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Self

from airflow_provider_pika.exceptions import ForeignAnswer
from airflow_provider_pika.fal.models import LogLine, QueueStatus
from airflow_provider_pika.fal.polling import Ending, Poll, PollAgain
from airflow_provider_pika.strict_json import one_line

#: Lines of the log that a worker repeats after a deferral.
TAIL_LINES = 20
#: Characters of one line.
LINE_LENGTH = 500

#: Lines of fal's log that are told after one poll, and in one wait; of more, only how many there were.
LINES_A_LOOK, LINES_A_WAIT = 50, 2000

#: Lines that are remembered as told: they go into Airflow's database.
_REMEMBERED = 2000


#: Seconds after which trouble that goes on is told again.
TOLD_AGAIN_AFTER = 600.0

#: Kinds of trouble that are told within that time.
_KINDS = 10


class Line(str):
    """A line for the log, and its ``level`` there. Hand a log ``str(line)``: Airflow's takes no kind of ``str``."""

    level: int

    def __new__(cls, text: str, level: int = logging.INFO) -> Self:
        """Make one of a text."""
        line = super().__new__(cls, text)
        line.level = level
        return line


class Trouble:
    """What keeps status checks from being answered: each kind is told at once, and then now and then.

    An answer that is not fal's is a warning: it may keep a whole wait from its clip, and a person can mend it. Other
    trouble is told again while its pauses grow. One of these may serve many waits.

    :param memory: what an earlier process told of it (:meth:`memory`).
    """

    def __init__(self, memory: Mapping[str, float] | None = None) -> None:
        self._told_at: dict[str, float] = dict(memory or {})

    def line(self, step: PollAgain | Ending, now: float | None = None) -> Line | None:
        """Return what is to be told of a step; None if nothing is.

        :param now: unix seconds.
        """
        error = step.trouble if isinstance(step, PollAgain) else None
        if error is None or not isinstance(step, PollAgain):
            return None
        now = time.time() if now is None else now
        foreign = isinstance(error, ForeignAnswer)
        kind = f"{type(error).__name__} {error.status_code}" + ("" if foreign else f" {step.after:.0f}")
        self._told_at = {kind: at for kind, at in self._told_at.items() if 0 <= now - at < TOLD_AGAIN_AFTER}
        if kind in self._told_at or len(self._told_at) >= _KINDS:
            return None
        self._told_at[kind] = now
        level = logging.WARNING if foreign else logging.INFO
        return Line(one_line(f"{error.message} Polling again in {step.after:.0f} s.", LINE_LENGTH), level)

    def memory(self) -> dict[str, float]:
        """Return what has been told, as a JSON object."""
        return dict(self._told_at)


class Progress:
    """What was told of one request so far.

    fal's log is a sliding window, and in a status stream only what is new, so a line is known by its time and text and
    never by its place (fal-protocol.md, 2.2 and 2.3).

    :param memory: what an earlier process told of the same wait (:meth:`memory`), so that nothing is told twice.
    """

    def __init__(self, memory: Mapping[str, Any] | None = None) -> None:
        memory = memory or {}
        self._headline: str = memory.get("headline", "")
        self._told: list[str] = list(memory.get("told", ()))
        self._lines: int = memory.get("lines", 0)
        self._left_out: int = memory.get("left_out", 0)
        self._trouble = Trouble(memory.get("trouble"))
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)

    def news(self, poll: Poll, step: PollAgain | Ending) -> list[Line]:
        """Return the lines that a poll, and what follows from it, add; remember them as told."""
        lines = [*map(Line, self._news_of(poll.status))] if poll.status else []
        if line := self._trouble.line(step):
            lines.append(line)
        if self._left_out and not isinstance(step, PollAgain):
            lines.append(Line(f"fal: ({self._left_out} log lines were left out in total)"))
        self._tail.extend(map(str, lines))
        return lines

    def _news_of(self, status: QueueStatus) -> Iterator[str]:
        headline = _headline(status)
        if headline and headline != self._headline:
            self._headline = headline
            yield headline
        window = {_key(line): line for line in status.logs}
        told = set(self._told)
        new = [line for key, line in window.items() if key not in told]
        told_before = [key for key in self._told if key not in window]
        self._told = [*told_before, *window][-max(_REMEMBERED, len(window)) :]
        yield from self._bounded(new)

    def _bounded(self, new: list[LogLine]) -> Iterator[str]:
        """Yield the newest lines, as many as may still be told, and how many are left out."""
        may = min(LINES_A_LOOK, LINES_A_WAIT - self._lines)
        told = new[-may:] if may else []
        self._lines += len(told)
        if left_out := len(new) - len(told):
            self._left_out += left_out
            if told:
                yield f"fal: ({left_out} log lines were left out)"
        yield from (one_line(f"fal: {line.message}", LINE_LENGTH) for line in told)
        if told and self._lines == LINES_A_WAIT:
            yield f"fal: ({LINES_A_WAIT} log lines were shown; no more are shown)"

    def memory(self) -> dict[str, Any]:
        """Return what has been told, as JSON that is small enough for Airflow's task state."""
        return {
            "headline": self._headline,
            "told": self._told[-_REMEMBERED:],
            "lines": self._lines,
            "left_out": self._left_out,
            "trouble": self._trouble.memory(),
        }

    def tail(self) -> list[str]:
        """Return the last lines, at most :data:`TAIL_LINES`."""
        return list(self._tail)


def _headline(status: QueueStatus) -> str:
    if status.status == "IN_QUEUE":
        return "In the queue" + ("" if status.queue_position is None else f", position {status.queue_position}")
    return "In progress" if status.status == "IN_PROGRESS" else ""


def _key(line: LogLine) -> str:
    """Name a line by its time and text, shortly, since the memory goes into Airflow's database."""
    text = f"{line.timestamp} {line.message}"
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=6).hexdigest()
