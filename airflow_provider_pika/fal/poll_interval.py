"""When to poll again, pure: from what was seen of one request, and from how long its like have taken lately.

A poll costs the same whenever it is made, and is worth the most just after the clip is done. So none is spent where no
clip has ended yet, and they come close together where most do: the next poll is when an eighth of those that still run
will have ended. Simulated for generations of 60 s after up to 15 s in the queue: where their length spreads by up to
15 %, half the clips are noticed within 1 s, with a third of the polls that a fixed interval needs for that.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from statistics import NormalDist, fmean
from typing import Any, NamedTuple
from zlib import crc32

from airflow_provider_pika.fal.models import QueueStatus

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


#: The share of those that still run which is allowed to end before the next poll.
SHARE = 1 / 8

#: Seconds between two polls, at least and at most; a log and a position are to be seen, too.
SHORTEST, LONGEST = 0.5, 30.0

#: As long as nothing is known of how long it takes: at most.
LONGEST_UNKNOWN = 5.0

#: In the queue: at least and at most.
SHORTEST_QUEUED, LONGEST_QUEUED = 2.0, 15.0

#: Seconds that a request may have run before it was first seen, if it ran then.
UNSEEN_START = 10.0

#: Pauses vary by this share either way, so that waits which began together do not stay together.
JITTER = 0.1

#: The logarithms of clips' durations are taken to spread like this.
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Sightings:
    """What the polls of one request have shown; all times in unix seconds, None for what was not seen.

    :param looks: how many there were.
    :param last: the last one.
    :param queued: the last one at which it waited in the queue.
    :param position: where it stood then.
    :param moved: the seconds that a place in the queue took, as far as it moved between two polls.
    :param running: the first one at which it ran.
    """

    looks: int = 0
    last: float | None = None
    queued: float | None = None
    position: int | None = None
    moved: float | None = None
    running: float | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> Sightings:
        """Take over what another process has seen (:meth:`as_json`)."""
        return cls(**value) if value else cls()

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)

    def and_then(self, status: QueueStatus | None, now: float) -> Sightings:
        """Add a poll made at ``now``."""
        seen = replace(self, looks=self.looks + 1, last=now)
        match status and status.status:
            case "IN_QUEUE":  # fal may send a request back there, from a runner that was lost
                position = status.queue_position if status else None
                return replace(seen, queued=now, position=position, moved=self._moved(position, now), running=None)
            case "IN_PROGRESS":
                return replace(seen, running=self.running or now)
        return seen

    def _moved(self, position: int | None, now: float) -> float | None:
        if self.queued is None or self.position is None or position is None or position >= self.position:
            return self.moved
        return (now - self.queued) / (self.position - position)

    @property
    def start(self) -> tuple[float, float]:
        """When it began to run: not before, and not after."""
        running = self.running or 0.0
        return (running - UNSEEN_START if self.queued is None else self.queued), running

    def took(self, ended: float, inference_time: float | None) -> float | None:
        """Return the seconds that it ran, by fal's word as far as that fits what was seen; None if nobody knows."""
        if self.running is None or self.last is None:
            return inference_time
        earliest, latest = self.start
        seconds = ended - (earliest + latest) / 2 if inference_time is None else inference_time
        return min(max(seconds, self.last - latest), ended - earliest)


def pause(seen: Sightings, expected: Expectation, name: str) -> float:
    """Return the seconds to the next poll of a request that has not ended.

    :param name: the request's id; each one gets a jitter of its own, and the same one always the same.
    """
    if seen.running is not None and seen.last is not None:
        seconds = _while_it_runs(seen.last, seen.start, expected)
    else:
        seconds = _in_the_queue(seen, expected)
    return seconds * (1 + JITTER * (2 * crc32(f"{name} {seen.looks}".encode()) / 2**32 - 1))


def _while_it_runs(now: float, start: tuple[float, float], expected: Expectation) -> float:
    elapsed = max(now - sum(start) / 2, 0.1)
    shortest = min(max(SHORTEST, expected.median / 20), 1.5)
    if not expected.known:
        return min(max(elapsed / 4, shortest), LONGEST_UNKNOWN)
    unsure = (start[1] - start[0]) / math.sqrt(12)  # a start that is known to lie in between spreads the end, too
    spread = min(math.hypot(expected.spread, unsure / expected.median), 2.0)
    ended = _NORMAL.cdf(math.log(elapsed / expected.median) / spread)
    then = ended + SHARE * (1 - ended)
    if then > 0.9999:  # far later than all before it
        return min(max(elapsed / 10, shortest), LONGEST)
    return min(max(expected.median * math.exp(spread * _NORMAL.inv_cdf(then)) - elapsed, shortest), LONGEST)


def _in_the_queue(seen: Sightings, expected: Expectation) -> float:
    """Poll half-way to its turn; a start that is missed by less than the ends spread anyway is soon enough."""
    shortest = max(SHORTEST_QUEUED, expected.spread * expected.median if expected.known else 0.0)
    if seen.moved is None or seen.position is None:
        wanted = SHORTEST_QUEUED * 1.3**seen.looks if seen.looks < 20 else LONGEST_QUEUED
    else:
        wanted = seen.moved * (seen.position + 1) / 2
    return min(max(wanted, min(shortest, LONGEST_QUEUED)), LONGEST_QUEUED)
