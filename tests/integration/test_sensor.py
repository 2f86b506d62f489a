"""The sensor's contract, the same in every mode."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferred,
)
from airflow.sdk import DAG

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.hooks.pika import PikaHook
from airflow_provider_pika.sensors.pika import PikaVideoSensor
from tests.integration.conftest import connect
from tests.support.airflow import StateStore, TaskInstance, context, event_of, run_to_the_end
from tests.support.emulator import RunningEmulator
from tests.support.tasks import finished, submit

MODES: dict[str, dict[str, Any]] = {
    "deferred": {"deferrable": True},
    "poke": {"deferrable": False, "mode": "poke"},
    "reschedule": {"deferrable": False, "mode": "reschedule"},
}
KEYS = {"url", "content_type", "file_name", "file_size", "request_id", "endpoint", "inference_time"}
KEYS |= {"prompt", "seed", "reused", "cost"}


@pytest.fixture(params=list(MODES))
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def sensor(request_id: str, mode: str, **arguments: Any) -> PikaVideoSensor:
    arguments = {"poll_interval": 0.1, "timeout": 20, **MODES[mode], **arguments}
    return PikaVideoSensor(task_id="video", request_id=request_id, **arguments)


def wait(task: PikaVideoSensor) -> Any:
    """Run a sensor to its end as Airflow does, in any mode."""
    started = datetime.now(UTC)
    while True:
        try:
            return run_to_the_end(task, ti=TaskInstance(started if task.reschedule else None))
        except AirflowRescheduleException as later:
            time.sleep(max(0.0, (later.reschedule_date - datetime.now(UTC)).total_seconds()))


def test_the_video_is_the_same_object_in_every_mode(emulator: RunningEmulator, mode: str) -> None:
    request_id = submit("a lighthouse")
    video = wait(sensor(request_id, mode))
    assert video.keys() == KEYS
    assert (video["request_id"], video["endpoint"]) == (request_id, TEXT_TO_VIDEO)
    assert video["content_type"] == "video/mp4"
    assert video["inference_time"] > 0
    assert video == wait(sensor(request_id, mode))  # a finished request brings the same again


def test_a_video_that_is_ready_costs_no_deferral(emulator: RunningEmulator) -> None:
    request_id = finished(submit("a lighthouse"))
    assert sensor(request_id, "deferred").execute(context())["request_id"] == request_id


def test_it_defers_with_json_and_without_the_key(emulator: RunningEmulator) -> None:
    request_id = submit("endless [[never_finish]]")
    with pytest.raises(TaskDeferred) as deferred:
        sensor(request_id, "deferred", timeout=60).execute(context())
    path, kwargs = deferred.value.trigger.serialize()
    assert path == "airflow_provider_pika.triggers.pika.PikaVideoTrigger"
    assert "test-key" not in str(kwargs)
    assert kwargs["deadline"] == pytest.approx(time.time() + 60, abs=10)
    assert deferred.value.timeout is not None
    assert deferred.value.timeout > timedelta(seconds=60)  # Airflow's own limit only backs the trigger's deadline
    PikaHook().cancel(TEXT_TO_VIDEO, request_id)


def test_time_up_is_a_sensor_timeout_in_every_mode_and_cancels_nothing(emulator: RunningEmulator, mode: str) -> None:
    request_id = submit("endless [[never_finish]]")
    with pytest.raises(AirflowSensorTimeout, match=rf"{request_id} did not end .* IN_PROGRESS"):
        wait(sensor(request_id, mode, timeout=1.0))
    assert emulator.counts()["cancel"] == 0
    PikaHook().cancel(TEXT_TO_VIDEO, request_id)


def test_soft_fail_skips_on_time_up_in_every_mode(emulator: RunningEmulator, mode: str) -> None:
    request_id = submit("endless [[never_finish]]")
    with pytest.raises(AirflowSkipException, match="did not end"):
        wait(sensor(request_id, mode, timeout=0.5, soft_fail=True))
    PikaHook().cancel(TEXT_TO_VIDEO, request_id)


FAILURES = {
    "content_policy_violation": errors.ContentPolicyViolation,
    "generation_error": errors.GenerationFailed,
    "generation_error retryable=true": errors.GenerationInterrupted,
    "downstream_error retryable=true": errors.GenerationInterrupted,
    "runner_error": errors.GenerationInterrupted,
    "start_timeout": errors.StartTimeout,
}


@pytest.mark.parametrize("fault", FAILURES)
def test_a_failed_generation_fails_at_once_in_every_mode(emulator: RunningEmulator, mode: str, fault: str) -> None:
    request_id = submit(f"doomed [[{fault}]]")
    with pytest.raises(AirflowFailException) as failed:
        wait(sensor(request_id, mode))
    assert type(failed.value.__cause__) is FAILURES[fault]
    assert request_id in str(failed.value)


def test_a_result_that_has_expired_is_read_from_fals_history_in_every_mode(
    emulator: RunningEmulator, mode: str
) -> None:
    request_id = finished(submit("kept [[expire]]"))
    video = wait(sensor(request_id, mode))
    assert (video["request_id"], video["content_type"]) == (request_id, "video/mp4")
    assert emulator.counts()["history"] == 1


def test_a_failure_that_a_new_submission_may_mend_says_which_task_to_clear(emulator: RunningEmulator) -> None:
    request_id = submit("doomed [[runner_error]]")
    with pytest.raises(
        AirflowFailException, match=r"A retry of this task polls the same request.*Clear the task that submitted it"
    ):
        wait(sensor(request_id, "poke"))


def test_soft_fail_skips_a_failed_generation_in_every_mode_and_logs_why(
    emulator: RunningEmulator, mode: str, seen: list[str]
) -> None:
    request_id = submit("doomed [[content_policy_violation]]")
    with pytest.raises(AirflowSkipException, match="content_policy_violation"):
        wait(sensor(request_id, mode, soft_fail=True))
    assert "content_policy_violation" in seen[-1]


def test_never_fail_skips_whatever_goes_wrong(
    emulator: RunningEmulator, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, "ftp://nowhere")
    with pytest.raises(AirflowSkipException):
        wait(sensor("019e1951-c778-7120-9c82-16efcf40ec82", mode, never_fail=True))


@pytest.mark.parametrize(
    "fault", ["http_500", "http_502", "http_503", "http_504", "http_429", "reset", "lost_reply", "malformed"]
)
@pytest.mark.parametrize("operation", ["status", "result"])
def test_trouble_on_the_way_is_sat_out_in_every_mode(
    emulator: RunningEmulator, mode: str, fault: str, operation: str
) -> None:
    request_id = submit(f"bumpy {fault}")
    emulator.fault(fault, on=operation, times=2, match="bumpy")
    assert wait(sensor(request_id, mode))["request_id"] == request_id


def test_retry_after_is_honoured(emulator: RunningEmulator) -> None:
    request_id = finished(submit("slow down"))
    emulator.fault("http_429", on="status", retry_after=2)
    before = time.monotonic()
    wait(sensor(request_id, "poke"))
    assert time.monotonic() - before >= 2


def test_trouble_that_lasts_ends_as_a_timeout_that_says_so(emulator: RunningEmulator, mode: str) -> None:
    request_id = submit("never again")
    emulator.fault("http_503", on="status", times=1000)
    with pytest.raises(AirflowSensorTimeout, match=r"last poll failed.*503"):
        wait(sensor(request_id, mode, timeout=1.0))


def test_a_refused_key_fails_at_once_in_every_mode(
    emulator: RunningEmulator, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = submit("a lighthouse")
    connect(monkeypatch, emulator.queue_url, key="wrong:wrong")
    with pytest.raises(AirflowFailException, match="Correct the key"):
        wait(sensor(request_id, mode))


def test_a_key_that_is_refused_while_deferred_fails_at_once(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = submit("endless [[never_finish]]")
    task = sensor(request_id, "deferred")
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context())
    PikaHook().cancel(TEXT_TO_VIDEO, request_id)
    connect(monkeypatch, emulator.queue_url, key="wrong:wrong")
    with pytest.raises(AirflowFailException, match="Correct the key"):
        task.execute_complete(context(), event_of(deferred.value.trigger))


@pytest.mark.parametrize("request_id", ["", None, "None", "not an id"])
def test_what_cannot_be_a_request_id_fails_when_the_dag_is_parsed(request_id: Any) -> None:
    with pytest.raises(AirflowFailException, match="request_id="):
        sensor(request_id, "deferred")


@pytest.mark.parametrize("request_id", ["", None, "None"])
def test_a_submit_that_brought_no_id_fails_the_wait_at_once(
    emulator: RunningEmulator, mode: str, request_id: Any
) -> None:
    task = sensor("{{ ti.xcom_pull('generate') }}", mode)
    task.request_id = request_id  # as Airflow renders it
    with pytest.raises(AirflowFailException, match="Did the submitting task succeed"):
        wait(task)


def test_a_request_that_is_not_fals_fails_at_once_in_every_mode(emulator: RunningEmulator, mode: str) -> None:
    with pytest.raises(AirflowFailException, match="mistyped, or belong to another account"):
        wait(sensor("019e1951-c778-7120-9c82-16efcf40ec82", mode))


# --- what the log tells


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What sensor and trigger write into the task's log, in order."""
    from airflow_provider_pika.triggers.pika import PikaVideoTrigger

    lines: list[str] = []
    log = logging.Logger("seen")
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    log.addHandler(handler)
    for kind in (PikaVideoSensor, PikaVideoTrigger):
        monkeypatch.setattr(kind, "log", log)
    return lines


