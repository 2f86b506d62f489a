"""A task that fails tells the next ones why, however it fails: the XCom ``pika_error``."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
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
from airflow.sdk.log import mask_secret

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.decorators.pika import pika_text_to_video_task
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.hooks.pika import PikaHook
from airflow_provider_pika.operators.cancel import PikaCancelOperator
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.strict_json import is_strict
from tests.integration.conftest import connect
from tests.integration.dags import failing
from tests.support.airflow import StateStore, TaskInstance, context, event_of, run_to_the_end
from tests.support.batch import BatchTask
from tests.support.emulator import RunningEmulator
from tests.support.saving import SavingInstance, saver
from tests.support.tasks import sensor, submit

REFUSED = "a fox [[content_policy_violation]]"
UNKNOWN = "019e1951-c778-7120-9c82-16efcf40ec82"
VIDEO = {"url": "https://v3b.fal.media/files/b/x/clip.mp4", "request_id": "r-1"}
MODES: list[dict[str, Any]] = [{"deferrable": True}, {"deferrable": False}]


class BrokenInstance(TaskInstance):
    """A task instance whose XComs cannot be pushed."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def xcom_push(self, key: str, value: Any) -> None:
        """Break."""
        raise self.error


def operator(prompt: str = REFUSED, **arguments: Any) -> PikaTextToVideoOperator:
    arguments = {"resolution": "480p", "poll_interval": 0.1, "timeout": 20, "wait_for_completion": True, **arguments}
    return PikaTextToVideoOperator(task_id="generate", prompt=prompt, **arguments)


def told_by(run: Callable[..., Any], ti: TaskInstance | None = None, **more: Any) -> tuple[dict[str, Any], Any]:
    """Let a task fail; give what it told, and what it failed with."""
    ti = ti or TaskInstance()
    with pytest.raises((Exception, AirflowTaskTimeout)) as raised:
        run(ti=ti, **more)
    told = ti.xcoms["pika_error"]
    assert told.keys() == {
        "class",
        "error_type",
        "retry_helps",
        "request_id",
        "charged",
        "billable_units",
        "message",
    }
    assert is_strict(told)
    return told, raised.value


def task_of(function: Callable[[], Any]) -> Any:
    made: Any = pika_text_to_video_task(task_id="clip")(function)
    return made().operator


def whole(task: Any) -> Callable[..., Any]:
    return lambda **more: run_to_the_end(task, **more)


# --- the operator and the sensor


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_what_fal_billed_for_a_refused_prompt_is_told(emulator: RunningEmulator, mode: dict[str, Any]) -> None:
    told, error = told_by(whole(operator(prompt="no [[content_policy_violation billed=true]]", **mode)), TaskInstance())
    assert (told["charged"], told["billable_units"]) == ("yes", 5.0)
    assert "billed units 5" in str(error)


def test_an_error_of_fals_servers_is_told_not_to_be_charged(emulator: RunningEmulator) -> None:
    told, _ = told_by(whole(operator(prompt="a [[runner_error]]")), TaskInstance())
    assert (told["class"], told["charged"]) == ("GenerationInterrupted", "no")


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_refused_prompt_is_told_by_the_operator(emulator: RunningEmulator, mode: dict[str, Any]) -> None:
    ti = TaskInstance()
    told, error = told_by(whole(operator(**mode)), ti)
    assert isinstance(error, AirflowFailException)
    assert told == {
        "class": "ContentPolicyViolation",
        "error_type": "content_policy_violation",
        "retry_helps": False,
        "request_id": ti.xcoms["request_id"],
        "charged": "unknown",
        "billable_units": None,
        "message": str(error),
    }


@pytest.mark.parametrize("mode", [*MODES, {"deferrable": False, "mode": "reschedule"}], ids=str)
def test_a_refused_prompt_is_told_by_the_sensor(emulator: RunningEmulator, mode: dict[str, Any]) -> None:
    request_id = submit(REFUSED)
    while PikaHook().status(TEXT_TO_VIDEO, request_id).status != "COMPLETED":
        pass
    told, _ = told_by(whole(sensor(request_id, **mode)))
    assert (told["class"], told["request_id"]) == ("ContentPolicyViolation", request_id)


