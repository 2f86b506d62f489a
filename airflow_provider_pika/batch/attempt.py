"""An attempt at a batch, in a worker: from the inputs and what is known of them to more submissions, or to the end."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pendulum

from airflow_provider_pika.batch import manifest
from airflow_provider_pika.batch.inputs import BatchInputs, check_paths
from airflow_provider_pika.batch.item import Item, State, is_failure, is_of_one_clip, slots_of
from airflow_provider_pika.batch.metrics import send_costs, send_endings
from airflow_provider_pika.batch.progress import Carried, Tally
from airflow_provider_pika.batch.reuse import take_past_clips
from airflow_provider_pika.batch.spending import Spending, cost_of
from airflow_provider_pika.batch.state import BatchState
from airflow_provider_pika.batch.submitter import TopUp
from airflow_provider_pika.exceptions import (
    BatchFailed,
    BatchIncomplete,
    CostLimitExceeded,
    InvalidInput,
    OtherQueue,
    PathTaken,
    PikaError,
    RecordUnavailable,
    RecordUnreadable,
    SubmitUnknown,
    UnknownRequest,
    WaitTimeout,
)
from airflow_provider_pika.fal.budget import known
from airflow_provider_pika.fal.polling import Done, Ending, Failed
from airflow_provider_pika.fal.prices import Prices, Total, estimate, money, total
from airflow_provider_pika.saving.json_lines import INLINE_BYTES, fitted

if TYPE_CHECKING:
    from airflow_provider_pika.fal.account import Account
    from airflow_provider_pika.fal.recovery import Wanted
    from airflow_provider_pika.fal.reuse import Reuse
    from airflow_provider_pika.task.terms import BatchTerms
    from airflow_provider_pika.task.time_limit import Limit

#: What a manifest that cannot be written means before anything is submitted.
_NOT_BEGUN = "This attempt submitted nothing. The clips of earlier attempts stay in the task's state."
#: What it means at the end.
_KEPT = (
    "The clips stay in the task's state. A retry, or a clear with on_clear='reuse', writes the manifest, and pays for "
    "none of them again."
)

#: What a list that cannot be used any more means, once what was in flight has ended.
_WAITED_FOR = (
    "The requests in flight were waited for, and nothing more was submitted. Correct the list, and clear the task. "
    "With on_clear='reuse' it pays for no clip again."
)

#: Failed clips that an error names.
_NAMED = 5


def take_in(
    state: BatchState, carried: Carried, endings: Mapping[str, Ending], attempt: int
) -> tuple[Carried, list[int]]:
    """Note how requests ended that the trigger has watched, before anything else is looked at: it is known only here.

    :param endings: by the request's id.
    :return: what is left to watch, and the slots of the items that have their ending.
    :raises RecordUnavailable: it was not kept.
    :raises RecordUnreadable: a request was waited for that is not on record.
    """
    outcomes, late, stopped = dict[str, Any](), list(carried.late), carried.stopped
    for request_id, ending in endings.items():
        match ending:
            case Done(video):
                outcomes[request_id] = video
            case Failed(error) if is_of_one_clip(error):
                outcomes[request_id] = error
            case Failed(error):  # the request may go on: a retry polls it again
                stopped = stopped or error
                late.append(request_id)
            case _:
                late.append(request_id)
    slots = state.in_flight(outcomes, near=carried.cursor)
    told_before = outcomes.keys() - {state[slot].request_id for slot in slots}
    if told_before:  # a worker that died had taken them in: what it did since is in the task's state only
        carried = replace(carried, in_place=False)
        _check_that_they_are_on_record(state, told_before)
    for slot in slots:
        state[slot] = state[slot].ended(outcomes[str(state[slot].request_id)], attempt)
    state.save_now()
    send_endings(state[slot] for slot in slots)
    return replace(carried.without(endings), late=tuple(late), stopped=stopped), slots


def _check_that_they_are_on_record(state: BatchState, request_ids: Collection[str]) -> None:
    records = [item.record for item in state.read_all().values() if item.record]
    on_record = {request_id for record in records for request_id in (record.request_id, *record.replaced)}
    if lost := [request_id for request_id in request_ids if request_id not in on_record]:
        raise RecordUnreadable(
            f"The task's state has no record of requests that were waited for: {', '.join(lost[:5])}."
        )


@dataclass
class BatchRun:
    """What a worker has in hand of a batch.

    :param state: what Airflow keeps of the items.
    :param asked: the endpoint's input for each, and its name.
    :param terms: what the batch goes by beside its inputs.
    :param wanted: what is wanted of each, but for its input.
    :param fail_on: "any", "all", or the share of failed clips above which the batch fails.
    :param tell: takes a line for the task's log, and ``warn`` one about a clip that failed.
    :param check: is called before each POST; it raises where nothing is to be submitted any more.
    :param ask_prices: returns the prices by which clips are billed.
    :param reuse: which earlier clips an attempt may take when it begins; None: none.
    """

    state: BatchState
    asked: BatchInputs
    terms: BatchTerms
    wanted: Wanted
    account: Account
    max_in_flight: int
    fail_on: str | float
    tell: Callable[[str], object]
    warn: Callable[[str], object]
    check: Callable[[], object]
    ask_prices: Callable[[], Prices]
    reuse: Reuse | None = None
    #: Where the item of each input is kept.
    slots: Sequence[int] = ()
    #: The requests that are under way; and those that this attempt has still to take up, by their input's place.
    in_flight: Sequence[str] = ()
    take_up: dict[int, str] = field(default_factory=dict)
    _spending: Spending | None = None

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """Return the endpoint's input for each item."""
        return self.asked.arguments

    @cached_property
    def digest(self) -> str:
        """Name the inputs, and their order."""
        return hashlib.sha256(json.dumps([self.wanted.endpoint, self.inputs], sort_keys=True).encode()).hexdigest()

    @cached_property
    def place(self) -> str:
        """Name where the batch saves its clips, in a few letters: there is a record of it for each."""
        return hashlib.sha256(str(self.terms.save_to).encode()).hexdigest()[:8]

    @cached_property
    def prices(self) -> Prices:
        """Return the prices by which clips are billed; they are asked for once, when the first clip is there."""
        return self.ask_prices()

    def wants(self, index: int) -> Wanted:
        """Return what is wanted of the input at a place."""
        budget = self._spending.of(index) if self._spending else None
        return replace(self.wanted, arguments=self.inputs[index], budget=budget)

    def begin(self, limit: Limit) -> Carried:
        """Begin an attempt: find out where each item stands, and that the manifest can be written.

        :param limit: when it ends.
        :raises PikaError: before anything is submitted.
        """
        self._check_places()
        nothing = Tally.of((), time.time())
        carried = Carried(
            nothing, limit.deadline, self.account.queue_url, self.digest, timeout=limit.seconds, limit=limit.name
        )
        carried = self._find_the_items(carried, self.reuse)
        self._check_estimate()
        if self.terms.manifest_path:
            manifest.write(self.terms.manifest_path, self._lines(), _NOT_BEGUN)
        return carried

    def go_on(self, carried: Carried, ended: Sequence[int]) -> Carried:
        """Go on with an attempt, and with the list of inputs as it is now.

        :param ended: the slots of the items that have their ending since the attempt was carried on.
        :raises OtherQueue: the connection leads to another queue now.
        """
        self._watch_on(carried)
        if carried.in_place and carried.digest == self.digest:
            self.slots = range(len(self.inputs))
            return self._with_ended(carried, ended)
        carried = self._find_the_items(carried)
        self._warn_of_failed(ended)
        try:
            self._check_places()
        except InvalidInput as error:  # what is in flight is paid for, and waited for
            return replace(carried, stopped=carried.stopped or error)
        return carried

    def wait_on(self, carried: Carried, ended: Sequence[int], wrong: InvalidInput) -> Carried:
        """Go on with an attempt whose list cannot be used any more: wait for what is in flight, and submit nothing.

        Its lines are of the list as it was; of the items on record, where those are not in its order.

        :param wrong: what is wrong with the list.
        :raises OtherQueue: as :meth:`go_on`.
        """
        self._watch_on(carried)
        error = InvalidInput(wrong.message, consequence=_WAITED_FOR)
        carried = replace(carried, stopped=carried.stopped or error)
        if carried.in_place:
            self.slots = range(carried.tally.total)
            return self._with_ended(carried, ended)
        kept = self.state.read_all()
        self.slots = sorted(kept)
        self._warn_of_failed(ended)
        return replace(carried, tally=Tally.of([kept[slot].state for slot in self.slots], time.time()))

    @cached_property
    def _estimates(self) -> list[Decimal]:
        """Return what each input's clip costs.

        :raises CostLimitExceeded: a price is unknown.
        """
        limit = Decimal(str(self.terms.max_cost))
        return [known(estimate(self.terms.endpoint, arguments, self.prices), limit) for arguments in self.inputs]

    def _check_estimate(self) -> None:
        """Refuse a batch that would cost too much, before its first submit; later, each submit is checked.

        :raises CostLimitExceeded: it would, or a price is unknown.
        """
        items = list(self._items())
        due = [index for index, item in enumerate(items) if item.record is None]
        if not self.terms.max_cost or not due or any(item.record and not item.record.reused for item in items):
            return
        limit, whole = Decimal(self.terms.max_cost), sum((self._estimates[index] for index in due), Decimal(0))
        if whole > limit:
            raise CostLimitExceeded(
                f"The {len(due)} clips would cost {money(whole)}, by an estimate. max_cost={money(limit)} "
                "allows no more."
            )

    def _watch_on(self, carried: Carried) -> None:
        self.in_flight = carried.watched
        if carried.queue_url != self.account.queue_url:
            raise OtherQueue(
                f"The queue was {carried.queue_url}, and the connection leads to {self.account.queue_url}."
            )

    def _warn_of_failed(self, ended: Sequence[int]) -> None:
        """Tell of each clip that failed since, in fal's words: its trigger's log is often lost."""
        failed = {slot for slot in ended if self.state[slot].state == "failed"}
        if not failed:
            return
        for index, slot in enumerate(self.slots):
            if slot in failed:
                self.warn(f"Item {self.asked.label(index)}: {self.state[slot].outcome}")

    def _with_ended(self, carried: Carried, ended: Sequence[int]) -> Carried:
        self._warn_of_failed(ended)
        tally = carried.tally
        known = [slot for slot in ended if slot in self.slots]
        for slot in known:
            tally = tally.moved("in flight", self.state[slot].state)
        return replace(carried, tally=tally, unsaved=(*carried.unsaved, *self._to_be_saved(known)))

    def _to_be_saved(self, slots: Iterable[int]) -> tuple[int, ...]:
        """Return those whose clip the batch is to save: they are done, and no worker has noted that it did there."""
        if not self.terms.save_to:
            return ()
        return tuple(
            slot for slot in slots if self.state[slot].state == "done" and self.state[slot].saved != self.place
        )

    def _check_places(self) -> None:
        """Refuse what has no place, before anything is submitted.

        :raises InvalidInput: a clip, or the manifest, cannot be where it is to be.
        """
        manifest.check_place(len(self.inputs), self.terms.manifest_path)
        if self.terms.save_to:
            check_paths(self.terms.save_to, self.asked, self.terms.manifest_path)

    def request_ids(self) -> set[str]:
        """Return the requests that are under way."""
        return {*self.in_flight, *self.take_up.values()}

    def _find_the_items(self, carried: Carried, reuse: Reuse | None = None) -> Carried:
        """Find each input's item among all that there are, and count anew.

        :param reuse: which earlier clips the items may take first.
        """
        kept = self.state.read_all(len(self.inputs))
        self.slots = slots_of([self.wants(index).fingerprint for index in range(len(self.inputs))], kept)
        self.state.make_room(max(self.slots) + 1)
        if reuse:
            take_past_clips(self, reuse)
        states: list[State] = []
        in_flight: list[str] = []
        self.take_up = {}
        for index, item in enumerate(self._items()):
            states.append(item.state_for(self.wants(index)))
            if item.request_id and states[-1] == "queued":
                self.take_up[index] = item.request_id
            elif item.request_id and item.request_id not in carried.late:
                in_flight.append(item.request_id)
        gone = self._gone(kept, carried.late)
        self.in_flight = [*in_flight, *gone]
        return replace(
            carried,
            tally=Tally.of(states, time.time()),
            digest=self.digest,
            in_place=list(self.slots) == list(range(len(self.inputs))),
            in_flight=tuple(in_flight),
            gone=tuple(gone),
            cursor=0,
            unsaved=self._to_be_saved(slot for slot, state in zip(self.slots, states, strict=True) if state == "done"),
        )

    def _gone(self, kept: Mapping[int, Item], late: Collection[str]) -> list[str]:
        """Return the requests under way of inputs that the list has no more, where this attempt can watch them."""
        items = [kept[slot] for slot in kept.keys() - set(self.slots)]
        where = (self.wanted.endpoint, self.account.queue_url)
        gone = [
            item.request_id
            for item in items
            if item.request_id and item.record and (item.record.endpoint, item.record.queue_url) == where
        ]
        if items:
            under_way = sum(item.state == "in flight" for item in items)
            self.tell(
                f"{len(items)} items are of inputs that the list no longer has. They stay on record, and are taken up "
                f"again if their inputs come back. {under_way} of their requests go on at fal, and may be charged."
            )
        return [request_id for request_id in gone if request_id not in late]

    def top_up(self, carried: Carried) -> Carried:
        """Submit until enough is in flight.

        What passes stops the attempt only where nothing is in flight: else the next round tries again.
        """
        if self.terms.max_cost:
            on_record = self.state.read_all().values()
            try:
                self._spending = Spending(Decimal(self.terms.max_cost), self._estimates, on_record, self.prices)
            except CostLimitExceeded as error:  # the price is not told any more
                return replace(carried, stopped=carried.stopped or error)
        round_ = asyncio.run(self._top_up(carried))
        send_endings(self.state[slot] for slot in round_.ended)
        hindrance = round_.hindrance
        if hindrance:
            self.tell(f"Nothing more is submitted for now: {hindrance}")
        if hindrance and not (hindrance.retry_helps and round_.carried.watched):
            return replace(round_.carried, stopped=hindrance)
        return round_.carried

    async def _top_up(self, carried: Carried) -> TopUp:
        from airflow_provider_pika.fal.async_client import AsyncFalQueue

        async with AsyncFalQueue(self.account) as queue:
            round_ = TopUp(
                self.state,
                self.slots,
                carried,
                list(self.take_up),
                queue,
                self.wants,
                self.max_in_flight,
                self.tell,
                lambda index, error: self.warn(f"Item {self.asked.label(index)}: {error}"),
                self.check,
            )
            self.in_flight = round_.in_flight
            await round_.run()
            self.take_up = {}
        return round_

    def conclude(self, carried: Carried) -> tuple[dict[str, Any], PikaError | None]:
        """Return the batch's return value, and what the task fails with, if it does; write the manifest."""
        lines, unwritten = None, self._write_the_last_manifest()
        if carried.tally.total <= manifest.INLINE:
            lines = [fitted(line, INLINE_BYTES) for line in self._lines()]
        counts = {"total": carried.tally.total, "done": carried.tally.done, "failed": carried.tally.failed}
        path = None if unwritten else self.terms.manifest_path
        cost = self._cost()
        self.tell(f"The clips that are done cost {cost}.")
        send_costs(self._items(), self.state, self.wanted.attempt, lambda: self.prices)
        return {**counts, "cost": cost.as_json(), "clips": lines, "manifest": path}, self._verdict(carried) or unwritten

    def _cost(self) -> Total:
        """Return what fal billed for the clips that are done; what it may bill for the others is not known."""
        return total(cost_of(item, self.prices) for item in self._items() if item.state == "done")

    def _write_the_last_manifest(self) -> PikaError | None:
        """Return what stood against it: that must not hide how the clips ended."""
        if self.terms.manifest_path:
            try:
                manifest.write(self.terms.manifest_path, self._lines(), _KEPT)
            except (PathTaken, RecordUnavailable) as error:
                self.tell(str(error))
                return error
        return None

    def _verdict(self, carried: Carried) -> PikaError | None:
        if carried.stopped:
            return carried.stopped
        if carried.tally.queued or carried.tally.in_flight:
            return WaitTimeout(
                f"The batch's time is up{_limit_of(carried)}: {carried.tally.in_words(time.time())}.",
                consequence="Nothing was cancelled. A retry waits for the requests in flight, and submits the rest.",
            )
        if not is_failure(carried.tally.failed, carried.tally.total, self.fail_on):
            return None
        failed = [(index, item.outcome) for index, item in enumerate(self._items()) if item.state == "failed"]
        named = "; ".join(f"item {self.asked.label(index)}: {error.message}" for index, error in failed[:_NAMED])  # type: ignore[union-attr]
        more = f"; and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
        error = BatchIncomplete if any(error.retry_helps for _, error in failed) else BatchFailed  # type: ignore[union-attr]
        return error(
            f"{len(failed)} of {carried.tally.total} clips failed: {named.rstrip('.')}{more}.",
            consequence=_what_is_unknown([error for _, error in failed]),
        )

    def line(self, index: int) -> dict[str, Any]:
        """Return the manifest's line of the input at a place."""
        item = self.state[self.slots[index]]
        return manifest.line_of(index, item, *self.asked.of(index), self.prices if item.state == "done" else None)

    def _lines(self) -> Iterable[dict[str, Any]]:
        return map(self.line, range(len(self.slots)))

    def _items(self) -> Iterable[Item]:
        return (self.state[slot] for slot in self.slots)


def _limit_of(carried: Carried) -> str:
    if carried.timeout is None:
        return ""
    return f", its {carried.limit} of {pendulum.duration(seconds=carried.timeout).in_words()}"


def _what_is_unknown(failed: list[Any]) -> str | None:
    unknown = sum(isinstance(error, SubmitUnknown | UnknownRequest) for error in failed)
    return (
        f"Of these, {unknown} may be running and may be charged: look for them in the request history of your fal "
        "account. A clear asks fal's history for them once more, and submits, and pays, again if they are not there."
        if unknown
        else None
    )
