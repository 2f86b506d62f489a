"""What an attempt does about an earlier one: every row of the table in docs/how-it-works.md, in every mode."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.hooks.pika import PikaHook
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.task.state import KEY
from tests.integration.conftest import connect
from tests.support.airflow import StateStore, TaskInstance, WorkerCrash, run_to_the_end
from tests.support.emulator import RunningEmulator, accepted
from tests.support.tasks import finished

MODES: dict[str, dict[str, Any]] = {
    "submit": {},
    "sync": {"wait_for_completion": True, "deferrable": False},
    "deferred": {"wait_for_completion": True},
}


class CrashingTaskInstance(TaskInstance):
    """The worker dies right after the submitted record was written; ``earlier`` is the id on record before."""

    earlier: str | None = None

    def xcom_push(self, key: str, value: Any) -> None:
        if value != self.earlier:
            raise WorkerCrash


class Task:
    """A task instance: its operator in one mode, and what Airflow keeps of it."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.store: Any = StateStore()
        self.try_number, self.max_tries = 0, 2
        self.ti = TaskInstance()

    def attempt(self, kind: type[TaskInstance] = TaskInstance, **arguments: Any) -> Any:
        """Run the next try; give the request id that it ends with."""
        self.try_number += 1
        self.ti = kind(try_number=self.try_number, max_tries=self.max_tries)
        arguments = {"prompt": "a fox", "resolution": "480p", "poll_interval": 0.1, **MODES[self.mode], **arguments}
        task = PikaTextToVideoOperator(task_id="generate", **arguments)
        state = {} if self.store is None else {"task_state_store": self.store}
        brought = run_to_the_end(task, ti=self.ti, **state)
        return brought["request_id"] if task.wait_for_completion else brought

    def crash(self, **arguments: Any) -> str:
        """Run a try that dies once fal's id is on record; give the id."""
        earlier = (self.store.get(KEY) or {}).get("request_id")
        with pytest.raises(WorkerCrash):
            self.attempt(type("Crashing", (CrashingTaskInstance,), {"earlier": earlier}), **arguments)
        return str(self.record["request_id"])

    def clear(self) -> None:
        """As Airflow's clear does it: more tries, and the state is kept (3.3)."""
        self.max_tries += 2

    @property
    def record(self) -> dict[str, Any]:
        return dict(self.store.get(KEY))


@pytest.fixture(params=list(MODES))
def task(request: pytest.FixtureRequest) -> Task:
    return Task(request.param)


def state(emulator: RunningEmulator, request_id: str) -> Any:
    [request] = [request for request in emulator.requests() if request["request_id"] == request_id]
    return request["error_type"] or request["state"]


@contextmanager
def busy_runners(emulator: RunningEmulator, seconds: float | None = None) -> Iterator[Callable[[], None]]:
    """Keep every runner busy, so that what comes now has to wait; until the end, or for some seconds."""
    emulator.until_idle()
    emulator.fault("never_finish", match="blocker", times=4)
    blockers = [PikaHook().submit(TEXT_TO_VIDEO, {"prompt": "blocker"}) for _ in range(4)]
    emulator.reset_counts()

    def release() -> None:
        for blocker in blockers:
            PikaHook().cancel(TEXT_TO_VIDEO, blocker)

    timer = threading.Timer(seconds or 0.0, release)
    if seconds is not None:
        timer.start()
    yield release
    timer.join() if seconds is not None else release()


# --- the table


def test_a_request_that_waits_or_runs_is_waited_for_again(emulator: RunningEmulator, task: Task) -> None:
    with busy_runners(emulator, seconds=0.5):
        request_id = task.crash()
        assert state(emulator, request_id) == "IN_QUEUE"
        assert task.attempt() == request_id
    assert accepted(emulator) == 1


def test_a_request_that_has_ended_well_brings_its_result_at_once(emulator: RunningEmulator, task: Task) -> None:
    request_id = finished(task.crash())
    assert task.attempt() == request_id
    assert task.ti.xcoms["request_id"] == request_id
    assert accepted(emulator) == 1


def test_a_failure_that_a_retry_can_help_is_submitted_anew_and_the_record_says_so(
    emulator: RunningEmulator, task: Task
) -> None:
    emulator.fault("runner_error", match="a fox")
    failed = finished(task.crash())
    assert task.attempt() != failed
    assert accepted(emulator) == 2
    assert task.record["replaced"] == [failed]
    assert "Runner disconnected" in task.record["reason"]


def test_a_failure_that_no_retry_can_help_fails_again_and_is_not_submitted(
    emulator: RunningEmulator, task: Task
) -> None:
    emulator.fault("content_policy_violation", match="a fox")
    finished(task.crash())
    for _ in range(2):
        with pytest.raises(AirflowFailException, match="content_policy_violation") as failed:
            task.attempt()
        assert type(failed.value.__cause__) is errors.ContentPolicyViolation
    assert accepted(emulator) == 1