@pytest.mark.parametrize(
    ("prompt", "kind", "retry_helps"),
    [("[[locked]]", "ExhaustedBalance", False), ("[[http_429 times=9]]", "RateLimited", True)],
)
def test_a_refused_submit_is_told(emulator: RunningEmulator, prompt: str, kind: str, retry_helps: bool) -> None:
    told, _ = told_by(whole(operator(f"a fox {prompt}")))
    assert (told["class"], told["retry_helps"], told["request_id"]) == (kind, retry_helps, None)


def test_what_cannot_be_sent_is_told(emulator: RunningEmulator) -> None:
    task = operator("{{ later }}")
    task.prompt = ""  # as Airflow renders it
    told, _ = told_by(whole(task))
    assert told["class"] == "InvalidInput"


@pytest.mark.parametrize("asked", [{"soft_fail": True}, {"never_fail": True}], ids=str)
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_skip_in_place_of_a_failure_is_told(
    emulator: RunningEmulator, mode: dict[str, Any], asked: dict[str, Any]
) -> None:
    told, error = told_by(whole(sensor(submit(REFUSED), **mode, **asked)))
    assert isinstance(error, AirflowSkipException)
    assert told["class"] == "ContentPolicyViolation"


@pytest.mark.parametrize("soft_fail", [False, True], ids=["fails", "skips"])
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_wait_that_is_out_of_time_is_told(emulator: RunningEmulator, mode: dict[str, Any], soft_fail: bool) -> None:
    request_id = submit("endless [[never_finish]]")
    told, _ = told_by(whole(sensor(request_id, timeout=0.5, soft_fail=soft_fail, **mode)))
    assert (told["class"], told["retry_helps"], told["request_id"]) == ("AirflowSensorTimeout", True, request_id)
    PikaHook().cancel(TEXT_TO_VIDEO, request_id)
    ti = TaskInstance()
    told, _ = told_by(whole(operator("endless [[never_finish]]", timeout=0.5, cancel_on_timeout=True, **mode)), ti)
    assert (told["class"], told["retry_helps"]) == ("WaitTimeout", True)
    assert told["request_id"] == ti.xcoms["request_id"]


@pytest.mark.parametrize("reason", ["Trigger timeout", "Trigger failure"])
def test_a_deferral_that_airflow_ended_is_told(emulator: RunningEmulator, reason: str) -> None:
    request_id = submit("endless [[never_finish]]")

    def resumed(task: Any, **given: Any) -> Any:
        return lambda **more: task.resume_execution("__fail__", {"error": reason}, context(**given, **more))

    late = reason == "Trigger timeout"
    told, error = told_by(resumed(sensor(request_id)))
    assert told["class"] == ("AirflowSensorTimeout" if late else type(error).__name__)
    assert told["request_id"] == request_id
    ti = TaskInstance()
    ti.xcoms["request_id"] = request_id
    told, error = told_by(resumed(operator()), ti)
    assert told["class"] == ("WaitTimeout" if late else type(error).__name__)
    told, error = told_by(resumed(BatchTask("ended", 1).begin()[0], task_state_store=StateStore()))
    assert told["class"] == type(error).__name__
    PikaHook().cancel(TEXT_TO_VIDEO, request_id)


