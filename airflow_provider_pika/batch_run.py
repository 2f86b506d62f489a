"""An attempt at a batch, in a worker: from the inputs and what is known of them to more submissions, or to the end."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_pika import batch_manifest
from airflow_provider_pika.batch_state import BatchState
from airflow_provider_pika.exceptions import (
    BatchFailed,
    BatchIncomplete,
    OtherQueue,
    PathTaken,
    PikaError,
    RecordUnavailable,
    SubmitUnknown,
    TryLater,
    UnknownRequest,
    WaitTimeout,
)
from airflow_provider_pika.fal.batch import Item, State, is_failure, is_of_one_clip, slots_of
from airflow_provider_pika.fal.batch_progress import Carried, Tally
from airflow_provider_pika.fal.polling import Done, Ending, Failed
from airflow_provider_pika.topping_up import TopUp

if TYPE_CHECKING:
    from airflow_provider_pika.fal.account import Account
    from airflow_provider_pika.fal.resuming import Wanted

#: What a manifest that cannot be written means, before anything is submitted, and at the end.
_NOT_BEGUN = "This attempt submitted nothing. What earlier ones brought stays in the task's state."
_KEPT = (
    "What the clips brought stays in the task's state: a retry, or a clear with on_clear='reuse', writes the manifest, "
    "and pays for none of them again."
)

#: Failed clips that an error names.
_NAMED = 5


@dataclass
class BatchRun:
    """What a worker has in hand of a batch.

    :param state: what Airflow keeps of the items.
    :param inputs: the endpoint's input for each.
    :param wanted: what is wanted of each, but for its input.
    :param fail_on: "any", "all", or the share of failed clips above which the batch fails.
    :param check: is called before each POST; it raises where nothing is to be submitted any more.
    """

    state: BatchState
    inputs: list[dict[str, Any]]
    wanted: Wanted
    account: Account
    max_in_flight: int
    fail_on: str | float
    manifest_path: str | None
    tell: Callable[[str], object]
    check: Callable[[], object]
    #: The requests that are under way, by their place; and those that this attempt has still to take up.
    in_flight: Mapping[int, str] = field(default_factory=dict)
    take_up: dict[int, str] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """Name the inputs, and their order."""
        return hashlib.sha256(json.dumps([self.wanted.endpoint, self.inputs], sort_keys=True).encode()).hexdigest()

    def wants(self, index: int) -> Wanted:
        """Give what is wanted of the input at a place."""
        return replace(self.wanted, arguments=self.inputs[index])

    def begin(self, deadline: float) -> Carried:
        """Begin an attempt: find out where each item stands, and that the manifest can be written.

        :raises PikaError: before anything is submitted.
        """
        batch_manifest.check_place(len(self.inputs), self.manifest_path)
        slots = self._find_the_items()
        if self.manifest_path:
            batch_manifest.write(self.manifest_path, self._items(), _NOT_BEGUN)
        states: list[State] = []
        waited_for: dict[int, str] = {}
        for index, item in enumerate(self._items()):
            states.append(item.state_for(self.wants(index)))
            if item.record and item.state == "in flight":
                under_way = self.take_up if states[-1] == "queued" else waited_for
                under_way[index] = str(item.record.request_id)
        self.in_flight = waited_for
        tally = Tally.of(states, time.time())
        return Carried(tally, deadline, self.account.queue_url, self.digest, slots, waited_for)

    def request_ids(self) -> set[str]:
        """Give the requests that are under way."""
        return {*self.in_flight.values(), *self.take_up.values()}

    def _find_the_items(self) -> list[int] | None:
        kept = {slot: item.record.fingerprint if item.record else "" for slot, item in self.state.read_all().items()}
        wanted = [self.wants(index).fingerprint for index in range(len(self.inputs))]
        slots = slots_of(wanted, kept)
        self.state.slots = None if slots == list(range(len(slots))) else slots
        if gone := len(kept.keys() - set(slots)):
            self.tell(f"{gone} items of earlier inputs are wanted no more; what they have at fal goes on.")
        return self.state.slots

    def take_in(self, carried: Carried, endings: Iterable[tuple[int, Ending]]) -> Carried:
        """Note how requests ended that the trigger has watched.

        :raises OtherQueue: the connection leads to another queue now.
        :raises TryLater: the inputs are others now.
        """
        self.state.slots = carried.slots
        self.in_flight = carried.in_flight
        carried = self._note(carried, endings)
        self.in_flight = carried.in_flight
        if carried.queue_url != self.account.queue_url:
            raise OtherQueue(
                f"The queue was {carried.queue_url}, and the connection leads to {self.account.queue_url}."
            )
        if carried.digest != self.digest:
            raise TryLater(
                "The inputs changed while the task was deferred, so nothing more is submitted.",
                consequence="A retry goes on with the new ones; what they have in common with the old is kept.",
            )
        return carried

    def _note(self, carried: Carried, endings: Iterable[tuple[int, Ending]]) -> Carried:
        tally, late, stopped, over = carried.tally, list(carried.late), carried.stopped, set()
        for index, ending in endings:
            over.add(index)
            match ending:
                case Done(video):
                    outcome: Any = video
                case Failed(error) if is_of_one_clip(error):
                    outcome = error
                case Failed(error):  # its request may go on: a retry looks at it again
                    stopped = stopped or error
                    continue
                case _:
                    late.append(index)
                    continue
            self.state[index] = self.state[index].ended(outcome, self.wanted.attempt)
            tally = tally.moved("in flight", self.state[index].state)
        self.state.save_now()
        in_flight = {index: request_id for index, request_id in carried.in_flight.items() if index not in over}
        return replace(carried, tally=tally, late=tuple(late), stopped=stopped, in_flight=in_flight)

    def top_up(self, carried: Carried) -> Carried:
        """Submit until enough is in flight.

        What passes stops the attempt only where nothing is in flight: else the next round tries again.
        """
        round_ = asyncio.run(self._top_up(carried))
        hindrance = round_.hindrance
        if hindrance:
            self.tell(f"Nothing more is submitted for now: {hindrance}")
        if hindrance and not (hindrance.retry_helps and round_.carried.in_flight):
            return replace(round_.carried, stopped=hindrance)
        return round_.carried

    async def _top_up(self, carried: Carried) -> TopUp:
        from airflow_provider_pika.fal.async_client import AsyncFalQueue

        async with AsyncFalQueue(self.account) as queue:
            round_ = TopUp(
                self.state, carried, list(self.take_up), queue, self.wants, self.max_in_flight, self.tell, self.check
            )
            self.in_flight = round_.in_flight
            await round_.run()
            self.take_up = {}
        return round_

    def conclude(self, carried: Carried) -> tuple[dict[str, Any], PikaError | None]:
        """Return the batch's return value, and what the task fails with, if it does; write the manifest."""
        lines, unwritten = None, self._write_the_last_manifest()
        if carried.tally.total <= batch_manifest.INLINE:
            lines = [batch_manifest.line_of(index, item) for index, item in enumerate(self._items())]
        counts = {"total": carried.tally.total, "done": carried.tally.done, "failed": carried.tally.failed}
        manifest = None if unwritten else self.manifest_path
        return {**counts, "clips": lines, "manifest": manifest}, self._verdict(carried) or unwritten

    def _write_the_last_manifest(self) -> PikaError | None:
        """Return what stood against it: that must not hide how the clips ended."""
        if self.manifest_path:
            try:
                batch_manifest.write(self.manifest_path, self._items(), _KEPT)
            except (PathTaken, RecordUnavailable) as error:
                self.tell(str(error))
                return error
        return None

    def _verdict(self, carried: Carried) -> PikaError | None:
        if carried.stopped:
            return carried.stopped
        if carried.late or carried.tally.queued or carried.tally.in_flight:
            return WaitTimeout(
                f"The batch's time is up: {carried.tally.in_words(time.time())}.",
                consequence="Nothing was cancelled. A retry waits for what is in flight, and submits what is queued.",
            )
        if not is_failure(carried.tally.failed, carried.tally.total, self.fail_on):
            return None
        failed = [(index, item.outcome) for index, item in enumerate(self._items()) if item.state == "failed"]
        named = "; ".join(f"item {index}: {error.message}" for index, error in failed[:_NAMED])  # type: ignore[union-attr]
        more = f"; and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
        error = BatchIncomplete if any(error.retry_helps for _, error in failed) else BatchFailed  # type: ignore[union-attr]
        return error(
            f"{len(failed)} of {carried.tally.total} clips failed: {named.rstrip('.')}{more}.",
            consequence=_what_is_unknown([error for _, error in failed]),
        )

    def _items(self) -> Iterable[Item]:
        return (self.state[index] for index in range(len(self.inputs)))


def _what_is_unknown(failed: list[Any]) -> str | None:
    unknown = sum(isinstance(error, SubmitUnknown | UnknownRequest) for error in failed)
    return (
        f"Of these, {unknown} may be running and may be charged: look for them in the request history of your fal "
        "account. A clear asks fal's history for them once more, and submits, and pays, again if they are not there."
        if unknown
        else None
    )
