from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.models import QueueStatus, Video
from airflow_provider_pika.fal.poll_interval import UNKNOWN, Expectation
from airflow_provider_pika.fal.polling import (
    LONGEST_BACKOFF,
    LONGEST_RETRY_AFTER,
    Done,
    Failed,
    Poll,
    PollAgain,
    TooLate,
    Wait,
    decide,
)

WAIT = Wait("r-1", deadline=1000.0, poll_interval=5.0, timeout=90.0)
QUEUED = Poll(QueueStatus(status="IN_QUEUE", queue_position=3))
RUNNING = Poll(QueueStatus(status="IN_PROGRESS"))
VIDEO = Video(url="https://v3b.fal.media/a.mp4", request_id="r-1", endpoint=TEXT_TO_VIDEO)
DONE = Poll(QueueStatus(status="COMPLETED"), VIDEO)
BUSY = Poll(outcome=errors.ServerUnavailable("busy"))


def test_an_unfinished_request_is_looked_at_again_after_the_interval() -> None:
    step = decide(WAIT, QUEUED, now=0.0)
    assert isinstance(step, PollAgain)
    assert (step.after, step.trouble) == (5.0, None)


@given(st.floats(min_value=0.01, max_value=1000), st.integers(min_value=1, max_value=9))
def test_an_interval_that_the_user_gave_stays_as_it_is(poll_interval: float, looks: int) -> None:
    wait = Wait("r-1", 1e9, poll_interval, 1e9)
    for n in range(looks):
        step = decide(wait, RUNNING, now=float(n), expected=Expectation(60.0, 0.1, known=True))
        assert isinstance(step, PollAgain)
        assert step.after == poll_interval
        wait = step.wait


def test_a_wait_that_another_process_began_is_looked_at_when_its_next_look_is_due() -> None:
    step = decide(WAIT, RUNNING, now=100.0)
    assert isinstance(step, PollAgain)
    assert WAIT.first_pause(101.5, UNKNOWN) == 0.0  # nothing was seen of it
    assert step.wait.first_pause(101.5, UNKNOWN) == 3.5
    assert step.wait.first_pause(400.0, UNKNOWN) == 0.0
    assert Wait("r-1", 102.0, 5.0, 9.0, seen=step.wait.seen).first_pause(101.5, UNKNOWN) == 0.5


def test_a_finished_request_ends_the_wait_even_after_the_deadline() -> None:
    assert decide(WAIT, DONE, now=5000.0) == Done(VIDEO)


def test_the_last_look_is_at_the_deadline_and_not_after_it() -> None:
    step = decide(WAIT, RUNNING, now=997.0)
    assert isinstance(step, PollAgain)
    assert step.after == 3.0
    assert isinstance(decide(step.wait, RUNNING, now=1000.0), TooLate)


def test_being_too_late_says_what_was_seen_last_and_that_the_request_goes_on() -> None:
    step = decide(WAIT, QUEUED, now=1000.0)
    assert isinstance(step, TooLate)
    assert "r-1" in step.message
    assert "last seen IN_QUEUE at position 3" in step.message
    assert "within 1 minute 30 seconds, until 1970-01-01T00:16:40+00:00" in step.message
    assert "may still run" in step.consequence


def test_trouble_is_sat_out_with_growing_pauses_and_forgotten_when_it_is_over() -> None:
    wait, pauses = WAIT, []
    for _ in range(6):
        step = decide(wait, BUSY, now=0.0)
        assert isinstance(step, PollAgain)
        wait = step.wait
        pauses.append(step.after)
    assert pauses == sorted(pauses)
    assert pauses[0] > 5.0
    assert pauses[-1] == LONGEST_BACKOFF
    over = decide(wait, RUNNING, now=0.0)
    assert isinstance(over, PollAgain)
    assert (over.after, over.wait.failures) == (5.0, 0)


def test_fals_own_retry_after_is_honoured() -> None:
    step = decide(WAIT, Poll(outcome=errors.RateLimited("slow", retry_after=300)), now=0.0)
    assert isinstance(step, PollAgain)
    assert step.after == 300


def test_a_retry_after_that_outlasts_the_result_is_cut_short() -> None:
    step = decide(Wait("r-1", 1e6, 5.0, 1e6), Poll(outcome=errors.RateLimited("slow", retry_after=86_400)), now=0.0)
    assert isinstance(step, PollAgain)
    assert step.after == LONGEST_RETRY_AFTER


def test_being_too_late_for_a_result_that_is_there_says_so() -> None:
    step = decide(WAIT, Poll(QueueStatus(status="COMPLETED"), errors.ServerUnavailable("fal is busy.")), now=1000.0)
    assert isinstance(step, TooLate)
    assert "has ended" in step.message
    assert "fal is busy" in step.message
    assert step.completed
    assert "keeps results for about an hour" in step.consequence


def test_trouble_at_the_deadline_ends_the_wait_as_too_late() -> None:
    step = decide(WAIT, BUSY, now=1000.0)
    assert isinstance(step, TooLate)
    assert "busy" in step.message


def test_what_cannot_get_better_ends_the_wait_at_once() -> None:
    for error in (errors.InvalidKey("no"), errors.UnknownRequest("no"), errors.AccessDenied("no")):
        assert decide(WAIT, Poll(outcome=error), now=0.0) == Failed(error)


def test_a_failed_generation_ends_the_wait_though_a_new_submission_may_help() -> None:
    error = errors.GenerationInterrupted("runner gone")
    assert decide(WAIT, Poll(DONE.status, error), now=0.0) == Failed(error)


LOOKS = st.sampled_from([QUEUED, RUNNING, BUSY, Poll(outcome=errors.RateLimited("slow", retry_after=1e6))])


@given(
    st.lists(LOOKS, min_size=1, max_size=60),
    st.none() | st.floats(min_value=0.01, max_value=1e5),
    st.floats(min_value=0, max_value=1e4),
)
def test_every_wait_ends_at_its_deadline_and_never_looks_later(
    looks: list[Poll], poll_interval: float | None, deadline: float
) -> None:
    now, wait = 0.0, Wait("r", deadline, poll_interval, deadline)
    for look in looks:
        step = decide(wait, look, now)
        if isinstance(step, TooLate):
            assert now >= deadline
            return
        assert isinstance(step, PollAgain)
        assert step.after > 0
        assert now + step.after <= deadline + 1e-6
        now, wait = now + step.after, step.wait


def test_a_refusal_that_may_be_fals_is_believed_when_it_was_repeated_with_nothing_else_between() -> None:
    doubtful = Poll(outcome=errors.DoubtfulAnswer("no", request_id="r-1", status_code=401))
    wait, now = Wait("r-1", deadline=1e6, poll_interval=None, timeout=1e6), 0.0
    while isinstance(step := decide(wait, doubtful, now), PollAgain):
        wait, now = step.wait, now + step.after
    assert isinstance(step, Failed)
    assert isinstance(step.error, errors.InvalidKey)
    assert 500 < now < 700  # ten minutes: a gateway is back by then, and fal still has a result


def test_doubts_are_over_when_fal_answers() -> None:
    doubtful = Poll(outcome=errors.DoubtfulAnswer("no", request_id="r-1", status_code=404))
    wait = WAIT
    for look in (doubtful, BUSY, doubtful, RUNNING):
        step = decide(wait, look, 0.0)
        assert isinstance(step, PollAgain)
        wait = step.wait
    assert (wait.doubts, wait.failures) == (0, 0)