def test_a_cancelled_request_is_submitted_anew(emulator: RunningEmulator, task: Task) -> None:
    with busy_runners(emulator):
        cancelled = task.crash()
        PikaHook().cancel(TEXT_TO_VIDEO, cancelled)
    assert task.attempt() != cancelled
    assert accepted(emulator) == 2
    assert task.record["replaced"] == [cancelled]


def test_a_request_whose_result_has_expired_is_read_from_the_history(emulator: RunningEmulator, task: Task) -> None:
    emulator.fault("expire", match="a fox")
    request_id = finished(task.crash())
    assert task.attempt() == request_id
    assert accepted(emulator) == 1


def test_a_request_that_nobody_knows_any_more_fails_without_a_retry(emulator: RunningEmulator, task: Task) -> None:
    task.crash()
    task.store.set(KEY, {**task.record, "request_id": "019e1951-c778-7120-9c82-16efcf40ec82"})
    with pytest.raises(AirflowFailException, match=r"019e1951-.*may be charged.*To go on, clear the task"):
        task.attempt()
    assert accepted(emulator) == 1
    assert task.attempt(on_unknown_submit="resubmit")
    assert accepted(emulator) == 2


def test_a_changed_input_is_submitted_and_the_old_request_cancelled_if_it_still_waits(
    emulator: RunningEmulator, task: Task
) -> None:
    with busy_runners(emulator, seconds=0.5):
        old = task.crash()
        new = task.attempt(prompt="a hare")
        assert state(emulator, old) == "client_cancelled"
    assert new != old
    assert accepted(emulator) == 2


def test_a_changed_input_leaves_a_request_alone_that_runs_already(emulator: RunningEmulator, task: Task) -> None:
    old = finished(task.crash())
    assert task.attempt(prompt="a hare") != old
    assert emulator.counts()["cancel"] == 0


def test_a_clear_asks_for_a_new_clip_and_cancels_the_old_request_if_it_still_waits(
    emulator: RunningEmulator, task: Task
) -> None:
    with busy_runners(emulator, seconds=0.5):
        old = task.crash()
        task.clear()
        new = task.crash()
        assert state(emulator, old) == "client_cancelled"
        assert task.attempt() == new  # a retry after the clear is a retry again
    assert new != old
    assert accepted(emulator) == 2
    assert task.record["reason"] == "cleared by a person"


def test_a_clear_brings_the_same_clip_where_reuse_is_asked_for(emulator: RunningEmulator, task: Task) -> None:
    old = finished(task.crash(on_clear="reuse"))
    for _ in range(2):
        task.clear()
        assert task.attempt(on_clear="reuse") == old
    assert accepted(emulator) == 1


def test_where_airflow_keeps_no_state_a_retry_submits_again_and_every_attempt_says_so_once(
    emulator: RunningEmulator, task: Task, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PikaTextToVideoOperator, "log", logging.getLogger("seen"))
    task.store = None
    first = task.attempt()
    assert task.attempt() != first
    assert accepted(emulator) == 2
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert "A retry of this task submits again, and pays again" in warnings[0]


# --- a submit whose outcome is unknown


LOST = [{"name": "lost_reply"}, {"name": "malformed"}, {"name": "reset", "accepted": True},
        {"name": "http_502", "accepted": True}, {"name": "http_504", "accepted": True}]  # fmt: skip


@pytest.mark.parametrize("fault", LOST, ids=str)
def test_a_lost_reply_is_made_up_for_by_fals_history(
    emulator: RunningEmulator, task: Task, fault: dict[str, Any]
) -> None:
    emulator.fault(**fault)
    request_id = task.attempt()
    [request] = [request for request in emulator.requests() if request["request_id"] == request_id]
    assert request["input"]["seed"] == task.record["seed"]
    assert accepted(emulator) == 1


def test_a_worker_that_dies_before_the_reply_is_made_up_for_by_its_next_try(
    emulator: RunningEmulator, task: Task
) -> None:
    def die(*_: object) -> None:
        raise WorkerCrash

    emulator.fault("stall")
    before = signal.signal(signal.SIGALRM, die)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(WorkerCrash):
            task.attempt()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert (task.record["state"], task.record["request_id"]) == ("intent", None)
    assert task.attempt()
    assert accepted(emulator) == 1


def test_a_submit_that_is_not_to_be_found_fails_without_a_retry_and_a_person_may_go_on(
    emulator: RunningEmulator, task: Task
) -> None:
    emulator.fault("reset")
    with pytest.raises(AirflowFailException, match=r"shows no request with this input.*To go on, clear the task"):
        task.attempt()
    with pytest.raises(AirflowFailException, match="ended in the middle of a submit"):
        task.attempt()  # whatever made Airflow try again
    assert accepted(emulator) == 0
    task.clear()
    assert task.attempt()
    assert accepted(emulator) == 1


def test_a_person_who_clears_after_a_lost_reply_gets_the_clip_that_was_paid_for(
    emulator: RunningEmulator, task: Task
) -> None:
    emulator.fault("lost_reply")
    emulator.fault("http_503", on="history", times=8)
    with pytest.raises(AirflowFailException, match="history could not be searched"):
        task.attempt()
    task.clear()
    assert task.attempt()
    assert accepted(emulator) == 1