def test_airflows_own_timeout_is_told(emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    task = operator()

    def out_of_time(*_: Any) -> None:
        raise AirflowTaskTimeout("Timeout, PID: 1")

    monkeypatch.setattr(task, "_obtain", out_of_time)
    told, error = told_by(whole(task))
    assert isinstance(error, AirflowTaskTimeout)
    assert (told["class"], told["retry_helps"], told["message"]) == ("AirflowTaskTimeout", True, "Timeout, PID: 1")


# --- the others


def test_a_failed_save_is_told(emulator: RunningEmulator, tmp_path: Path) -> None:
    def saving(**more: Any) -> Any:
        video = {**VIDEO, "url": f"{emulator.queue_url}/files/b/none/clip.mp4"}
        return saver(video, tmp_path / "fox.mp4").execute({**more, "outlet_events": {}})  # type: ignore[typeddict-item]

    told, _ = told_by(saving, SavingInstance())
    assert (told["class"], told["retry_helps"], told["request_id"]) == ("VideoExpired", False, "r-1")


def test_a_failed_batch_is_told(emulator: RunningEmulator) -> None:
    batch = BatchTask("refused [[content_policy_violation]]", 2)
    with pytest.raises(AirflowFailException):
        batch.attempt()
    told = batch.ti.xcoms["pika_error"]
    assert (told["class"], told["retry_helps"], told["request_id"]) == ("BatchFailed", False, None)
    assert batch.ti.xcoms["manifest"]["failed"] == 2


def test_a_batch_without_task_state_is_told() -> None:
    task, _ = BatchTask("no state", 1).begin()
    told, _ = told_by(whole(task))
    assert (told["class"], told["retry_helps"]) == ("AirflowFailException", False)


def test_a_cancellation_that_failed_is_told(emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, emulator.queue_url, key="wrong:wrong")
    told, _ = told_by(whole(PikaCancelOperator(task_id="cancel", request_id=UNKNOWN)))
    assert (told["class"], told["request_id"]) == ("InvalidKey", UNKNOWN)


def test_a_function_that_fails_or_returns_no_prompt_is_told(emulator: RunningEmulator) -> None:
    def fails() -> str:
        raise ValueError("no\nprompt " + "x" * 20_000)

    told, _ = told_by(whole(task_of(lambda: None)))
    assert told["class"] == "InvalidInput"
    told, _ = told_by(whole(task_of(fails)))
    assert (told["class"], told["retry_helps"], told["error_type"]) == ("ValueError", None, None)
    assert told["message"].startswith("no prompt xxx")
    assert len(told["message"]) == 10_000


def test_a_hook_of_a_function_that_fails_is_told_in_fals_words(emulator: RunningEmulator) -> None:
    def asks() -> str:
        try:
            return str(PikaHook().result(TEXT_TO_VIDEO, UNKNOWN))
        except errors.PikaError as error:
            raise RuntimeError("no earlier clip") from error

    told, _ = told_by(whole(task_of(asks)))
    assert (told["class"], told["request_id"]) == ("UnknownRequest", UNKNOWN)


def test_an_error_that_is_its_own_cause_is_told(emulator: RunningEmulator) -> None:
    def fails() -> str:
        try:
            raise ValueError("no database")
        except ValueError as error:
            raise error from error

    told, error = told_by(whole(task_of(fails)))
    assert error.__cause__ is error
    assert (told["class"], told["message"]) == ("ValueError", "no database")


def test_an_error_that_tests_as_false_is_told(emulator: RunningEmulator) -> None:
    class Empty(Exception):
        def __len__(self) -> int:
            return 0

    def fails() -> str:
        raise Empty("no rows")

    told, _ = told_by(whole(task_of(fails)))
    assert told["message"] == "no rows"


def test_a_secret_in_an_error_that_began_in_ours_is_hidden(emulator: RunningEmulator) -> None:
    def asks() -> str:
        try:
            return str(PikaHook().result(TEXT_TO_VIDEO, UNKNOWN))
        except errors.PikaError as error:
            raise RuntimeError("not in postgres://etl:a-masked-password@db either") from error

    mask_secret("a-masked-password")
    told, _ = told_by(whole(task_of(asks)))
    assert told["class"] == "UnknownRequest"
    assert "a-masked-password" not in told["message"]


# --- the request


def test_a_failure_of_somebody_elses_names_the_request_that_was_made(emulator: RunningEmulator) -> None:
    ti, task = TaskInstance(), operator("endless [[never_finish]]")
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context(ti=ti))
    told, _ = told_by(lambda **more: operator().execute_complete(context(**more), {"strange": 1}), ti)
    assert told["request_id"] == ti.xcoms["request_id"] == deferred.value.trigger.request_id
    PikaHook().cancel(TEXT_TO_VIDEO, told["request_id"])


