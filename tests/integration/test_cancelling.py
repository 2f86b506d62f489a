"""What is cancelled when a task is killed, cleared, or out of time; and what is never."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.polling import TooLate
from airflow_provider_pika.hooks.pika import PikaHook
from airflow_provider_pika.operators.cancel import PikaCancelOperator
from airflow_provider_pika.task import kill as task_kill
from airflow_provider_pika.task.kill import CANCEL_WITHIN, Fate
from airflow_provider_pika.task.state import KEY
from airflow_provider_pika.triggers.pika import PikaVideoTrigger
from tests.integration.conftest import connect
from tests.support.airflow import StateStore, TaskInstance, context, run_to_the_end
from tests.support.emulator import RunningEmulator, accepted
from tests.support.tasks import ENDLESS, finished, operator, sensor, submit
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("nothing_left_running")

UNKNOWN = "019e1951-c778-7120-9c82-16efcf40ec82"


def fates(emulator: RunningEmulator) -> list[str]:
    """Return how the endless requests stand: running, or by which word they ended."""
    time.sleep(0.1)  # a cancelled runner needs a moment
    return [{499: "cancelled"}.get(r["status_code"], r["state"]) for r in emulator.requests(ENDLESS)][-1:]


# --- a worker that is killed


def kill_once_it_waits(task: Any, emulator: RunningEmulator) -> threading.Thread:
    """Call ``on_kill``, as Airflow does while ``execute`` is under way, soon after fal has accepted the request."""

    def kill() -> None:
        until(lambda: accepted(emulator), "the submit", 20, every=0.02)
        time.sleep(0.3)
        task.on_kill()

    killing = threading.Thread(target=kill)
    killing.start()
    return killing


def killed_while_it_waits(task: Any, emulator: RunningEmulator) -> None:
    """Kill a task, which then goes on."""
    killing = kill_once_it_waits(task, emulator)
    with pytest.raises(Exception, match="cancelled by the client"):
        run_to_the_end(task, task_state_store=StateStore())
    killing.join()


def test_a_killed_worker_cancels_what_its_operator_waits_for(emulator: RunningEmulator, became: Any) -> None:
    became(Fate.KILLED)
    killed_while_it_waits(operator(deferrable=False), emulator)
    assert fates(emulator) == ["cancelled"]


@pytest.mark.parametrize("answer", [Fate.GOES_ON, ConnectionError("no api-server")], ids=["replaced", "not known"])
def test_a_worker_that_was_only_replaced_cancels_nothing(
    emulator: RunningEmulator, became: Any, answer: Fate | Exception
) -> None:
    became(answer)
    task = operator(deferrable=False, timeout=1)
    kill_once_it_waits(task, emulator)
    with pytest.raises(errors.WaitTimeout):
        run_to_the_end(task, task_state_store=StateStore())
    assert emulator.counts()["cancel"] == 0


@pytest.mark.parametrize(("on_clear", "cancels"), [("resubmit", 1), ("reuse", 0)])
def test_a_cleared_worker_cancels_unless_its_request_is_to_be_reused(
    emulator: RunningEmulator, became: Any, on_clear: str, cancels: int
) -> None:
    became(Fate.CLEARED)
    task = operator(deferrable=False, timeout=1, on_clear=on_clear)
    kill_once_it_waits(task, emulator)
    with pytest.raises(errors.PikaError):
        run_to_the_end(task, task_state_store=StateStore())
    assert emulator.counts()["cancel"] == cancels


def test_a_killed_worker_does_not_replace_the_request_that_it_has_cancelled(
    emulator: RunningEmulator, became: Any
) -> None:
    became(Fate.KILLED)
    store = StateStore()
    with pytest.raises(errors.WaitTimeout):
        run_to_the_end(operator(timeout=0.3), task_state_store=store)
    task = operator(deferrable=False)
    kill_once_it_waits(task, emulator)
    with pytest.raises(errors.GenerationCancelled):
        run_to_the_end(task, ti=TaskInstance(try_number=2), task_state_store=store)
    assert emulator.counts()["submit"]["accepted"] == 1


def test_after_the_signal_nothing_is_posted_any_more(emulator: RunningEmulator) -> None:
    task = operator()
    task.on_kill()
    with pytest.raises(errors.TryLater, match="nothing more is submitted"):
        task.execute(context(task_state_store=StateStore()))
    assert emulator.counts()["submit"]["received"] == 0


def test_a_killed_sensor_cancels_nothing_unless_it_is_told_to(emulator: RunningEmulator, became: Any) -> None:
    became(Fate.KILLED)
    request_id = submit()
    task = sensor(request_id, deferrable=False, timeout=1)
    kill_once_it_waits(task, emulator)
    with pytest.raises(AirflowSensorTimeout):
        task.execute(context())
    assert emulator.counts()["cancel"] == 0
    killed_while_it_waits(sensor(request_id, deferrable=False, cancel_on_kill=True), emulator)
    assert fates(emulator) == ["cancelled"]


def test_a_killed_submit_leaves_its_request_to_the_task_that_waits_for_it(emulator: RunningEmulator) -> None:
    task = operator(wait_for_completion=False)
    task.execute(context(task_state_store=StateStore()))
    task.on_kill()
    assert emulator.counts()["cancel"] == 0


def test_a_kill_during_the_submit_takes_the_request_back_as_soon_as_its_id_is_there(
    emulator: RunningEmulator, became: Any
) -> None:
    became(Fate.KILLED)
    emulator.fault("stall", seconds=1)
    task = operator(deferrable=False)
    kill_once_it_waits(task, emulator)
    with pytest.raises(errors.GenerationCancelled):
        task.execute(context(task_state_store=StateStore()))
    assert fates(emulator) == ["cancelled"]


def test_a_kill_takes_seconds_at_most_whatever_fal_does(
    emulator: RunningEmulator, became: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    became(Fate.KILLED)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection, and never answers
        connect(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
        task = sensor(UNKNOWN, cancel_on_kill=True)
        with PikaHook().get_conn() as queue:
            task._cancel_if_killed(context(), queue, UNKNOWN, or_cleared=False)
        before = time.monotonic()
        task.on_kill()
        assert time.monotonic() - before < CANCEL_WITHIN + 0.5  # SIGKILL comes after five
    connect(monkeypatch, emulator.queue_url)


# --- a deferred task that is killed


def trigger(request_id: str, queue_url: str, **arguments: Any) -> PikaVideoTrigger:
    waiting: dict[str, Any] = {
        "pika_conn_id": "pika_default",
        "poll_interval": 0.1,
        "deadline": time.time() + 20,
        "timeout": 20,
        "cancel_on_kill": True,
        "cancel_on_clear": True,
    }
    return PikaVideoTrigger(
        request_id=request_id, endpoint=TEXT_TO_VIDEO, queue_url=queue_url, **{**waiting, **arguments}
    )


def kill(trigger: PikaVideoTrigger, cut_off_after: float = 10.0) -> None:
    """Call ``on_kill`` as the triggerer does, which cuts it off and goes on running its event loop."""

    async def exchange() -> None:
        try:
            await asyncio.wait_for(trigger.on_kill(), cut_off_after)
        except TimeoutError:
            await asyncio.sleep(1.5)

    asyncio.run(exchange())


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Decide what Airflow says has become of the task."""

    def set_fate(answer: Fate | Exception, after: float = 0.0) -> None:
        def ask_in_worker(*_: object) -> Fate:
            time.sleep(after)
            if isinstance(answer, Exception):
                raise answer
            return answer

        async def ask_in_triggerer(*_: object) -> Fate:
            return await asyncio.to_thread(ask_in_worker)

        monkeypatch.setattr(task_kill, "ask_in_worker", ask_in_worker)
        monkeypatch.setattr(task_kill, "ask_in_triggerer", ask_in_triggerer)

    return set_fate