def test_a_history_that_lags_is_searched_again(emulator: RunningEmulator, task: Task) -> None:
    emulator.fault("lost_reply")
    emulator.fault("http_502", on="history", times=3)
    assert task.attempt()
    assert accepted(emulator) == 1


def test_resubmitting_is_possible_where_a_second_payment_is_cheaper_than_a_night(
    emulator: RunningEmulator, task: Task
) -> None:
    emulator.fault("reset")
    assert task.attempt(on_unknown_submit="resubmit")
    assert accepted(emulator) == 1
    assert "the earlier submit has an unknown outcome" in task.record["reason"]


def test_resubmitting_ends_after_the_second_submit_of_an_attempt(emulator: RunningEmulator, task: Task) -> None:
    emulator.fault("reset", times=5)
    with pytest.raises(AirflowFailException, match="shows no request"):
        task.attempt(on_unknown_submit="resubmit")
    emulator.clear_faults()
    assert emulator.counts()["submit"]["refused"] == 2


def test_with_the_users_own_seed_a_request_that_may_be_another_tasks_is_not_taken_without_a_person(
    emulator: RunningEmulator, task: Task
) -> None:
    seed = list(MODES).index(task.mode)
    emulator.fault("lost_reply")
    with pytest.raises(AirflowFailException, match="may be another task's") as failed:
        task.attempt(seed=seed)
    task.clear()
    assert task.attempt(seed=seed) in str(failed.value)
    assert accepted(emulator) == 1


def test_two_tasks_with_the_same_prompt_each_find_their_own_request(emulator: RunningEmulator) -> None:
    tasks = [Task("submit"), Task("submit")]
    emulator.fault("lost_reply", times=2)
    ids = [task.attempt() for task in tasks]
    assert len(set(ids)) == 2
    for task, request_id in zip(tasks, ids, strict=True):
        [request] = [request for request in emulator.requests() if request["request_id"] == request_id]
        assert request["input"]["seed"] == task.record["seed"]


# --- a certain refusal


def test_a_certain_refusal_leaves_nothing_to_search_for(emulator: RunningEmulator, task: Task) -> None:
    emulator.fault("http_500", times=3)
    with pytest.raises(errors.ServerUnavailable):
        task.attempt()
    assert task.attempt()
    assert accepted(emulator) == 1
    assert emulator.counts()["history"] == 0


# --- Airflow's own trouble


class BrokenStore(StateStore):
    """Fails on the calls that are named."""

    def __init__(self, *broken: str) -> None:
        super().__init__()
        self.broken = list(broken)

    def get(self, key: str, default: Any = None) -> Any:
        self._break("get")
        return super().get(key, default)

    def set(self, key: str, value: Any, **more: Any) -> None:
        self._break(f"set {value['state']}")
        super().set(key, value, **more)

    def _break(self, call: str) -> None:
        if call in self.broken:
            self.broken.remove(call)
            raise ConnectionError("no api-server")


@pytest.mark.parametrize("call", ["get", "set intent"])
def test_without_its_record_nothing_is_submitted(emulator: RunningEmulator, task: Task, call: str) -> None:
    task.store = BrokenStore(call)
    with pytest.raises(errors.RecordUnavailable, match="reads the record again before it submits"):
        task.attempt()
    assert emulator.counts()["submit"]["received"] == 0
    assert task.attempt()


def test_a_record_that_cannot_be_read_is_never_overwritten(emulator: RunningEmulator, task: Task) -> None:
    task.store.set(KEY, {"version": 99})
    with pytest.raises(AirflowFailException, match="cannot be read"):
        task.attempt()
    assert emulator.counts()["submit"]["received"] == 0
    assert task.record == {"version": 99}


def test_a_request_that_is_paid_for_is_not_lost_because_airflow_cannot_keep_its_id(
    emulator: RunningEmulator, task: Task
) -> None:
    class Mute(TaskInstance):
        def xcom_push(self, key: str, value: Any) -> None:
            raise ConnectionError("no api-server")

    task.store = BrokenStore("set submitted")
    request_id = task.attempt(Mute)
    assert task.attempt() == request_id  # the intent is on record, and the history has the rest
    assert accepted(emulator) == 1


def test_another_queue_is_not_asked_about_the_request(
    emulator: RunningEmulator, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = task.crash()
    connect(monkeypatch, f"{emulator.queue_url}/gateway")
    with pytest.raises(errors.OtherQueue, match="the connection leads to"):
        task.attempt()
    connect(monkeypatch, emulator.queue_url)
    assert task.attempt() == request_id


def test_a_request_that_was_about_to_be_cancelled_when_it_was_taken_up_is_replaced(
    emulator: RunningEmulator, task: Task
) -> None:
    emulator.fault("never_finish", match="a fox")
    old = task.crash()
    threading.Timer(0.5, PikaHook().cancel, (TEXT_TO_VIDEO, old)).start()
    if task.mode == "submit":
        assert task.attempt() == old  # whoever waits sees it
    else:
        assert task.attempt() != old
        assert task.record["replaced"] == [old]
    finished(old)
