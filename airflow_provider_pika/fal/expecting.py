"""How long a generation takes, learned from those that a process has seen end."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

#: Generations of one kind that are remembered: the latest tell the most, since models and their load change.
REMEMBERED = 50

#: As long as nothing is learned: a minute, give or take a half of it (not established for Pika).
PRIOR_SECONDS, PRIOR_SPREAD = 60.0, 0.5

#: How much the spread before counts against one that was seen; and the least that is believed.
_PRIOR_WEIGHT, _LEAST_SPREAD = 0.5, 0.03


class Kind(NamedTuple):
    """What generations must have in common to take about as long; None where it is not known.

    :param duration: of the clip, in seconds.
    """

    queue_url: str
    endpoint: str
    resolution: str | None = None
    duration: int | None = None


@dataclass(frozen=True)
class Expectation:
    """A log-normal guess at how long a generation runs.

    :param median: seconds.
    :param spread: the standard deviation of its logarithm: 0.1 is about a tenth either way.
    :param known: False where it rests on nothing that was seen.
    """

    median: float = PRIOR_SECONDS
    spread: float = PRIOR_SPREAD
    known: bool = False


#: What is expected as long as none was seen.
UNKNOWN = Expectation()


class Experience:
    """What generations have taken lately, by kind; a kind of which none was seen goes by all of its endpoint."""

    def __init__(self) -> None:
        self._seen: dict[Kind, deque[float]] = {}
        self._expected: dict[Kind, Expectation] = {}

    def learn(self, kind: Kind, seconds: float | None) -> None:
        """Take in that one has run for ``seconds``; None, or what cannot be, teaches nothing."""
        if seconds is None or not 0 < seconds < math.inf:
            return
        for known_by in {kind, Kind(kind.queue_url, kind.endpoint)}:
            seen = self._seen.setdefault(known_by, deque(maxlen=REMEMBERED))
            seen.append(math.log(seconds))
            self._expected[known_by] = _expectation(seen)

    def expect(self, kind: Kind) -> Expectation:
        """Say how long one of this kind will run."""
        general = Kind(kind.queue_url, kind.endpoint)
        return self._expected.get(kind) or self._expected.get(general, UNKNOWN)


def _expectation(logarithms: deque[float]) -> Expectation:
    mean = fmean(logarithms)
    squares = sum((value - mean) ** 2 for value in logarithms) + _PRIOR_WEIGHT * PRIOR_SPREAD**2
    spread = math.sqrt(squares / (len(logarithms) - 1 + _PRIOR_WEIGHT))
    return Expectation(math.exp(mean), max(spread, _LEAST_SPREAD), known=True)


#: What this process has seen.
EXPERIENCE = Experience()
