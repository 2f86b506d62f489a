"""What monitoring is told of clips: each ending once, in the task that knows it, over UDP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, TaskDeferred

from airflow_provider_pika.exceptions import PikaError, TryLater
from airflow_provider_pika.fal import TEXT_TO_VIDEO, pricing
from airflow_provider_pika.transfers.batch_to_object_storage import PikaBatchToObjectStorageOperator
from tests.integration.conftest import connect
from tests.support.airflow import StateStore, TaskInstance, event_of, run_to_the_end
from tests.support.batch import BatchTask
from tests.support.emulator import RunningEmulator
from tests.support.saving import SavingInstance, generated, save
from tests.support.statsd import RunningStatsd, statsd
from tests.support.tasks import finished, operator, sensor, submit
from tests.support.versions import KEEPS_TASK_STATE

__all__ = ["statsd"]

ENDPOINT = "endpoint=fal-ai_pika_v2.5_text-to-video"
DONE = f"clips,{ENDPOINT},state=done,error=none:1|c"
REFUSED = f"clips,{ENDPOINT},state=failed,error=ContentPolicyViolation:1|c"
INTERRUPTED = f"clips,{ENDPOINT},state=failed,error=GenerationInterrupted:1|c"
needs_task_state = pytest.mark.skipif(not KEEPS_TASK_STATE, reason="it needs the task state of Airflow 3.3")


@pytest.fixture
def emulator(quick_emulator: RunningEmulator) -> Iterator[RunningEmulator]:
    """The quick one, which bills 0.30 USD for a clip."""
    pricing.forget()
    quick_emulator.set_price(TEXT_TO_VIDEO, "videos", "0.30")
    yield quick_emulator
    pricing.forget()
    quick_emulator.reset_prices()


def cost(microdollars: int) -> str:
    return f"cost_microusd,{ENDPOINT}:{microdollars}|c"


def clips(statsd: RunningStatsd) -> list[str]:
    """Return what was received, but for the timings."""
    return [packet for packet in statsd.taken() if not packet.endswith("|ms")]


def timings(statsd: RunningStatsd) -> dict[str, float]:
    """Return the milliseconds of each timing that was received."""
    pairs = (packet.removesuffix("|ms").rsplit(":", 1) for packet in statsd.taken() if packet.endswith("|ms"))
    return {name: float(milliseconds) for name, milliseconds in pairs}


def task_of(kind: str, prompt: str, **arguments: Any) -> Any:
    """Return a task that waits for a clip."""
    if kind == "sensor":
        return sensor(submit(prompt), **arguments)
    return operator(prompt=prompt, **arguments)


MODES: list[dict[str, Any]] = [{}, {"deferrable": False}]


@pytest.mark.parametrize("mode", MODES, ids=["deferred", "in a worker"])
@pytest.mark.parametrize("kind", ["sensor", "operator"])
def test_a_clip_counts_with_its_cost_where_its_wait_ends(
    emulator: RunningEmulator, statsd: RunningStatsd, kind: str, mode: dict[str, Any]
) -> None:
    run_to_the_end(task_of(kind, "a fox", **mode))
    assert clips(statsd) == [DONE, cost(300_000)]


def test_the_time_it_ran_is_fals_own(emulator: RunningEmulator, statsd: RunningStatsd) -> None:
    video = run_to_the_end(sensor(submit("a fox")))
    assert timings(statsd) == {f"run_time,{ENDPOINT}": pytest.approx(video["inference_time"] * 1000, abs=0.01)}


@pytest.mark.parametrize("mode", MODES, ids=["deferred", "in a worker"])
@pytest.mark.parametrize("kind", ["sensor", "operator"])
def test_a_failed_clip_counts_by_its_error(
    emulator: RunningEmulator, statsd: RunningStatsd, kind: str, mode: dict[str, Any]
) -> None:
    prompt = "doomed [[content_policy_violation]]"
    with pytest.raises(AirflowFailException):
        run_to_the_end(task_of(kind, prompt, **mode))
    assert clips(statsd) == [REFUSED]


def test_a_submit_of_unknown_outcome_counts_as_failed(emulator: RunningEmulator, statsd: RunningStatsd) -> None:
    emulator.fault("reset", on="submit", accepted=False)
    with pytest.raises(AirflowFailException):
        run_to_the_end(operator(prompt="lost"))
    assert clips(statsd) == [f"clips,{ENDPOINT},state=failed,error=SubmitUnknown:1|c"]


def test_an_end_of_the_wait_that_is_none_of_the_clips_counts_nothing(
    emulator: RunningEmulator, statsd: RunningStatsd, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = submit()
    with pytest.raises(AirflowSensorTimeout):
        run_to_the_end(sensor(request_id, timeout=0.3, cancel_on_timeout=True))
    connect(monkeypatch, emulator.queue_url, key="wrong-id:wrong-secret")
    with pytest.raises(AirflowFailException):
        run_to_the_end(sensor(request_id))
    with pytest.raises(AirflowFailException):
        run_to_the_end(operator(prompt="a fox"))
    assert clips(statsd) == []


@needs_task_state
def test_a_clear_that_finds_the_same_clip_counts_nothing(emulator: RunningEmulator, statsd: RunningStatsd) -> None:
    tasks, store = (sensor(finished(submit("a fox"))), operator(prompt="a hare", on_clear="reuse")), StateStore()
    for task in tasks:
        for number in (1, 2):
            ti = TaskInstance(try_number=number, max_tries=number)
            assert run_to_the_end(task, ti=ti, task_state_store=store)["url"]
        assert clips(statsd) == [DONE, cost(300_000)]


@needs_task_state
def test_a_retry_counts_its_own_request(emulator: RunningEmulator, statsd: RunningStatsd) -> None:
    emulator.fault("runner_error", match="unlucky", times=1)
    store = StateStore()
    with pytest.raises(PikaError):
        run_to_the_end(operator(prompt="unlucky"), ti=TaskInstance(try_number=1), task_state_store=store)
    run_to_the_end(operator(prompt="unlucky"), ti=TaskInstance(try_number=2), task_state_store=store)
    assert clips(statsd) == [INTERRUPTED, DONE, cost(300_000)]


def test_metrics_that_nobody_receives_fail_no_clip(
    emulator: RunningEmulator, statsd: RunningStatsd, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.providers.common.compat.sdk import Stats

    def broken(*_: Any, **__: Any) -> None:
        raise OSError("no route")

    monkeypatch.setattr(type(Stats) if not KEEPS_TASK_STATE else Stats, "incr", broken, raising=False)
    assert run_to_the_end(sensor(submit("a fox")))["url"]


@needs_task_state
def test_a_batch_counts_each_clip_once_and_the_cost_at_the_end(
    emulator: RunningEmulator, statsd: RunningStatsd
) -> None:
    inputs = [*(f"counted {n}" for n in range(9)), "bad [[content_policy_violation]]"]
    BatchTask("", 0, inputs=inputs, max_in_flight=3, fail_on="all").attempt()
    packets = clips(statsd)
    assert Counter(packets) == {DONE: 9, REFUSED: 1, cost(2_700_000): 1}
    assert packets[-1] == cost(2_700_000)


@needs_task_state
def test_a_retry_of_a_batch_counts_only_what_is_new(emulator: RunningEmulator, statsd: RunningStatsd) -> None:
    emulator.fault("runner_error", match="unlucky", times=1)
    task = BatchTask("", 0, inputs=["lucky", "unlucky", "bad [[content_policy_violation]]"])
    with pytest.raises(PikaError):
        task.attempt()
    assert Counter(clips(statsd)) == {DONE: 1, INTERRUPTED: 1, REFUSED: 1, cost(300_000): 1}
    with pytest.raises(AirflowFailException):
        task.attempt()
    assert Counter(clips(statsd)) == {DONE: 1, cost(300_000): 1}  # the refused one is not submitted again
    task.clear()
    task.attempt(fail_on=0.5)
    assert Counter(clips(statsd)) == {REFUSED: 1}  # which is submitted anew


@needs_task_state
def test_an_event_that_comes_twice_counts_once(emulator: RunningEmulator, statsd: RunningStatsd) -> None:
    task, more, trigger = BatchTask("twice", 4).first_round()
    event = event_of(trigger)
    task.execute_complete(more, event)  # type: ignore[arg-type]
    task.execute_complete(more, event)  # type: ignore[arg-type]
    assert Counter(clips(statsd)) == {DONE: 4, cost(1_200_000): 1}


@needs_task_state
def test_the_cost_of_an_attempt_that_broke_off_counts_with_the_next(
    emulator: RunningEmulator, statsd: RunningStatsd
) -> None:
    batch = BatchTask("broken off", 4)
    task, more, trigger = batch.first_round()
    event = event_of(trigger)
    with pytest.raises(PikaError):
        task.execute_complete(more, {**event, "trouble": TryLater("The wait broke.").as_json()})  # type: ignore[arg-type]
    assert clips(statsd) == [DONE] * 4
    batch.attempt()
    assert clips(statsd) == [cost(1_200_000)]
    batch.clear()
    batch.attempt()
    assert clips(statsd) == []


@needs_task_state
def test_a_worker_that_only_submits_more_asks_fal_for_no_price(
    emulator: RunningEmulator, statsd: RunningStatsd
) -> None:
    task, more, trigger = BatchTask("no price yet", 3, max_in_flight=1).first_round()
    with pytest.raises(TaskDeferred):
        task.execute_complete(more, event_of(trigger))  # type: ignore[arg-type]
    assert clips(statsd) == [DONE]
    assert emulator.counts()["pricing"] == 0


def test_a_file_that_is_saved_tells_how_long_fal_had_the_request_wait_and_only_once(
    emulator: RunningEmulator, statsd: RunningStatsd, tmp_path: Path
) -> None:
    video, _ = generated("a fox")
    statsd.taken()
    saved = save(video, tmp_path / "fox.mp4", must_fit=False, poster=False)
    [(name, milliseconds)] = timings(statsd).items()
    assert name == f"queue_time,{ENDPOINT}"
    assert 0 <= milliseconds < 60_000
    assert save(video, tmp_path / "fox.mp4", must_fit=False, poster=False) == saved
    assert statsd.taken() == []


def test_a_file_of_which_fal_tells_no_times_tells_none(
    emulator: RunningEmulator, statsd: RunningStatsd, tmp_path: Path
) -> None:
    video, _ = generated("a fox")
    statsd.taken()
    emulator.fault("http_403", on="history", times=9)
    save(video, tmp_path / "fox.mp4", must_fit=False, poster=False)
    assert statsd.taken() == []


@needs_task_state
def test_the_files_of_a_batch_tell_the_same(emulator: RunningEmulator, statsd: RunningStatsd, tmp_path: Path) -> None:
    batch = BatchTask("saved", 5).attempt()
    statsd.taken()
    task = PikaBatchToObjectStorageOperator(
        task_id="s", batch=batch, path=f"{tmp_path}/{{index}}.mp4", must_fit=False, poster=False
    )
    task.execute({"ti": SavingInstance(), "outlet_events": {}})  # type: ignore[typeddict-item]
    assert Counter(packet.partition(":")[0] for packet in statsd.taken()) == {f"queue_time,{ENDPOINT}": 5}
