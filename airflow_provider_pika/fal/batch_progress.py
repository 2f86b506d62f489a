"""How far an attempt at a batch has come, and what it hands on from a worker to the trigger and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

import pendulum

from airflow_provider_pika.exceptions import PikaError

from .batch import State


@dataclass(frozen=True)
class Tally:
    """How many items stand where, and how long the attempt has worked on them.

    :param began: unix seconds; ``at_first``: how many had ended by then.
    """

    done: int
    failed: int
    in_flight: int
    queued: int
    began: float
    at_first: int

    @property
    def total(self) -> int:
        """Give the number of all items."""
        return self.done + self.failed + self.in_flight + self.queued

    @classmethod
    def of(cls, states: Iterable[State], now: float) -> Self:
        """Count the items of an attempt that begins."""
        counts = Counter(states)
        done, failed = counts["done"], counts["failed"]
        return cls(done, failed, counts["in flight"], counts["queued"], now, done + failed)

    def moved(self, before: State, after: State) -> Self:
        """Count an item that was ``before`` as ``after``."""
        here, there = before.replace(" ", "_"), after.replace(" ", "_")
        one_less = replace(self, **{here: getattr(self, here) - 1})
        return replace(one_less, **{there: getattr(one_less, there) + 1})

    def in_words(self, now: float) -> str:
        """Say how far it has come, with the time that is left at the pace so far."""
        counts = f"{self.done} done, {self.failed} failed, {self.in_flight} in flight, {self.queued} queued"
        return f"{counts} of {self.total}{self._time_left(now)}"

    def _time_left(self, now: float) -> str:
        ended, left = self.done + self.failed - self.at_first, self.in_flight + self.queued
        if not (ended and left) or now <= self.began:
            return ""
        seconds = (now - self.began) / ended * left
        return f"; about {pendulum.duration(seconds=round(seconds)).in_words()} left"


@dataclass(frozen=True)
class Carried:
    """What is handed on; all else is in the task's state.

    :param deadline: unix seconds, of this attempt.
    :param queue_url: where the requests are.
    :param digest: of the inputs; Airflow renders them anew for each worker.
    :param slots: where the items are kept, if not at their inputs' places.
    :param in_flight: the request ids of those that are waited for, by their place in the inputs.
    :param cursor: the first input that this attempt has not dealt with.
    :param late: those whose time was up.
    :param stopped: why nothing more is submitted in this attempt.
    """

    tally: Tally
    deadline: float
    queue_url: str
    digest: str
    slots: list[int] | None = None
    in_flight: Mapping[int, str] = field(default_factory=dict)
    cursor: int = 0
    late: tuple[int, ...] = ()
    stopped: PikaError | None = None

    def may_submit(self, now: float) -> bool:
        """Tell whether there is something to submit, and it may be."""
        return self.tally.queued > 0 and self.stopped is None and now < self.deadline

    def as_json(self) -> dict[str, Any]:
        """Give it as a JSON object."""
        return {
            "tally": asdict(self.tally),
            "deadline": self.deadline,
            "queue_url": self.queue_url,
            "digest": self.digest,
            "slots": self.slots,
            "in_flight": [[index, request_id] for index, request_id in self.in_flight.items()],
            "cursor": self.cursor,
            "late": list(self.late),
            "stopped": self.stopped and self.stopped.as_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what :meth:`as_json` gave."""
        return cls(
            tally=Tally(**value["tally"]),
            deadline=float(value["deadline"]),
            queue_url=str(value["queue_url"]),
            digest=str(value["digest"]),
            slots=value["slots"],
            in_flight={int(index): str(request_id) for index, request_id in value["in_flight"]},
            cursor=int(value["cursor"]),
            late=tuple(value["late"]),
            stopped=PikaError.from_json(value["stopped"]) if value["stopped"] else None,
        )
