"""How far an attempt at a batch has come, and what it hands on from a worker to the trigger and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import pendulum

from airflow_provider_pika.batch.item import State, shortened
from airflow_provider_pika.exceptions import PikaError
from airflow_provider_pika.fal.polling import TIMEOUT


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
        """Return the number of all items."""
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


#: Clips to be saved that are handed on, some 7 bytes each; with more than these, the store is behind for good.
MOST_UNSAVED = 500


@dataclass(frozen=True)
class Carried:
    """What is handed on; all else is in the task's state. Requests stand here by their ids alone.

    A thousand ids take 40 KB of the trigger's row, for which MySQL has 64 KiB.

    :param deadline: unix seconds, of this attempt.
    :param timeout: seconds that lie before the deadline, for the message; None: an earlier version did not say.
    :param limit: which of the task's limits they are, as ``polling.py`` has it.
    :param queue_url: where the requests are.
    :param digest: of the inputs; Airflow renders them anew for each worker.
    :param in_place: whether each input has its item in the slot of its own place.
    :param in_flight: the requests that are waited for.
    :param gone: the requests of inputs that the list has no more; they are watched as long as others are.
    :param cursor: the first input that this attempt has not dealt with.
    :param late: the requests that this attempt waits for no more: their time was up, or they could not be watched.
    :param stopped: why nothing more is submitted in this attempt.
    :param unsaved: the slots of clips that the batch is to save as it goes; those that ended first come first.
    :param saves_from: unix seconds, before which it saves none: the store, or fal's host, is out of reach.
    """

    tally: Tally
    deadline: float
    queue_url: str
    digest: str
    in_place: bool = True
    in_flight: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    cursor: int = 0
    late: tuple[str, ...] = ()
    stopped: PikaError | None = None
    timeout: float | None = None
    limit: str = TIMEOUT
    unsaved: tuple[int, ...] = ()
    saves_from: float = 0.0

    @property
    def watched(self) -> tuple[str, ...]:
        """Return all requests that the trigger watches."""
        return (*self.in_flight, *self.gone)

    def may_submit(self, now: float) -> bool:
        """Return whether there is something to submit, and it may be."""
        return self.tally.queued > 0 and self.stopped is None and now < self.deadline

    def waits(self, now: float) -> bool:
        """Return whether there is something to wait for: a request, or room for one that is not submitted yet."""
        return bool(self.in_flight) or (bool(self.gone) and self.may_submit(now))

    def without(self, request_ids: Collection[str]) -> Self:
        """Return what is left once these requests are watched no more."""
        return replace(
            self,
            in_flight=tuple(request_id for request_id in self.in_flight if request_id not in request_ids),
            gone=tuple(request_id for request_id in self.gone if request_id not in request_ids),
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "tally": asdict(self.tally),
            "deadline": self.deadline,
            "queue_url": self.queue_url,
            "digest": self.digest,
            "in_place": self.in_place,
            "in_flight": list(self.in_flight),
            "gone": list(self.gone),
            "cursor": self.cursor,
            "late": list(self.late),
            "stopped": self.stopped and shortened(self.stopped).as_json(),
            "timeout": self.timeout,
            "limit": self.limit,
            "unsaved": list(self.unsaved[:MOST_UNSAVED]),
            "saves_from": self.saves_from,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what :meth:`as_json` returned, in this version or in one before it."""
        return cls(
            tally=Tally(**value["tally"]),
            deadline=float(value["deadline"]),
            queue_url=str(value["queue_url"]),
            digest=str(value["digest"]),
            in_place=bool(value.get("in_place", False)),  # earlier versions had another order
            in_flight=tuple(ids_by_name(value["in_flight"]).values()),
            gone=tuple(map(str, value.get("gone", []))),
            cursor=int(value["cursor"]),
            late=tuple(map(str, value["late"])),
            stopped=PikaError.from_json(value["stopped"]) if value["stopped"] else None,
            timeout=value.get("timeout"),
            limit=str(value.get("limit", TIMEOUT)),
            unsaved=tuple(map(int, value.get("unsaved", []))),
            saves_from=float(value.get("saves_from", 0.0)),
        )


def ids_by_name(requests: Iterable[Any]) -> dict[str, str]:
    """Return request ids by the names that an event has for them.

    Earlier versions named them by their place in the list, and handed on pairs of a place and an id.
    """
    pairs = ((request, request) if isinstance(request, str) else request for request in requests)
    return {str(name): str(request_id) for name, request_id in pairs}
