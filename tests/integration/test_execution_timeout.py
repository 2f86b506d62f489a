"""Airflow's ``execution_timeout`` ends a wait wherever the task waits, although Airflow does not count it there."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferred,
)
from airflow.sdk import DAG

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.decorators.pika import pika_text_to_video_task
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.hooks.pika import PikaHook
from airflow_provider_pika.task import time_limit
from airflow_provider_pika.triggers.batch import PikaBatchTrigger
from airflow_provider_pika.triggers.pika import PikaVideoTrigger
from tests.support.airflow import StateStore, TaskInstance, context, event_of, run_to_the_end
from tests.support.batch import BatchTask, accepted
from tests.support.emulator import RunningEmulator
from tests.support.tasks import ENDLESS, operator, sensor, submit

pytestmark = pytest.mark.usefixtures("nothing_left_running")

#: How a task waits, in the modes that count from the first start of the attempt.
MODES: dict[str, dict[str, Any]] = {"deferred": {"deferrable": True}, "poke": {"deferrable": False}}


@pytest.fixture(params=list(MODES))
def mode(request: pytest.FixtureRequest) -> dict[str, Any]:
    return MODES[request.param]


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def began(ago: float) -> TaskInstance:
    """Return a task instance that started so many seconds ago, as Airflow 3.3 says it after a deferral, too."""
    return TaskInstance(start_date=datetime.now(UTC) - timedelta(seconds=ago))


def trigger_of(task: Any, **more: Any) -> Any:
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context(**more))
    return deferred.value.trigger


@contextmanager
def alarm_after(limit: float) -> Iterator[None]:
    """Do as Airflow's task runner does about execution_timeout: raise out of whatever runs then."""

    def time_is_up(*_: object) -> None:
        raise AirflowTaskTimeout("Timeout, PID: 7")

    before = signal.signal(signal.SIGALRM, time_is_up)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# --- it ends the wait, as Airflow's own timeout


def test_the_operator_fails_with_airflows_timeout_and_says_what_becomes_of_the_request(
    emulator: RunningEmulator, mode: dict[str, Any]
) -> None:
    ti = TaskInstance()
    with pytest.raises(AirflowTaskTimeout) as up:
        run_to_the_end(operator(execution_timeout=seconds(1), **mode), ti=ti, task_state_store=StateStore())
    message = str(up.value)
    assert f"{ti.xcoms['request_id']} did not end within the execution_timeout of 1 second" in message
    assert "last seen IN_PROGRESS" in message
    assert (
        "It was not cancelled. It may still run, and may be charged. On Airflow 3.3, a retry waits for the same request"
        in message
    )
    assert isinstance(up.value.__cause__, errors.WaitTimeout)


def test_the_sensor_fails_with_airflows_timeout_which_is_retried(
    emulator: RunningEmulator, mode: dict[str, Any]
) -> None:
    request_id = submit()
    with pytest.raises(AirflowTaskTimeout, match=r"the execution_timeout of 1 second.*A retry polls the same"):
        run_to_the_end(sensor(request_id, execution_timeout=seconds(1), **mode))


def test_the_decorator_ends_at_it_too(emulator: RunningEmulator, mode: dict[str, Any]) -> None:
    def generate() -> str:
        return ENDLESS

    limits: dict[str, Any] = {"timeout": 20, "execution_timeout": seconds(1)}
    decorated: Any = pika_text_to_video_task(wait_for_completion=True, poll_interval=0.1, **limits, **mode)(generate)
    with DAG("decorated"):
        task = decorated().operator
    with pytest.raises(AirflowTaskTimeout, match="the execution_timeout of 1 second"):
        run_to_the_end(task, task_state_store=StateStore())


def test_the_default_args_of_a_dag_reach_it(emulator: RunningEmulator) -> None:
    with DAG("with_defaults", default_args={"execution_timeout": seconds(1)}):
        task = sensor(submit())
    with pytest.raises(AirflowTaskTimeout, match="execution_timeout"):
        run_to_the_end(task)


