"""A task's submission, across all its attempts: at most one request at fal that may bring its clip.

``recovery.py`` decides, step by step, and this carries out what it decides. Whatever returns a ``Conversation`` is a
generator: ``x = yield call`` sends the call, and ``x`` is what fal's answer means. ``sansio.py`` has an example.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from functools import partial
from typing import Any

from airflow_provider_pika.exceptions import (
    CostLimitExceeded,
    PikaError,
    RecordUnavailable,
    SubmitUnknown,
    TryLater,
    UnknownRequest,
)
from airflow_provider_pika.fal import lookup, requests
from airflow_provider_pika.fal.polling import Poll
from airflow_provider_pika.fal.record import Record, Records
from airflow_provider_pika.fal.recovery import (
    Inspect,
    Keep,
    Search,
    Step,
    Stop,
    Submit,
    Wanted,
    after_inspection,
    after_search,
    begin,
)
from airflow_provider_pika.fal.reuse import PastClip, Reuse, name_of, past_clips
from airflow_provider_pika.fal.sansio import Act, Conversation, Pause

#: Seconds before each repeat. Airflow's own retries come after these.
REPEAT_AFTER = (1.0, 4.0)

#: Seconds that a worker's slot is worth; where fal asks for a longer pause, Airflow's retry is the better place for it.
LONGEST_PAUSE = 30.0


def submit(
    endpoint: str,
    arguments: Mapping[str, Any],
    headers: Mapping[str, str],
    check: Callable[[], object] = lambda: None,
) -> Conversation[str]:
    """Submit and return the request id.

    It ends in one of three ways: accepted, the id; certainly refused, the last refusal raised; unknown, raised at once.

    :param headers: fal's own controls of the submit, and the tags.
    :param check: is called before each POST; it raises where nothing is to be submitted any more.
    :raises SubmitUnknown: fal may have accepted it.
    :raises PikaError: any other: fal accepted nothing.
    """
    repeats = 0
    while True:
        check()
        try:
            request_id: str = yield requests.submit(endpoint, arguments, headers)
        except TryLater as error:
            pause = pause_before_repeat(error, repeats)
            if pause is None:
                raise
            repeats += 1
            yield Pause(pause)
        else:
            return request_id


def pause_before_repeat(refusal: TryLater, repeats: int) -> float | None:
    """Return the seconds to wait before a refused submit is posted again; None if it is not.

    :param repeats: how often it was posted again already.
    """
    wanted = refusal.retry_after or 0.0
    if repeats >= len(REPEAT_AFTER) or wanted > LONGEST_PAUSE:
        return None
    return max(REPEAT_AFTER[repeats], wanted)


#: Seconds that the clocks here and at fal may differ when the history is searched.
CLOCK_SKEW = 300.0

#: One more than the largest seed that we draw: what every model's integer can hold.
SEEDS = 2**31

#: Submits in one attempt: with ``resubmit``, one more after one whose outcome is unknown, and no third.
MOST_SUBMITS = 2


class Submission:
    """Submit once, or take up what an earlier attempt has submitted.

    :param wanted: what this attempt wants.
    :param records: where the record is kept.
    :param platform_url: where the request history is.
    :param tell: takes a line for the task's log.
    :param check: is called before each POST; it raises where nothing is to be submitted any more.
    :param ended: how the record's request ended, if that is known already.
    """

    def __init__(
        self,
        wanted: Wanted,
        records: Records,
        platform_url: str,
        tell: Callable[[str], object],
        check: Callable[[], object] = lambda: None,
        ended: PikaError | None = None,
    ) -> None:
        self._wanted = wanted
        self._records = records
        self._platform_url = platform_url
        self._tell = tell
        self._check = check
        self._ended = ended
        self._submits = 0

    def obtain(self) -> Conversation[Record]:
        """Return the record of the request that this task's clip comes from.

        :raises SubmitUnknown: fal may have accepted a request whose id is not to be found.
        :raises GenerationFailed: an earlier attempt's request failed in a way that a new one would repeat.
        :raises PikaError: nothing was submitted.
        """
        step = begin(self._records.read(), self._wanted)  # a retry starts from what the record says
        while not isinstance(step, Keep):
            step = yield from self._take(step)
        record = step.record.model_copy(update={"generation": self._wanted.generation})
        if record != step.record:  # a person asked anew, and this one is reused
            yield from self._note(record)
        return record

    def _take(self, step: Step) -> Conversation[Step]:
        match step:
            case Stop(error):
                raise error
            case Submit():
                return (yield from self._submit(step))
            case Search():
                return (yield from self._search(step))
            case Inspect(record):
                return (yield from self._inspect(record))
        return step

    def _search(self, step: Search) -> Conversation[Step]:
        record = step.record
        self._tell(f"{step.cause.message} Searching fal's request history for it.")
        since = record.intended_at - CLOCK_SKEW
        found = yield from lookup.search(
            self._platform_url, record.endpoint, record.with_seed(self._wanted.arguments), since
        )
        follows = after_search(step, found, self._wanted, may_submit=self._submits < MOST_SUBMITS)
        if isinstance(follows, Inspect):
            self._tell(f"Found it: request {follows.record.request_id}.")
            yield from self._note(follows.record)
        return follows

    def _inspect(self, record: Record) -> Conversation[Step]:
        seen = (yield from self._poll(record)) if self._ended is None else Poll(outcome=self._ended)
        step = after_inspection(record, seen, self._wanted)
        if isinstance(step, Keep):
            self._tell(f"Picking up request {record.request_id} of an earlier attempt. Nothing is submitted.")
        return step

    def _poll(self, record: Record) -> Conversation[Poll]:
        for pause in (0.0, *lookup.SEARCH_PAUSES):  # the history may show only later what the queue knows no more
            yield Pause(pause)
            seen = yield from lookup.poll(self._platform_url, record.endpoint, str(record.request_id))
            if not isinstance(seen.outcome, UnknownRequest):
                break
        return seen

    def _submit(self, step: Submit) -> Conversation[Step]:
        if step.replaces:
            self._tell(f"Submitting anew: {step.reason}")
        if step.replaces and step.cancels:
            yield from self._cancel_if_it_waits(step.replaces)
        self._check()
        if self._wanted.reuse and (clip := (yield from self._past_clip(self._wanted.reuse))):
            return (yield from self._reuse(step, clip))
        record = _intent(self._wanted, step, *self._costs(step))
        yield Act(lambda: self._records.write(record))
        self._submits += 1
        arguments = record.with_seed(self._wanted.arguments)
        try:
            request_id = yield from submit(self._wanted.endpoint, arguments, self._wanted.headers, self._check)
        except SubmitUnknown as error:
            return Search(record, error)
        except PikaError:
            yield from self._note(record.refused())
            raise
        self._tell(f"Submitted to {self._wanted.endpoint}: request {request_id}, seed {arguments['seed']}")
        yield from self._note(record.accepted(request_id))
        return Keep(record.accepted(request_id))

    def _past_clip(self, reuse: Reuse) -> Conversation[PastClip | None]:
        """Return an earlier request that may be taken; that none can be looked for is no reason not to submit."""
        endpoint, name = self._wanted.endpoint, name_of(self._wanted.arguments)
        try:
            found = yield from past_clips(self._platform_url, endpoint, reuse, {name}, self._tell)
        except PikaError as error:
            self._tell(f"No earlier clip is reused: {error.message}")
            return None
        for clip in found.get(name, ()):
            if (yield Act(partial(reuse.answers, clip.video.url))):
                return clip
            self._tell(f"Request {clip.request_id} had this input, and the file of its clip is gone.")
        return None

    def _reuse(self, step: Submit, clip: PastClip) -> Conversation[Step]:
        record = reused(self._wanted, step.replaces, clip, is_free=step.is_free)
        self._tell(
            f"Reusing request {clip.request_id}, which ended {clip.ended_at} and had this input. Nothing is submitted, "
            "and nothing is paid."
        )
        yield from self._note(record)
        return Keep(record)

    def _costs(self, step: Submit) -> tuple[Decimal | None, Decimal]:
        """Return what the submission may cost, and what those before it may have, if it is within the budget.

        :raises CostLimitExceeded: it is not.
        """
        budget = self._wanted.budget
        cost = budget.cost() if budget else None
        spent = _spent(step, cost)
        if budget and cost is not None:
            budget.allow(spent, cost)
        return cost, spent

    def _note(self, record: Record) -> Conversation[None]:
        """Write down what is known already; where that fails, knowing it is worth more than failing, too."""
        try:
            yield Act(lambda: self._records.write(record))
        except RecordUnavailable as error:
            self._tell(f"{error.message} The record lacks this: {record.state}, request {record.request_id}.")

    def _cancel_if_it_waits(self, record: Record) -> Conversation[None]:
        request_id = str(record.request_id)
        try:
            seen = yield requests.status(record.endpoint, request_id, logs=False)
            if seen.status == "IN_QUEUE":
                yield requests.cancel(record.endpoint, request_id)
                self._tell(f"Cancelled request {request_id}, which was still in the queue.")
        except PikaError as error:
            self._tell(f"Request {request_id} was not cancelled: {error.message}")


def reused(wanted: Wanted, before: Record | None, clip: PastClip, *, is_free: bool = False) -> Record:
    """Return the record of an earlier request that is taken in place of a new one.

    :param before: of the submission that it replaces.
    :param is_free: fal certainly charges nothing for that.
    """
    cost, step = None, Submit("an earlier request had this input", before, is_free=is_free)
    if wanted.budget:
        with suppress(CostLimitExceeded):  # the price is unknown, and nothing is to be paid
            cost = wanted.budget.cost()
    is_noted = wanted.budget is not None or (before is not None and before.cost is not None)
    record = _intent(wanted, step, Decimal(0) if is_noted else None, _spent(step, cost))
    return record.accepted(clip.request_id, seed=None, reused=True)


def _intent(wanted: Wanted, step: Submit, cost: Decimal | None, spent: Decimal) -> Record:
    return Record(
        state="intent",
        endpoint=wanted.endpoint,
        queue_url=wanted.queue_url,
        fingerprint=wanted.fingerprint,
        seed=None if "seed" in wanted.arguments else secrets.randbelow(SEEDS),
        generation=wanted.generation,
        attempt=wanted.attempt,
        intended_at=time.time(),
        reason=step.reason[:500],
        replaced=step.replaces.history() if step.replaces else [],
        cost=None if cost is None else format(cost, "f"),
        spent=format(spent, "f"),
    )


def _spent(step: Submit, cost: Decimal | None) -> Decimal:
    """Return what the submissions before this one may have cost.

    :param cost: what each of them counts that was made without a limit, so that nobody noted its own.
    """
    if (before := step.replaces) is None:
        return Decimal(0)
    spent = Decimal(before.spent)
    if not (step.is_free or before.reused):
        spent += Decimal(before.cost or cost or 0)
    if before.cost is None:
        spent += (cost or 0) * len(before.replaced)
    return spent