@pytest.mark.drawn
def test_each_position_and_each_log_line_is_told_once_and_the_tail_again_on_the_worker(
    emulator: RunningEmulator, seen: list[str]
) -> None:
    emulator.until_idle()
    emulator.fault("never_finish", match="blocker", times=4)
    blockers = [submit("blocker") for _ in range(4)]
    request_id = submit("patient")
    task = sensor(request_id, "deferred")
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context())
    assert seen == ["In the queue, position 0"]
    for blocker in blockers:
        PikaHook().cancel(TEXT_TO_VIDEO, blocker)
    event = event_of(deferred.value.trigger)
    while_deferred = seen[1:]
    assert len(set(seen)) == len(seen)
    assert sum(line.startswith("fal: ") for line in seen) >= 4
    task.execute_complete(context(), event)
    assert seen[len(while_deferred) + 1 : -2] == [f"While deferred: {line}" for line in while_deferred]
    assert seen[-2].startswith("The price of fal-ai/pika/v2.5/text-to-video is unknown")
    assert seen[-1].startswith("Finished: http")


def test_a_rescheduled_wait_tells_each_line_once_where_airflow_keeps_task_state(
    emulator: RunningEmulator, seen: list[str]
) -> None:
    request_id, store = submit("patient"), StateStore()
    task = sensor(request_id, "reschedule")
    started = datetime.now(UTC)
    while True:
        try:
            task.execute(context(ti=TaskInstance(started), task_state_store=store))
            break
        except AirflowRescheduleException:
            time.sleep(0.1)
    assert len(seen) > 3
    assert len(set(seen)) == len(seen)


