"""The table of resuming, row by row, without a clock and without fal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.lookup import Found, same_input
from airflow_provider_pika.fal.models import QueueStatus, Video
from airflow_provider_pika.fal.polling import Poll
from airflow_provider_pika.fal.record import Record, fingerprint
from airflow_provider_pika.fal.recovery import (
    Inspect,
    Keep,
    Search,
    Stop,
    Submit,
    Wanted,
    after_inspection,
    after_search,
    begin,
)
from tests.support.records import submitted_for

INPUT = {"prompt": "a fox", "duration": 5}
WANTED = Wanted(TEXT_TO_VIDEO, INPUT, "https://queue.fal.run", generation=2, attempt=2)
SUBMITTED = submitted_for(WANTED)
INTENT = SUBMITTED.model_copy(update={"state": "intent", "request_id": None})
CLEARED = replace(WANTED, generation=4, attempt=3)
REUSING = replace(CLEARED, on_clear="reuse")
CHANGED = replace(WANTED, arguments={"prompt": "a hare"})
LOST = errors.SubmitUnknown("The reply was lost.")
VIDEO = Video(url="https://v3b.fal.media/a.mp4", request_id="r-1", endpoint=TEXT_TO_VIDEO)


def test_without_a_record_it_submits() -> None:
    assert begin(None, WANTED) == Submit("first submission")


def test_after_a_certain_refusal_it_submits() -> None:
    step = begin(INTENT.refused(), WANTED)
    assert isinstance(step, Submit)
    assert not step.cancels


def test_a_retry_looks_at_the_request_that_there_is() -> None:
    assert begin(SUBMITTED, WANTED) == Inspect(SUBMITTED)


def test_a_retry_after_an_intent_searches_before_anything_is_submitted() -> None:
    step = begin(INTENT, WANTED)
    assert isinstance(step, Search)
    assert "ended in the middle of a submit" in str(step.cause)


@pytest.mark.parametrize(("wanted", "reason"), [(CHANGED, "input changed"), (CLEARED, "cleared by a person")])
def test_a_changed_input_or_a_clear_submits_anew_and_cancels_what_still_waits(wanted: Wanted, reason: str) -> None:
    step = begin(SUBMITTED, wanted)
    assert isinstance(step, Submit)
    assert step.cancels
    assert step.replaces == SUBMITTED
    assert reason in step.reason


def test_a_clear_looks_at_the_old_request_where_reuse_is_asked_for() -> None:
    assert begin(SUBMITTED, REUSING) == Inspect(SUBMITTED)


def test_a_clear_after_a_lost_reply_searches_once_more_before_it_submits() -> None:
    assert isinstance(begin(INTENT, CLEARED), Search)


def test_another_queue_stops_a_retry_and_not_a_person() -> None:
    step = begin(SUBMITTED, replace(WANTED, queue_url="https://gateway.example"))
    assert isinstance(step, Stop)
    assert isinstance(step.error, errors.OtherQueue)
    assert step.error.retry_helps
    cleared = begin(SUBMITTED, replace(CLEARED, queue_url="https://gateway.example"))
    assert isinstance(cleared, Submit)
    assert not cleared.cancels  # the key of one queue has no business at another


INSPECTED: dict[str, tuple[Poll, type]] = {
    "queued": (Poll(QueueStatus(status="IN_QUEUE")), Keep),
    "in progress": (Poll(QueueStatus(status="IN_PROGRESS")), Keep),
    "completed well": (Poll(QueueStatus(status="COMPLETED"), VIDEO), Keep),
    "not to be seen just now": (Poll(outcome=errors.ServerUnavailable("busy")), Keep),
    "failed, a retry can help": (Poll(outcome=errors.GenerationInterrupted("broke")), Submit),
    "failed, no retry can help": (Poll(outcome=errors.ContentPolicyViolation("flagged")), Stop),
    "cancelled": (Poll(outcome=errors.GenerationCancelled("cancelled")), Submit),
    "unknown to fal": (Poll(outcome=errors.UnknownRequest("what?")), Stop),
    "of a status that is not known": (Poll(outcome=errors.UnknownStatus("PAUSED")), Stop),
    "behind a refused key": (Poll(outcome=errors.InvalidKey("no")), Stop),
}


@pytest.mark.parametrize("case", INSPECTED)
def test_what_follows_from_a_look_at_the_earlier_request(case: str) -> None:
    seen, expected = INSPECTED[case]
    assert type(after_inspection(SUBMITTED, seen, WANTED)) is expected


def test_what_is_unknown_to_fal_fails_as_an_unknown_submit_unless_resubmitting_is_allowed() -> None:
    seen = Poll(outcome=errors.UnknownRequest("what?", request_id="r-1"))
    step = after_inspection(SUBMITTED, seen, WANTED)
    assert isinstance(step, Stop)
    assert isinstance(step.error, errors.SubmitUnknown)
    assert "r-1" in str(step.error)
    assert isinstance(after_inspection(SUBMITTED, seen, replace(WANTED, on_unknown_submit="resubmit")), Submit)
    assert isinstance(after_inspection(SUBMITTED, seen, REUSING), Submit)


def test_one_attempt_does_not_submit_again_because_its_own_request_failed() -> None:
    here = SUBMITTED.model_copy(update={"attempt": WANTED.attempt})
    step = after_inspection(here, Poll(outcome=errors.GenerationInterrupted("broke")), WANTED)
    assert isinstance(step, Stop)


def test_a_person_who_reuses_gets_a_new_clip_where_the_old_one_failed() -> None:
    assert isinstance(after_inspection(SUBMITTED, Poll(outcome=errors.ContentPolicyViolation("x")), REUSING), Submit)


SEARCH = Search(INTENT, LOST)
USERS_SEED = Search(INTENT.model_copy(update={"seed": None}), LOST)


def test_the_one_request_with_our_seed_is_ours() -> None:
    step = after_search(SEARCH, Found(("r-9",)), WANTED)
    assert isinstance(step, Inspect)
    assert (step.record.request_id, step.record.state) == ("r-9", "submitted")


@pytest.mark.parametrize(
    ("search", "found", "words"),
    [
        (SEARCH, Found(), "shows no request with this input"),
        (SEARCH, Found(trouble=errors.AccessDenied("Not for this key.")), "could not be searched: Not for this key."),
        (SEARCH, Found(("r-8", "r-9")), "r-8, r-9"),
        (USERS_SEED, Found(("r-9",)), "request r-9 with this input. It may be another task's"),
    ],
    ids=["none", "no history", "several", "the user's own seed"],
)
def test_what_cannot_be_told_to_be_ours_stops_and_says_what_was_found(search: Search, found: Found, words: str) -> None:
    step = after_search(search, found, WANTED)
    assert isinstance(step, Stop)
    assert isinstance(step.error, errors.SubmitUnknown)
    assert not step.error.retry_helps
    assert words in str(step.error)
    assert "The reply was lost." in str(step.error)
    assert isinstance(after_search(search, found, replace(WANTED, on_unknown_submit="resubmit")), Submit)


def test_a_person_who_clears_takes_the_one_that_is_there_and_submits_if_there_is_none() -> None:
    assert isinstance(after_search(USERS_SEED, Found(("r-9",)), CLEARED), Inspect)
    assert isinstance(after_search(SEARCH, Found(), CLEARED), Submit)


def test_a_search_that_failed_is_no_reason_to_pay_again_for_a_person_either() -> None:
    down = Found(trouble=errors.ServerUnavailable("busy"))
    assert isinstance(after_search(SEARCH, down, CLEARED), Stop)
    forbidden = Found(trouble=errors.AccessDenied("Not for this key."))
    assert isinstance(after_search(SEARCH, forbidden, CLEARED), Submit)


def test_what_ends_an_attempt_and_not_the_request_says_how_to_take_it_up() -> None:
    step = after_inspection(SUBMITTED, Poll(outcome=errors.InvalidKey("no")), WANTED)
    assert isinstance(step, Stop)
    assert "on_clear='reuse'" in str(step.error)


def test_an_attempt_that_has_submitted_often_enough_stops_whatever_is_allowed() -> None:
    resubmitting = replace(WANTED, on_unknown_submit="resubmit")
    assert isinstance(after_search(SEARCH, Found(), resubmitting, may_submit=False), Stop)


# --- the record


def test_a_record_comes_back_as_it_was_written() -> None:
    assert Record.read(SUBMITTED.as_json()) == SUBMITTED


@pytest.mark.parametrize(
    "value",
    [
        None,
        "x",
        {},
        {**SUBMITTED.as_json(), "version": 2},
        {**SUBMITTED.as_json(), "request_id": None},
        {**INTENT.as_json(), "request_id": "r-1"},
        {**SUBMITTED.as_json(), "state": "paid"},
    ],
)
def test_a_record_that_cannot_be_read_is_refused_and_never_taken_for_none(value: Any) -> None:
    with pytest.raises(errors.RecordUnreadable):
        Record.read(value)


def test_a_record_stays_small_and_names_the_last_requests_before_it() -> None:
    record = SUBMITTED.model_copy(update={"replaced": [f"r-{number}" for number in range(10)], "request_id": "r-new"})
    assert record.history() == [*[f"r-{number}" for number in range(1, 10)], "r-new"]


def test_the_fingerprint_knows_the_input_and_not_its_order() -> None:
    assert fingerprint("a/b", {"x": 1, "y": 2}) == fingerprint("a/b", {"y": 2, "x": 1})
    assert len({fingerprint(*args) for args in (("a/b", {"x": 1}), ("a/c", {"x": 1}), ("a/b", {"x": 2}))}) == 3


@pytest.mark.parametrize(
    ("kept", "same"),
    [
        ({"prompt": "a fox", "duration": 5}, True),
        ({"prompt": "a fox", "duration": "5", "aspect_ratio": "16:9"}, True),
        ({"prompt": "a fox"}, False),
        ({"prompt": "a fox ", "duration": 5}, False),
        (None, False),
        ("a fox", False),
    ],
)
def test_an_input_is_the_same_whatever_fal_has_added_to_it(kept: Any, same: bool) -> None:
    assert same_input(INPUT, kept) is same