def test_a_sensor_names_its_request_where_its_template_renders_nothing_now(emulator: RunningEmulator) -> None:
    task = sensor(UNKNOWN)
    with pytest.raises(TaskDeferred) as deferred:
        sensor(submit("endless [[never_finish]]")).execute(context())
    task.request_id = ""
    kwargs: dict[str, Any] = deferred.value.kwargs or {}
    told, _ = told_by(lambda **more: task.execute_complete(context(**more), {"strange": 1}, **kwargs))
    assert told["request_id"] == deferred.value.trigger.request_id
    PikaHook().cancel(TEXT_TO_VIDEO, told["request_id"])


class MuteInstance(TaskInstance):
    """A task instance whose XComs cannot be pulled."""

    def xcom_pull(self, task_ids: str, key: str, map_indexes: int) -> Any:
        """Break."""
        raise AirflowTaskTimeout("too slow")


def test_a_request_that_cannot_be_asked_for_hides_no_error(emulator: RunningEmulator) -> None:
    told, error = told_by(whole(operator("a fox [[locked]]")), MuteInstance())
    assert isinstance(error, AirflowFailException)
    assert (told["class"], told["request_id"]) == ("ExhaustedBalance", None)


# --- what is no failure


def test_a_skip_of_the_functions_own_is_not_told_whatever_it_came_of(emulator: RunningEmulator) -> None:
    def no_row() -> str:
        try:
            return dict[str, str]()["product"]
        except KeyError as error:
            raise AirflowSkipException("no product today") from error

    def no_clip() -> str:
        try:
            return str(PikaHook().result(TEXT_TO_VIDEO, UNKNOWN))
        except errors.PikaError as error:
            raise AirflowSkipException("no clip today") from error

    for function in (no_row, no_clip):
        ti = TaskInstance()
        with pytest.raises(AirflowSkipException):
            run_to_the_end(task_of(function), ti=ti)
        assert "pika_error" not in ti.xcoms


def test_what_is_no_failure_is_not_told(emulator: RunningEmulator) -> None:
    ti = TaskInstance(datetime.now(UTC))
    request_id = submit("endless [[never_finish]]")
    with pytest.raises(TaskDeferred):
        sensor(request_id).execute(context(ti=ti))
    with pytest.raises(AirflowRescheduleException):
        sensor(request_id, deferrable=False, mode="reschedule").execute(context(ti=ti))
    with pytest.raises(AirflowSkipException):
        PikaCancelOperator(task_id="cancel", request_id="").execute(context(ti=ti))
    run_to_the_end(operator("a lighthouse"), ti=ti)
    PikaHook().cancel(TEXT_TO_VIDEO, request_id)
    assert "pika_error" not in ti.xcoms


@pytest.mark.parametrize("broken", [RuntimeError("no database"), AirflowTaskTimeout("too slow")], ids=repr)
def test_a_push_that_fails_hides_no_error(emulator: RunningEmulator, broken: BaseException) -> None:
    with pytest.raises(AirflowFailException, match="content_policy_violation"):
        run_to_the_end(operator(), ti=BrokenInstance(broken))
    with pytest.raises(AirflowSensorTimeout):
        run_to_the_end(sensor(submit("endless [[never_finish]]"), timeout=0.3), ti=BrokenInstance(broken))


def test_an_error_is_told_once(emulator: RunningEmulator) -> None:
    class CountingInstance(TaskInstance):
        keys: tuple[str, ...] = ()

        def xcom_push(self, key: str, value: Any) -> None:
            self.keys = (*self.keys, key)

    ti = CountingInstance()
    task = operator()
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context(ti=ti))
    event = event_of(deferred.value.trigger)
    with pytest.raises(AirflowFailException):
        task.resume_execution("execute_complete", {"event": event}, context(ti=ti))
    assert ti.keys.count("pika_error") == 1


def test_a_retry_begins_without_the_error_of_the_attempt_before(
    airflow_db: None, emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = {
        "name": "failing",
        "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
        "kwargs": {"path": str(Path(failing.__file__).parent)},
    }
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle]))
    failing.SEEN.clear()
    run: Any = failing.dag.test()
    assert str(run.state) == "success"
    [request] = emulator.requests("a fox in the second attempt")
    assert request["input"]["negative_prompt"] == f"the morning of {run.run_after:%Y-%m-%d}"
    [told, in_the_second_attempt, after] = failing.SEEN
    assert told["class"] == "ValueError"
    assert (in_the_second_attempt, after) == (None, None)
