"""Save a batch's clips while it goes on, by the same code as the task after it: what, for how long, and what is left.

All of it is at best effort, in the worker that was there to submit anyway, once fal's queue is full. What is not saved
here, that task saves, or says why it cannot be.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_pika.batch.item import TOP_UP_AFTER
from airflow_provider_pika.exceptions import PikaError, TryLater
from airflow_provider_pika.saving.clip_paths import ClipPaths

if TYPE_CHECKING:
    from airflow_provider_pika.batch.attempt import BatchRun
    from airflow_provider_pika.batch.progress import Carried
    from airflow_provider_pika.saving.batch import BatchSave, Terms
    from airflow_provider_pika.saving.metadata import Metadata

#: Seconds that a worker saves before it defers again: as long as an ended clip's place at fal may stay empty.
SAVES_FOR = TOP_UP_AFTER

#: Seconds before the attempt's deadline at which it ends: to cut off what hangs, and to defer, or to conclude.
BEFORE_THE_DEADLINE = 10.0

#: Seconds after which saving is tried again once it brought nothing: a store that hangs takes a twentieth of the time.
PAUSE = 600.0

#: What a clip that is not saved here means.
_GOES_ON = "The batch goes on, and the task that saves its clips tries it again."


class _TimeIsUp(Exception):
    """The worker has saved for long enough."""


def seconds_for(carried: Carried, now: float) -> float:
    """Return for how many seconds a worker may save; 0: there is nothing to save, or it is not the time.

    :param now: unix seconds.
    """
    if not carried.unsaved or now < carried.saves_from:
        return 0.0
    return min(SAVES_FOR, max(0.0, carried.deadline - BEFORE_THE_DEADLINE - now))


def save_early(run: BatchRun, carried: Carried, terms: Callable[[], Terms]) -> Carried:
    """Save what has ended, as far as there is time, and return what is left; no fault of it fails the batch.

    :param terms: returns what all clips have in common, but for what depends on the batch.
    :raises PikaError: as ``run.check``.
    """
    places = {slot: index for index, slot in enumerate(run.slots)}
    slots = [slot for slot in carried.unsaved if slot in places]
    seconds = seconds_for(replace(carried, unsaved=tuple(slots)), time.time()) if run.asked.names else 0.0
    if not seconds:
        return carried
    outcomes: dict[int, Metadata | PikaError] = {}
    none_can_be = False
    try:
        lines = [run.line(places[slot]) for slot in slots]
        trouble = _save(run, lines, terms(), seconds, outcomes)
    except Exception as error:  # a connection that cannot be read, say
        run.check()
        trouble = error if isinstance(error, PikaError) else TryLater(f"{type(error).__name__}: {error}")
        none_can_be = not trouble.retry_helps
    ended = {slot: outcomes[places[slot]] for slot in slots if places[slot] in outcomes}
    saved = [slot for slot, outcome in ended.items() if not isinstance(outcome, PikaError)]
    _note_saved(run, saved)
    left = [] if none_can_be else left_over(slots, ended)
    if trouble:
        run.warn(f"Saving as the batch goes: {trouble.message} {_GOES_ON}")
    paused = bool(left) and not saved
    return replace(carried, unsaved=tuple(left), saves_from=time.time() + PAUSE if paused else 0.0)


def left_over(slots: Collection[int], ended: Mapping[int, Metadata | PikaError]) -> list[int]:
    """Return the slots to try again: those without an outcome, and those whose error may pass."""
    return [slot for slot in slots if slot not in ended or _may_pass(ended[slot])]


def _may_pass(outcome: Metadata | PikaError) -> bool:
    return isinstance(outcome, PikaError) and outcome.retry_helps


def _save(
    run: BatchRun, lines: list[dict[str, Any]], terms: Terms, seconds: float, outcomes: dict[int, Metadata | PikaError]
) -> PikaError | None:
    """Save these lines' clips, and return what stood against some of them.

    :param outcomes: takes what became of each, by its line's index.
    """
    from airflow_provider_pika.saving.batch import BatchSave

    until = time.monotonic() + seconds

    def check() -> None:
        run.check()
        if time.monotonic() >= until:
            raise _TimeIsUp

    def note(line: Mapping[str, Any], outcome: Metadata | PikaError) -> None:
        outcomes[line["index"]] = outcome

    paths = ClipPaths(str(run.terms.save_to), "save_to", consequence=None)
    with BatchSave(replace(terms, check=check, noted=note), paths) as saving:
        try:
            saving.plan(lines)
            saving.run()
        except _TimeIsUp:
            if not saving.totals.saved:
                return _timed_out(saving, seconds)
        run.tell(f"Saved as the batch goes: {saving.in_words()}")
        stopped = saving.hindrance
        return saving.totals.failure(stopped) if stopped or saving.totals.unsaved else None


def _timed_out(saving: BatchSave, seconds: float) -> PikaError:
    first = "; ".join(saving.totals.first)
    return TryLater(f"Within {seconds:.0f} s, none was saved. {first}".strip())


def _note_saved(run: BatchRun, slots: Collection[int]) -> None:
    """Keep that these clips are saved; where that is lost, a later attempt recognises their files."""
    try:
        for slot in slots:
            run.state[slot] = replace(run.state[slot], saved=run.place)
        run.state.save_now()
    except PikaError as error:
        run.tell(f"It is not on record which clips are saved: {error}")