def test_a_retry_of_the_operator_takes_up_the_same_request(emulator: RunningEmulator, mode: dict[str, Any]) -> None:
    store = StateStore()
    emulator.fault("never_finish", match="patient", times=1)
    tried = {"prompt": "patient", "execution_timeout": seconds(1), **mode}
    with pytest.raises(AirflowTaskTimeout):
        run_to_the_end(operator(**tried), task_state_store=store)
    with pytest.raises(AirflowTaskTimeout):
        run_to_the_end(operator(**tried), ti=TaskInstance(try_number=2), task_state_store=store)
    assert emulator.counts()["submit"]["accepted"] == 1
    assert emulator.counts()["cancel"] == 0


def test_it_cancels_nothing_since_cancel_on_timeout_is_about_timeout(
    emulator: RunningEmulator, mode: dict[str, Any]
) -> None:
    limits = {"execution_timeout": seconds(1), "cancel_on_timeout": True, **mode}
    with pytest.raises(AirflowTaskTimeout, match="It was not cancelled"):
        run_to_the_end(operator(**limits), task_state_store=StateStore())
    with pytest.raises(AirflowTaskTimeout, match="It was not cancelled"):
        run_to_the_end(sensor(submit(), **limits))
    assert emulator.counts()["cancel"] == 0


@pytest.mark.parametrize("skips", [{"soft_fail": True}, {"never_fail": True}], ids=["soft_fail", "never_fail"])
def test_a_sensor_that_shall_not_fail_is_skipped(
    emulator: RunningEmulator, mode: dict[str, Any], skips: dict[str, Any]
) -> None:
    with pytest.raises(AirflowSkipException, match="execution_timeout"):
        run_to_the_end(sensor(submit(), execution_timeout=seconds(1), **skips, **mode))


# --- the earlier one of the two


def test_the_earlier_limit_is_the_deadline(emulator: RunningEmulator, mode: dict[str, Any]) -> None:
    request_id = submit()
    with pytest.raises(AirflowSensorTimeout, match="within 1 second"):
        run_to_the_end(sensor(request_id, timeout=1, execution_timeout=seconds(60), **mode))
    with pytest.raises(errors.WaitTimeout, match="within 1 second"):
        run_to_the_end(operator(timeout=1, execution_timeout=seconds(60), **mode), task_state_store=StateStore())


@pytest.mark.parametrize("kind", ["operator", "sensor"])
def test_it_counts_from_the_first_start_of_the_attempt(emulator: RunningEmulator, kind: str) -> None:
    limits = {"timeout": 500, "execution_timeout": seconds(100)}
    task: Any = operator(**limits) if kind == "operator" else sensor(submit(), **limits)
    trigger = trigger_of(task, ti=began(ago=30), task_state_store=StateStore())
    assert trigger.deadline == pytest.approx(time.time() + 70, abs=10)
    assert (trigger.timeout, trigger.limit) == (100, "execution_timeout")


def test_airflows_own_limit_on_the_deferral_stays_behind_it(emulator: RunningEmulator) -> None:
    with pytest.raises(TaskDeferred) as deferred:
        sensor(submit(), timeout=10_000, execution_timeout=seconds(100)).execute(context())
    assert deferred.value.timeout is not None
    assert seconds(100) < deferred.value.timeout < seconds(1000)


@pytest.mark.parametrize("limit", [0, -5, 0.001])
def test_a_limit_that_has_passed_already_costs_one_look(
    emulator: RunningEmulator, mode: dict[str, Any], limit: float
) -> None:
    before = time.monotonic()
    with pytest.raises(AirflowTaskTimeout, match="execution_timeout"):
        run_to_the_end(sensor(submit(), execution_timeout=seconds(limit), **mode))
    assert time.monotonic() - before < 10


# --- what is there is kept


def test_a_clip_that_ends_just_then_is_kept(emulator: RunningEmulator, mode: dict[str, Any]) -> None:
    """No look but the one at the deadline comes after the clip is done."""
    task = sensor(submit("a lighthouse"), poll_interval=60, timeout=60, execution_timeout=seconds(3), **mode)
    assert run_to_the_end(task)["url"]