def test_a_kill_while_deferred_cancels_the_request(emulator: RunningEmulator, became: Any) -> None:
    became(Fate.KILLED)
    kill(trigger(submit(), emulator.queue_url))
    assert fates(emulator) == ["cancelled"]


def test_a_cancellation_is_not_cut_off_with_on_kill(emulator: RunningEmulator, became: Any) -> None:
    became(Fate.KILLED, after=0.5)
    kill(trigger(submit(), emulator.queue_url), cut_off_after=0.1)
    assert fates(emulator) == ["cancelled"]


@pytest.mark.parametrize("answer", [Fate.GOES_ON, ConnectionError("no api-server")], ids=["moved", "not known"])
def test_a_trigger_that_was_only_moved_cancels_nothing(
    emulator: RunningEmulator, became: Any, answer: Fate | Exception
) -> None:
    became(answer)
    kill(trigger(submit(), emulator.queue_url))
    assert emulator.counts()["cancel"] == 0


def test_a_clear_while_deferred_cancels_what_still_waits_in_the_queue(emulator: RunningEmulator, became: Any) -> None:
    became(Fate.CLEARED)
    running = [submit() for _ in range(4)]
    time.sleep(0.3)
    queued = submit("patient")
    kill(trigger(running[0], emulator.queue_url))
    assert emulator.counts()["cancel"] == 0
    kill(trigger(queued, emulator.queue_url, cancel_on_clear=False))
    assert emulator.counts()["cancel"] == 0
    kill(trigger(queued, emulator.queue_url))
    assert emulator.requests("patient")[-1]["error_type"] == "client_cancelled"


