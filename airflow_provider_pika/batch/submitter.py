"""A worker's part in a batch: take up what was submitted before, and submit more, until enough is in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_pika.batch.item import MOST_UNKNOWN, Item, State, is_of_one_clip
from airflow_provider_pika.batch.progress import Carried
from airflow_provider_pika.batch.state import BatchState, ItemRecords
from airflow_provider_pika.exceptions import GenerationFailed, PikaError, SubmitUnknown, TryLater
from airflow_provider_pika.fal.submission import Submission

if TYPE_CHECKING:
    from airflow_provider_pika.fal.async_client import AsyncFalQueue
    from airflow_provider_pika.fal.recovery import Wanted

#: Submissions under way at once.
HANDS = 32


class TopUp:
    """One round of submitting, on an event loop.

    :param carried: where the attempt stands; it changes as the round goes on.
    :param slots: where the item of each input is kept, by the input's place.
    :param first: the places of requests to take up, however many are in flight.
    :param wants: gives what is wanted of the input at a place.
    :param warn: is told of a clip that failed, by its input's place.
    :param check: is called before each POST; it raises where nothing is to be submitted any more.
    """

    def __init__(
        self,
        state: BatchState,
        slots: Sequence[int],
        carried: Carried,
        first: Sequence[int],
        queue: AsyncFalQueue,
        wants: Callable[[int], Wanted],
        max_in_flight: int,
        tell: Callable[[str], object],
        warn: Callable[[int, PikaError], object],
        check: Callable[[], object],
    ) -> None:
        self.carried = carried
        #: What keeps it from submitting more, for now or for good.
        self.hindrance: PikaError | None = None
        self._state = state
        self._slots = slots
        self._queue = queue
        self._wants = wants
        self._free = max_in_flight - len(carried.watched)
        self._tell = tell
        self._warn = warn
        self._check = check
        self._unknown_in_a_row = 0
        #: The slots of items that have their ending since; not of those that had it before.
        self.ended: list[int] = []
        self.in_flight = list(carried.in_flight)
        self._first = list(reversed(first))
        self._being_taken_up = frozenset(first)
        self._left_over: list[int] = []

    async def run(self) -> None:
        """Submit, and have the task's state kept.

        :raises RecordUnavailable: it was not kept; the intents of all that was submitted are.
        """
        hands = (self._submit_on() for _ in range(HANDS))
        for outcome in await asyncio.gather(*hands, return_exceptions=True):  # none is cut off in the middle of a POST
            if isinstance(outcome, BaseException):
                raise outcome
        cursor = min([self.carried.cursor, *self._left_over])
        self.carried = replace(self.carried, in_flight=tuple(self.in_flight), cursor=cursor)
        await self._state.save()

    async def _submit_on(self) -> None:
        while (index := self._next()) is not None:
            try:
                await self._deal_with(index)
            except PikaError as error:
                self._left_over.append(index)
                self.hindrance = self.hindrance or error
            except BaseException as error:
                self.hindrance = self.hindrance or TryLater(f"{type(error).__name__}: {error}")
                raise

    def _next(self) -> int | None:
        """Return the place of the next input that something is to be done about, if it may be now."""
        if self._first and self.hindrance is None:
            self._free -= 1
            return self._first.pop()
        while self.hindrance is None and self._free > 0 and self.carried.cursor < self.carried.tally.total:
            index = self.carried.cursor
            try:
                due = index not in self._being_taken_up and self._is_due(index)
            except PikaError as error:
                self.hindrance = error
                return None
            self.carried = replace(self.carried, cursor=index + 1)
            if due:
                self._free -= 1
                return index
        return None

    def _is_due(self, index: int) -> bool:
        return self._state[self._slots[index]].is_to_be_dealt_with(self._wants(index))

    async def _deal_with(self, index: int) -> None:
        wanted, slot = self._wants(index), self._slots[index]
        before = self._state[slot]
        failed = before.outcome if isinstance(before.outcome, GenerationFailed) else None
        submission = Submission(
            wanted,
            ItemRecords(self._state, slot),
            self._queue.account.platform_url,
            lambda line: self._tell(f"Item {index}: {line}"),
            self._check,
            ended=failed if before.record and before.record.state == "submitted" else None,
        )
        try:
            record = await self._queue.hold(submission.obtain())
        except PikaError as error:
            self._could_not(index, error)
        else:
            self._unknown_in_a_row = 0
            self._state[slot] = Item(record, attempt=wanted.attempt)
            self.in_flight.append(str(record.request_id))
            self._count("in flight")

    def _could_not(self, index: int, error: PikaError) -> None:
        if not is_of_one_clip(error):
            raise error
        self._warn(index, error)
        slot = self._slots[index]
        if self._state[slot].outcome is None:
            self.ended.append(slot)
        self._state[slot] = self._state[slot].ended(error, self._wants(index).attempt)
        self._free += 1
        self._count("failed")
        self._unknown_in_a_row = self._unknown_in_a_row + 1 if isinstance(error, SubmitUnknown) else 0
        if self._unknown_in_a_row >= MOST_UNKNOWN:
            raise error

    def _count(self, state: State) -> None:
        self.carried = replace(self.carried, tally=self.carried.tally.moved("queued", state))