def test_a_resume_after_the_limit_keeps_the_clip(emulator: RunningEmulator) -> None:
    task = operator(prompt="a lighthouse", execution_timeout=seconds(60))
    store = StateStore()
    event = event_of(trigger_of(task, task_state_store=store))
    late = began(ago=3600)
    assert run_to_the_end(task, event=event, ti=late, task_state_store=store)["url"]


@pytest.mark.parametrize("waits", [True, False])
def test_nothing_is_submitted_once_the_time_is_up_and_a_retry_submits(emulator: RunningEmulator, waits: bool) -> None:
    store, task = StateStore(), operator(prompt="a fox", execution_timeout=seconds(60), wait_for_completion=waits)
    with pytest.raises(AirflowTaskTimeout, match=r"execution_timeout has passed\. Nothing was submitted"):
        run_to_the_end(task, ti=began(ago=61), task_state_store=store)
    assert emulator.counts()["submit"]["received"] == 0
    assert run_to_the_end(task, ti=TaskInstance(try_number=2), task_state_store=store)
    assert emulator.counts()["submit"]["accepted"] == 1


def test_a_submit_that_is_refused_until_the_time_is_up_leaves_nothing_to_search_for(emulator: RunningEmulator) -> None:
    store, task = StateStore(), operator(prompt="a fox", execution_timeout=seconds(60))
    emulator.fault("http_429", on="submit", times=9, retry_after=1)
    with pytest.raises(AirflowTaskTimeout, match=r"execution_timeout has passed\. Nothing was submitted"):
        run_to_the_end(task, ti=began(ago=59.5), task_state_store=store)
    assert '"refused"' in "".join(store.values.values())
    assert emulator.counts()["submit"]["accepted"] == 0


def test_nothing_is_submitted_again_once_the_time_is_up(emulator: RunningEmulator) -> None:
    store = StateStore()
    limits = {"execution_timeout": seconds(60)}
    trigger_of(operator(**limits), task_state_store=store)
    retried = operator(**limits)
    trigger = trigger_of(retried, ti=TaskInstance(try_number=2), task_state_store=store)
    PikaHook().cancel(TEXT_TO_VIDEO, trigger.request_id)
    late = TaskInstance(try_number=2, start_date=datetime.now(UTC) - seconds(61))
    with pytest.raises(errors.GenerationCancelled):
        run_to_the_end(retried, event=event_of(trigger), ti=late, task_state_store=store)
    assert emulator.counts()["submit"]["accepted"] == 1


# --- Airflow's own ways to end a wait


@pytest.mark.parametrize("mode", [{"deferrable": True}, {"deferrable": False, "mode": "reschedule"}])
def test_airflows_alarm_in_the_middle_of_a_look_says_what_becomes_of_the_request(
    emulator: RunningEmulator, mode: dict[str, Any]
) -> None:
    request_id = submit()
    emulator.fault("stall", on="status", seconds=5)
    with alarm_after(0.5), pytest.raises(AirflowTaskTimeout, match=rf"{request_id} did not end .*A retry polls"):
        sensor(request_id, execution_timeout=seconds(0.5), **mode).execute(context(ti=TaskInstance()))


def test_a_wait_in_a_worker_ends_before_airflows_alarm(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_limit, "SHARE_BEFORE_THE_ALARM", 0.5)  # a twentieth of 3 s is too short on a busy machine
    with alarm_after(3), pytest.raises(AirflowTaskTimeout, match="the execution_timeout of 3 seconds"):
        run_to_the_end(sensor(submit(), deferrable=False, poll_interval=60, execution_timeout=seconds(3)))