def test_an_observer_cancels_nothing_when_it_is_killed(emulator: RunningEmulator, became: Any) -> None:
    became(Fate.KILLED)
    kill(trigger(submit(), emulator.queue_url, cancel_on_kill=False))
    kill(trigger(submit(), emulator.queue_url, deadline=time.time() - 1))  # this wait has ended, and said how
    assert emulator.counts()["cancel"] == 0


def test_what_has_ended_before_the_kill_is_kept(emulator: RunningEmulator, became: Any) -> None:
    became(Fate.KILLED)
    request_id = finished(submit("a lighthouse"))
    kill(trigger(request_id, emulator.queue_url))
    assert emulator.counts()["cancel"] == 1
    assert PikaHook().result(TEXT_TO_VIDEO, request_id).url


@pytest.mark.parametrize(
    ("on_clear", "cancel_on_kill", "expected"),
    [("resubmit", None, (True, True)), ("reuse", None, (True, False)), ("resubmit", False, (False, False))],
)
def test_the_operators_trigger_knows_what_to_cancel(
    emulator: RunningEmulator, on_clear: str, cancel_on_kill: bool | None, expected: tuple[bool, bool]
) -> None:
    task = operator(on_clear=on_clear, cancel_on_kill=cancel_on_kill)
    ti = TaskInstance()
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context(ti=ti, task_state_store=StateStore()))
    made = deferred.value.trigger
    assert isinstance(made, PikaVideoTrigger)
    assert (made.cancel_on_kill, made.cancel_on_clear) == expected
    assert ti.xcoms["request_id"] == made.request_id  # what the trigger compares with


def test_the_sensors_trigger_cancels_only_where_it_is_told_to_and_never_on_a_clear(emulator: RunningEmulator) -> None:
    request_id, ti = submit(), TaskInstance()
    for wanted in (False, True):
        with pytest.raises(TaskDeferred) as deferred:
            sensor(request_id, cancel_on_kill=wanted).execute(context(ti=ti))
        made = deferred.value.trigger
        assert isinstance(made, PikaVideoTrigger)
        assert (made.cancel_on_kill, made.cancel_on_clear) == (wanted, False)
        assert ti.xcoms == ({"request_id": request_id} if wanted else {})


# --- out of time


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "sync"])
def test_an_operator_out_of_time_is_retried_and_waits_for_the_same_request(
    emulator: RunningEmulator, deferrable: bool
) -> None:
    store, ti = StateStore(), TaskInstance()
    with pytest.raises(errors.WaitTimeout, match=r"not cancelled.*a retry waits for the same request") as late:
        run_to_the_end(operator(deferrable=deferrable, timeout=0.5), ti=ti, task_state_store=store)
    assert late.value.retry_helps
    assert fates(emulator) == ["IN_PROGRESS"]
    PikaHook().cancel(TEXT_TO_VIDEO, ti.xcoms["request_id"])


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "sync"])
def test_being_out_of_time_cancels_where_that_is_asked_for(emulator: RunningEmulator, deferrable: bool) -> None:
    with pytest.raises(errors.WaitTimeout, match=r"accepted the cancellation.*A retry submits a new request"):
        run_to_the_end(
            operator(deferrable=deferrable, timeout=0.5, cancel_on_timeout=True), task_state_store=StateStore()
        )
    assert fates(emulator) == ["cancelled"]
    with pytest.raises(AirflowSensorTimeout, match=r"accepted the cancellation.*clear the task that submitted it"):
        run_to_the_end(sensor(submit(), deferrable=deferrable, timeout=0.5, cancel_on_timeout=True))
    assert fates(emulator) == ["cancelled"]