def rescheduled(request_id: str, store: StateStore, **arguments: Any) -> None:
    """Look once, as a process of a rescheduled wait does."""
    with pytest.raises(AirflowRescheduleException):
        sensor(request_id, "reschedule", **arguments).execute(
            context(ti=TaskInstance(datetime.now(UTC)), task_state_store=store)
        )


def test_what_was_told_of_another_request_is_not_taken_for_told(emulator: RunningEmulator, seen: list[str]) -> None:
    emulator.until_idle()
    store, first, second = StateStore(), submit("endless [[never_finish]]"), submit("endless [[never_finish]]")
    rescheduled(first, store)
    rescheduled(second, store)  # as after a clear, which keeps the task's state on Airflow 3.3
    assert seen.count("In progress") == 2
    for request_id in (first, second):
        PikaHook().cancel(TEXT_TO_VIDEO, request_id)


def test_the_pauses_of_a_rescheduled_wait_grow_with_its_trouble(emulator: RunningEmulator, seen: list[str]) -> None:
    store, request_id = StateStore(), submit("bumpy")
    emulator.fault("http_503", on="status", times=3)
    for _ in range(3):
        rescheduled(request_id, store, poll_interval=5, timeout=1000)
    assert [line.rsplit(" ", 2)[-2] for line in seen] == ["10", "20", "40"]


def test_a_broken_store_of_task_state_fails_no_healthy_wait(emulator: RunningEmulator) -> None:
    class Broken(StateStore):
        def get(self, key: str, default: Any = None) -> Any:
            raise ConnectionError("no database")

        def set(self, key: str, value: Any, **_: Any) -> None:
            raise ConnectionError("no database")

    request_id = submit("endless [[never_finish]]")
    rescheduled(request_id, Broken())
    PikaHook().cancel(TEXT_TO_VIDEO, request_id)


# --- Airflow's own names


def test_airflows_default_args_reach_the_poll_interval() -> None:
    with DAG("with_defaults", default_args={"poke_interval": 11, "soft_fail": True}):
        task = PikaVideoSensor(task_id="video", request_id="r")
    assert (task.poll_interval, task.soft_fail) == (11, True)


def test_soft_fail_skips_on_an_execution_timeout_as_every_sensor_does(emulator: RunningEmulator) -> None:
    task = sensor("r-1", "poke", soft_fail=True)
    task._watch = lambda *_: (_ for _ in ()).throw(AirflowTaskTimeout("up"))  # type: ignore[method-assign]
    with pytest.raises(AirflowSkipException):
        task.execute(context())


def test_airflows_poke_interval_is_taken_for_the_poll_interval() -> None:
    assert PikaVideoSensor(task_id="video", request_id="r", poke_interval=7).poll_interval == 7
    assert PikaVideoSensor(task_id="video", request_id="r", poll_interval=timedelta(seconds=3)).poke_interval == 3


def test_a_poll_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="poll_interval"):
        PikaVideoSensor(task_id="video", request_id="r", poll_interval=0)


def test_the_timeout_is_airflows_default_unless_one_is_given() -> None:
    assert PikaVideoSensor(task_id="video", request_id="r").timeout == timedelta(days=7).total_seconds()
