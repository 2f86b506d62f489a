"""The decisions of a submission, pure: what does the record say, what does fal say, so what now.

The one rule behind them: a new POST only where no earlier request of this task can still bring the same clip, or
where a person asked for it. ``submission.py`` carries out each :data:`Step` and comes back with what fal said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from airflow_provider_pika.exceptions import (
    GenerationCancelled,
    GenerationFailed,
    OtherQueue,
    PikaError,
    SubmitUnknown,
    UnknownRequest,
    UnknownStatus,
)
from airflow_provider_pika.fal.budget import Budget
from airflow_provider_pika.fal.lookup import Found
from airflow_provider_pika.fal.polling import Poll
from airflow_provider_pika.fal.record import Record, fingerprint
from airflow_provider_pika.fal.reuse import Reuse


@dataclass(frozen=True)
class Wanted:
    """What an attempt of a task wants.

    :param arguments: the endpoint's input as the user gave it.
    :param queue_url: the queue that the connection leads to.
    :param generation: changes when a person asks anew, never in an automatic retry (Airflow: ``ti.max_tries``).
    :param attempt: counts the attempts.
    :param on_unknown_submit: what to do when fal may have accepted a submit, and its id is not to be found.
    :param on_clear: whether a person who asks anew wants a new clip, or the one there is.
    :param headers: of the submit: fal's own controls, and the tags. They are no part of what is wanted.
    :param budget: what it may cost; None: there is no limit.
    :param reuse: which earlier request may be taken in place of a new one; None: none.
    """

    endpoint: str
    arguments: Mapping[str, Any]
    queue_url: str
    generation: int
    attempt: int
    on_unknown_submit: Literal["fail", "resubmit"] = "fail"
    on_clear: Literal["resubmit", "reuse"] = "resubmit"
    headers: Mapping[str, str] = field(default_factory=dict)
    budget: Budget | None = None
    reuse: Reuse | None = None

    @cached_property
    def fingerprint(self) -> str:
        """Name the endpoint and the input."""
        return fingerprint(self.endpoint, self.arguments)

    def asks_anew(self, record: Record) -> bool:
        """Return whether a person has cleared the task since the record was written."""
        return record.generation != self.generation


@dataclass(frozen=True)
class Submit:
    """Submit; first cancel the request of ``replaces`` if it is to be, ``cancels``, and still waits in the queue.

    :param is_free: fal certainly charges nothing for the submission before.
    """

    reason: str
    replaces: Record | None = None
    cancels: bool = False
    is_free: bool = False


@dataclass(frozen=True)
class Inspect:
    """Poll the request of the record."""

    record: Record


@dataclass(frozen=True)
class Search:
    """Search fal's history for the request that the record's POST may have made; ``cause`` is why it is unknown."""

    record: Record
    cause: PikaError


@dataclass(frozen=True)
class Keep:
    """The record's request is the one; wait for it, or hand it on."""

    record: Record


@dataclass(frozen=True)
class Stop:
    """Nothing is submitted."""

    error: PikaError


#: What an attempt does next. ``Keep`` and ``Stop`` end it.
Step = Submit | Inspect | Search | Keep | Stop


def begin(record: Record | None, wanted: Wanted) -> Step:
    """Say how an attempt begins, from what earlier ones have left."""
    if record is None:
        return Submit("first submission")
    if record.state == "refused":
        return Submit("fal refused the earlier submit", record, is_free=True)
    return _resume(record, wanted)


def _resume(record: Record, wanted: Wanted) -> Step:
    if record.queue_url != wanted.queue_url:
        person = wanted.asks_anew(record)
        return Submit("cleared, with another queue", record) if person else Stop(_moved(record, wanted))
    anew = wanted.asks_anew(record) and wanted.on_clear == "resubmit"
    changed = record.fingerprint != wanted.fingerprint
    if record.state == "intent":
        if changed:
            return Submit("the input changed after a submit with an unknown outcome", record)
        return Search(record, SubmitUnknown("An earlier attempt ended in the middle of a submit."))
    if anew or changed:
        reason = "cleared by a person" if anew else "the input changed"
        return Submit(reason, record, cancels=not record.reused)
    return Inspect(record)


def after_inspection(record: Record, seen: Poll, wanted: Wanted) -> Step:
    """Say what follows from a poll of a request that there is already."""
    anew = wanted.asks_anew(record)
    match seen.outcome:
        case GenerationFailed() as error if record.attempt == wanted.attempt and not record.reused:
            return Stop(error)  # one submission in an attempt: Airflow's retries bound what is paid
        case GenerationCancelled():
            return Submit("the earlier request was cancelled", record)
        case GenerationFailed() as error if error.retry_helps or anew or record.reused:
            is_free = error.charged == "no"
            return Submit(f"the earlier request failed: {error.message}", record, is_free=is_free)
        case UnknownRequest() as error:
            return _after_unknown(record, wanted, SubmitUnknown(error.message, request_id=record.request_id))
        case PikaError() as error if isinstance(error, GenerationFailed) or not error.retry_helps:
            say_how_to_go_on(error)
            return Stop(error)
    return Keep(record)  # it runs, has ended well, or could not be looked at just now: whoever waits will see


def after_search(step: Search, found: Found, wanted: Wanted, *, may_submit: bool = True) -> Step:
    """Say what follows from a search for a request whose id was lost.

    A seed of ours makes an input this task's own. With the user's seed, the request may be another task's: only a
    person can tell, and does so by clearing.

    :param may_submit: False if this attempt has submitted often enough.
    """
    found = replace(found, request_ids=tuple(id for id in found.request_ids if id not in step.record.replaced))
    ids = found.request_ids
    ours = step.record.seed is not None or wanted.asks_anew(step.record)
    if len(ids) == 1 and ours:
        return Inspect(step.record.accepted(ids[0]))
    unknown = SubmitUnknown(f"{step.cause.message} {_search_in_words(found)}")
    if found.trouble and found.trouble.retry_helps and wanted.on_unknown_submit == "fail":
        return Stop(unknown)  # also where a person asks: a search that works may still find what was paid for
    return _after_unknown(step.record, wanted, unknown) if may_submit else Stop(unknown)


def say_how_to_go_on(error: PikaError) -> None:
    """Add to an error that a read met, and no retry mends, what a person may do about the request, which goes on."""
    if not error.retry_helps and not isinstance(error, GenerationFailed | UnknownRequest | UnknownStatus):
        error.consequence = (
            "The request goes on at fal. A clear with on_clear='reuse' picks it up (Airflow 3.3 and newer). Any other "
            "clear submits again, and pays again."
        )


def _after_unknown(record: Record, wanted: Wanted, unknown: SubmitUnknown) -> Step:
    if wanted.on_unknown_submit == "resubmit" or wanted.asks_anew(record) or record.reused:
        return Submit(f"the earlier submit has an unknown outcome: {unknown.message}", record)
    return Stop(unknown)


def _moved(record: Record, wanted: Wanted) -> OtherQueue:
    return OtherQueue(
        f"The request was submitted to {record.queue_url}, and the connection leads to {wanted.queue_url} now.",
        request_id=record.request_id,
    )


def _search_in_words(found: Found) -> str:
    if found.trouble:
        return f"fal's request history could not be searched: {found.trouble.message}"
    match found.request_ids:
        case ():
            return "fal's request history shows no request with this input. It may not show a request that still waits."
        case (only,):
            return (
                f"fal's request history has request {only} with this input. It may be another task's, because the seed "
                "is your own. If you clear this task, it picks that request up."
            )
    return f"fal's request history has several requests with this input: {', '.join(found.request_ids)}."