def test_what_has_ended_before_the_cancellation_is_kept(emulator: RunningEmulator) -> None:
    request_id = finished(submit("a lighthouse"))
    for task in (operator(cancel_on_timeout=True), sensor(request_id, cancel_on_timeout=True)):
        assert task._finish(context(), TooLate(request_id, "late"))["request_id"] == request_id
    assert emulator.counts()["cancel"] == 2


def test_a_cancellation_that_fails_says_so_and_the_wait_is_out_of_time_all_the_same(emulator: RunningEmulator) -> None:
    request_id = submit()
    emulator.fault("http_503", on="cancel")
    with pytest.raises(AirflowSensorTimeout, match="It was not cancelled"):
        run_to_the_end(sensor(request_id, timeout=0.5, cancel_on_timeout=True))


AIRFLOWS_LIMIT = ("__fail__", {"error": "Trigger timeout"})


def test_airflows_own_limit_on_the_deferral_cancels_where_that_is_asked_for(emulator: RunningEmulator) -> None:
    ti, store = TaskInstance(), StateStore()
    task = operator(cancel_on_timeout=True)
    with pytest.raises(TaskDeferred):
        task.execute(context(ti=ti, task_state_store=store))
    store.set(KEY, {**store.get(KEY), "state": "intent", "request_id": None})  # without its id: by the XCom
    with pytest.raises(errors.WaitTimeout, match="Airflow ended the wait"):
        task.resume_execution(*AIRFLOWS_LIMIT, context(ti=ti, task_state_store=store))
    assert fates(emulator) == ["cancelled"]
    with pytest.raises(AirflowSensorTimeout, match="Airflow ended the wait"):
        sensor(submit(), cancel_on_timeout=True).resume_execution(*AIRFLOWS_LIMIT, context())
    assert fates(emulator) == ["cancelled"]


def test_airflows_own_limit_on_the_deferral_loses_no_video_that_is_there(emulator: RunningEmulator) -> None:
    request_id = finished(submit("a lighthouse"))
    assert sensor(request_id).resume_execution(*AIRFLOWS_LIMIT, context())["request_id"] == request_id


@pytest.mark.parametrize("switch", ["cancel_on_kill", "cancel_on_timeout"])
def test_airflows_own_limit_loses_no_video_for_a_switch_that_renders_nothing_now(
    emulator: RunningEmulator, switch: str
) -> None:
    ti = TaskInstance()
    ti.xcoms["request_id"] = request_id = finished(submit("a lighthouse"))
    for task in (sensor(request_id), operator()):
        setattr(task, switch, "")  # as Airflow renders it anew
        assert task.resume_execution(*AIRFLOWS_LIMIT, context(ti=ti))["request_id"] == request_id


def test_airflows_other_failures_of_a_deferral_are_left_to_airflow(emulator: RunningEmulator) -> None:
    with pytest.raises(Exception, match="Trigger failure"):
        operator().resume_execution("__fail__", {"error": "Trigger failure"}, context())
    with pytest.raises(Exception, match="Trigger failure"):
        sensor(UNKNOWN).resume_execution("__fail__", {"error": "Trigger failure"}, context())


# --- a clean-up branch


def cancelled(request_id: Any) -> str:
    return PikaCancelOperator(task_id="clean_up", request_id=request_id).execute(context())


def test_the_clean_up_operator_says_what_fal_says(emulator: RunningEmulator) -> None:
    assert cancelled(submit()) == "CANCELLATION_REQUESTED"
    assert fates(emulator) == ["cancelled"]
    assert cancelled(finished(submit("a lighthouse"))) == "ALREADY_COMPLETED"
    assert cancelled(UNKNOWN) == "NOT_FOUND"


@pytest.mark.parametrize("request_id", [None, "None", ""])
def test_the_clean_up_operator_skips_itself_where_nothing_was_submitted(
    emulator: RunningEmulator, request_id: str | None
) -> None:
    with pytest.raises(AirflowSkipException, match="nothing is cancelled"):
        cancelled(request_id)
    assert emulator.counts()["cancel"] == 0


def test_the_clean_up_operator_fails_where_it_cannot_ask(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, emulator.queue_url, key="wrong:wrong")
    with pytest.raises(AirflowFailException, match="Correct the key"):
        cancelled(UNKNOWN)
    connect(monkeypatch, emulator.queue_url)