def test_airflows_limit_on_the_deferral_says_which_of_the_two_has_passed(emulator: RunningEmulator) -> None:
    airflows_limit = ("__fail__", {"error": "Trigger timeout"})
    with pytest.raises(AirflowTaskTimeout, match="Airflow ended the wait"):
        sensor(submit(), execution_timeout=seconds(5)).resume_execution(*airflows_limit, context())
    with pytest.raises(AirflowSensorTimeout, match="Airflow ended the wait"):
        sensor(submit(), execution_timeout=seconds(50)).resume_execution(*airflows_limit, context())


def test_reschedule_mode_is_left_to_airflow_whose_clock_stands_still_between_two_looks(
    emulator: RunningEmulator,
) -> None:
    from airflow.exceptions import AirflowRescheduleException

    task = sensor(submit(), deferrable=False, mode="reschedule", execution_timeout=seconds(1))
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    ti = TaskInstance(datetime.now(UTC) - seconds(10), start_date=hour_ago)
    with pytest.raises(AirflowRescheduleException):
        task.execute(context(ti=ti))


# --- waits that began under an earlier version


def test_a_trigger_of_an_earlier_version_ends_at_its_timeout_as_it_did(emulator: RunningEmulator) -> None:
    task = sensor(submit(), timeout=1, execution_timeout=seconds(60))
    arguments = trigger_of(task).serialize()[1]
    del arguments["limit"]
    arguments["end_from_trigger"] = True  # which is gone: the task ends in a worker
    event = event_of(PikaVideoTrigger(**arguments))
    del event["limit"]
    with pytest.raises(AirflowSensorTimeout, match="within 1 second"):
        task.execute_complete(context(), event)


# --- a batch


def test_a_batch_ends_at_it_and_a_retry_goes_on_and_pays_for_nothing_twice(emulator: RunningEmulator) -> None:
    emulator.fault("never_finish", match="out of time 00000", times=1)
    task = BatchTask("out of time", 3, timeout=60)
    with pytest.raises(AirflowTaskTimeout, match=r"its execution_timeout of 3 seconds: 2 done.*Nothing was cancelled"):
        task.attempt(execution_timeout=seconds(3))
    assert task.ti.xcoms["manifest"]["done"] == 2
    [endless] = [r for r in emulator.requests(prompt="out of time 00000") if r["state"] != "COMPLETED"]
    with pytest.raises(errors.WaitTimeout, match=r"its timeout of 1 second"):
        task.attempt(timeout=1)
    assert accepted(emulator) == 3
    assert emulator.counts()["cancel"] == 0
    PikaHook().cancel(TEXT_TO_VIDEO, endless["request_id"])


def test_a_batchs_clock_runs_on_over_its_deferrals(emulator: RunningEmulator) -> None:
    task = BatchTask("on and on", 8, max_in_flight=2, timeout=500)
    operator, more = task.begin(execution_timeout=seconds(100))
    more["ti"].start_date = datetime.now(UTC) - seconds(30)
    deadlines = []
    resume: Any = operator.execute
    arguments: dict[str, Any] = {}
    while True:
        try:
            resume(more, **arguments)
            break
        except TaskDeferred as deferred:
            trigger: Any = deferred.trigger
            deadlines.append(trigger.carried["deadline"])
            more["ti"].start_date = datetime.now(UTC)  # as Airflow 3.1 says after a deferral
            resume, arguments = operator.execute_complete, {"event": event_of(trigger)}
    assert len(deadlines) > 1
    assert len(set(deadlines)) == 1
    assert deadlines[0] == pytest.approx(time.time() + 70, abs=20)


def test_a_batch_that_an_earlier_version_began_ends_at_its_timeout(emulator: RunningEmulator) -> None:
    emulator.fault("never_finish", match="old wait 00000", times=1)
    task = BatchTask("old wait", 1, timeout=1)
    operator, more, trigger = task.first_round()
    carried = json.loads(json.dumps(trigger.serialize()[1]["carried"]))
    del carried["limit"], carried["timeout"]
    event = event_of(PikaBatchTrigger(**{**trigger.serialize()[1], "carried": carried}))
    with pytest.raises(errors.WaitTimeout, match="time is up: 0 done"):
        operator.execute_complete(more, event)  # type: ignore[arg-type]
