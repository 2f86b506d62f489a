"""The decisions of a batch, pure: what is left to do of an item, when to top up, and what became of it all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from airflow_provider_pika.exceptions import (
    GenerationFailed,
    PikaError,
    RecordUnreadable,
    SubmitUnknown,
    UnknownRequest,
    UnknownStatus,
)
from airflow_provider_pika.fal.models import Video
from airflow_provider_pika.fal.record import Record
from airflow_provider_pika.fal.recovery import Wanted

#: The share of ``max_in_flight`` that has ended before a worker is started to submit more, the seconds after which one
#: is started for fewer, and those between two of them: a start costs seconds of CPU, an idle runner at fal costs time.
TOP_UP_SHARE, TOP_UP_AFTER, TOP_UP_EVERY = 0.25, 30.0, 10.0

#: Endings that one event of the trigger carries, at most, and seconds that it keeps one to itself: they are in the
#: trigger's memory only, fal keeps a result for an hour, and a clip is saved by the worker that is started for it.
MOST_IN_AN_EVENT, KEPT_FOR = 200, 600.0

#: Submits of unknown outcome in a row after which nothing more is submitted: whatever loses the replies may lose all.
MOST_UNKNOWN = 3

#: Characters of an error's message that are kept.
_MESSAGE = 300

#: Errors that are one clip's own. Any other is the connection's or the account's, and the next clip would meet it too.
_OF_ONE_CLIP = (GenerationFailed, SubmitUnknown, UnknownRequest, UnknownStatus)

State = Literal["done", "failed", "in flight", "queued"]


@dataclass(frozen=True)
class Item:
    """One input of a batch, as far as it has come.

    :param record: of its submission; None if there was none.
    :param outcome: its video, or how it failed; None as long as neither is known.
    :param attempt: of the task, which dealt with it last; -1: none (``airflow tasks test`` is attempt 0).
    :param saved: the place to which the batch itself has saved its clip (``BatchRun.place``); None: to none.
    """

    record: Record | None = None
    outcome: Video | PikaError | None = None
    attempt: int = -1
    saved: str | None = None

    @property
    def state(self) -> State:
        """Say where it stands."""
        if self.outcome is not None:
            return "done" if isinstance(self.outcome, Video) else "failed"
        return "in flight" if self.record and self.record.state == "submitted" else "queued"

    @property
    def request_id(self) -> str | None:
        """Return the request that it waits for at fal, if it does."""
        return self.record.request_id if self.record and self.state == "in flight" else None

    def is_to_be_dealt_with(self, wanted: Wanted) -> bool:
        """Return whether this attempt has still to submit it, or to take its request up.

        What has its video needs nothing more, unless a person wants all anew.
        """
        if self.attempt == wanted.attempt:
            return False
        if isinstance(self.outcome, Video) and self.record:
            return wanted.asks_anew(self.record) and wanted.on_clear == "resubmit"
        return True

    def state_for(self, wanted: Wanted) -> State:
        """Say where it stands for an attempt, which counts as queued what it has still to deal with."""
        return "queued" if self.is_to_be_dealt_with(wanted) else self.state

    def ended(self, outcome: Video | PikaError, attempt: int) -> Item:
        """Return the item with its ending; of an error's message, only the beginning."""
        outcome = shortened(outcome) if isinstance(outcome, PikaError) else outcome
        return replace(self, outcome=outcome, attempt=attempt)

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object, without the keys that say nothing."""
        record = self.record.as_json() if self.record else None
        video = self.outcome.as_json() if isinstance(self.outcome, Video) else None
        error = self.outcome.as_json() if isinstance(self.outcome, PikaError) else None
        fields = {"record": record, "video": video, "error": error, "attempt": self.attempt, "saved": self.saved}
        return {name: value for name, value in fields.items() if value is not None}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Item:
        """Read what :meth:`as_json` gave.

        :raises RecordUnreadable: it is none of that.
        """
        try:
            video = Video.model_validate(value["video"]) if "video" in value else None
            error = PikaError.from_json(value["error"]) if "error" in value else None
            record = Record.read(value["record"]) if "record" in value else None
            return cls(record, video or error, int(value["attempt"]), value.get("saved"))
        except Exception as error:  # whatever stands there, it may be of a request that was paid for
            raise RecordUnreadable(f"The record of a batch's item cannot be read: {str(value)[:300]}") from error


def slots_of(wanted: Sequence[str], kept: Mapping[int, Item]) -> list[int]:
    """Return the slot of each input's item, wherever the input stands in the list by now.

    An item is known by its fingerprint. Where several are equal, those that have come furthest are wanted first, so a
    list with one of them less loses none that has its video. An input that has no item yet gets a slot that is free,
    its own place if that is; no item ever loses its slot to another input.

    :param wanted: the inputs' fingerprints, in their order.
    :param kept: the items that there are, by their slot.
    """
    equal: dict[str, list[int]] = {}
    for slot, item in kept.items():
        if item.record:
            equal.setdefault(item.record.fingerprint, []).append(slot)
    takes = {fingerprint: _furthest(equal.get(fingerprint, []), kept, n) for fingerprint, n in Counter(wanted).items()}
    slots, new = [], max([len(wanted), *(slot + 1 for slot in kept)])
    for place, fingerprint in enumerate(wanted):
        if takes[fingerprint]:
            slots.append(takes[fingerprint].pop())
        elif place not in kept:
            slots.append(place)
        else:
            slots.append(new)
            new += 1
    return slots


def _furthest(slots: Sequence[int], kept: Mapping[int, Item], number: int) -> list[int]:
    """Return so many of the slots, at most, those of the items that have come furthest; the first one last."""
    order = ("done", "in flight", "queued", "failed")
    furthest = sorted(slots, key=lambda slot: (order.index(kept[slot].state), slot))[:number]
    return sorted(furthest, reverse=True)


def shortened(error: PikaError) -> PikaError:
    """Return an error with the beginning of its message only, where that is long."""
    if len(error.message) <= _MESSAGE:
        return error
    return PikaError.from_json(error.as_json() | {"message": f"{error.message[: _MESSAGE - 3]}..."})


def is_of_one_clip(error: PikaError) -> bool:
    """Return whether a failure says nothing about the batch's other clips."""
    return isinstance(error, _OF_ONE_CLIP)


def is_time_to_top_up(
    finished: int, waiting: int, queued: int, max_in_flight: int, oldest: float, watched: float
) -> bool:
    """Return whether the trigger hands over to a worker.

    :param finished: those that have ended while it watched; ``waiting``: those that have not.
    :param queued: those that are not submitted yet.
    :param oldest: seconds since the first of ``finished`` ended.
    :param watched: seconds since the trigger began.
    """
    if not waiting or finished >= MOST_IN_AN_EVENT or (finished and oldest >= KEPT_FOR):
        return True
    enough = finished >= max(1.0, TOP_UP_SHARE * max_in_flight) and watched >= TOP_UP_EVERY
    return bool(queued and finished and (enough or oldest >= TOP_UP_AFTER))


def is_failure(failed: int, total: int, fail_on: str | float) -> bool:
    """Return whether so many failed clips fail the task: "any", "all", or more than a share of them."""
    if fail_on == "any":
        return failed > 0
    if fail_on == "all":
        return 0 < total == failed
    return failed > float(fail_on) * total
