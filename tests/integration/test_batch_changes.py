"""What may change under a batch: its inputs, its connection, its worker; and what it still pays for once."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from tests.integration.conftest import connect
from tests.support.airflow import event_of, run_to_the_end
from tests.support.batch import BatchTask, accepted
from tests.support.emulator import RunningEmulator


@pytest.fixture
def emulator(quick_emulator: RunningEmulator) -> RunningEmulator:
    return quick_emulator


def test_inputs_that_changed_while_it_was_deferred_break_it_off_and_a_retry_goes_on_with_the_new_ones(
    emulator: RunningEmulator,
) -> None:
    task = BatchTask("shifting", 6, max_in_flight=3)
    _, _, trigger = task.first_round()
    event = event_of(trigger)
    task.arguments["inputs"] = task.prompts[1:]  # Airflow renders templates anew for each worker
    operator, _ = task.begin()
    task.try_number -= 1
    task.ti.try_number = 1
    with pytest.raises(errors.TryLater, match="inputs changed while the task was deferred"):
        operator.execute_complete({"ti": task.ti, **{"task_state_store": task.store}}, event)  # type: ignore[typeddict-item]
    brought = task.attempt()
    sent = {request["request_id"]: request["input"]["prompt"] for request in emulator.requests(prompt="shifting")}
    assert [sent[line["request_id"]] for line in brought["clips"]] == task.prompts[1:]
    assert len(sent) == 6  # the one that is wanted no more is among them


def test_an_input_that_moved_keeps_the_clip_that_it_has(emulator: RunningEmulator) -> None:
    task = BatchTask("moved", 4)
    first = task.attempt()
    task.clear()
    prompts = ["moved in front", *reversed(task.prompts)]
    second = task.attempt(inputs=prompts)
    assert accepted(emulator) == 5
    before = {prompt: line["request_id"] for prompt, line in zip(task.prompts, first["clips"], strict=True)}
    assert [line["request_id"] for line in second["clips"][1:]] == [before[prompt] for prompt in prompts[1:]]
    task.clear()
    assert task.attempt(inputs=prompts)["clips"] == second["clips"]
    assert accepted(emulator) == 5


def test_a_connection_that_leads_to_another_queue_now_submits_nothing_there(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = BatchTask("moved away", 6, max_in_flight=3)
    operator, more, trigger = task.first_round()
    event = event_of(trigger)
    connect(monkeypatch, f"{emulator.queue_url}/gateway")
    with pytest.raises(errors.OtherQueue):
        operator.execute_complete(more, event)  # type: ignore[arg-type]
    with pytest.raises(errors.OtherQueue):
        task.attempt()
    connect(monkeypatch, emulator.queue_url)
    assert task.attempt()["done"] == 6
    assert accepted(emulator) == 6


def test_a_trigger_that_cannot_watch_fails_the_attempt_and_is_not_deferred_to_again(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = BatchTask("blind", 4, max_in_flight=2)
    operator, more, trigger = task.first_round()
    monkeypatch.delenv("AIRFLOW_CONN_PIKA_DEFAULT")
    event = event_of(trigger)
    connect(monkeypatch, emulator.queue_url)
    with pytest.raises(errors.MissingConnection):
        operator.execute_complete(more, event)  # type: ignore[arg-type]
    assert task.attempt()["done"] == 4
    assert accepted(emulator) == 4


def test_a_retry_takes_up_what_runs_before_it_submits_and_never_exceeds_what_may_be_in_flight(
    emulator: RunningEmulator,
) -> None:
    emulator.fault("runner_error", match="crowded", times=3)
    task = BatchTask("crowded", 12, max_in_flight=4)
    with pytest.raises(errors.WaitTimeout):
        task.attempt(timeout=0.5)
    emulator.fault("never_finish", match="crowded", times=1)
    with pytest.raises((errors.WaitTimeout, errors.BatchIncomplete)):
        task.attempt(timeout=3)
    assert emulator.most_at_once("crowded") <= 4


def test_an_intent_that_could_not_be_kept_is_not_kept_later(emulator: RunningEmulator) -> None:
    task = BatchTask("unkept", 3)
    kept, refused = task.store.set, list[str]()

    def refuse_once(key: str, value: Any, **more: Any) -> None:
        if not refused:
            refused.append(key)
            raise ConnectionError("no api-server")
        kept(key, value, **more)

    task.store.set = refuse_once  # type: ignore[method-assign]
    with pytest.raises(errors.RecordUnavailable):
        task.attempt()
    assert accepted(emulator) == 0
    assert task.attempt()["done"] == 3
    assert accepted(emulator) == 3


def test_it_runs_in_airflow_tasks_test_whose_try_is_number_zero(emulator: RunningEmulator) -> None:
    task = BatchTask("try zero", 3)
    task.try_number = -1
    assert task.attempt()["done"] == 3


def test_a_try_that_runs_twice_waits_for_what_the_first_run_submitted(emulator: RunningEmulator) -> None:
    task = BatchTask("twice", 3)
    operator, more = task.begin()
    with pytest.raises(TaskDeferred):
        operator.execute(more)  # type: ignore[arg-type]
    assert run_to_the_end(operator, **more)["done"] == 3
    assert accepted(emulator) == 3


@pytest.mark.parametrize("inputs", ['["as JSON {0}", "and {0}"]', "['as Python {0}', 'and {0}']"])
def test_inputs_may_be_a_text_that_a_template_made(emulator: RunningEmulator, inputs: str) -> None:
    assert BatchTask("", 0).attempt(inputs=inputs, defaults="{'resolution': '480p'}")["done"] == 2


def test_what_holds_a_template_however_deep_is_not_refused_at_parse() -> None:
    for more in (
        {"inputs": ["{{ params.prompt }}", "y"]},
        {"inputs": [{"prompt": "{{ params.prompt }}", "duration": "{{ params.duration }}"}]},
        {"inputs": ["x"], "defaults": {"resolution": "{{ params.resolution }}"}},
        {"inputs": [{"duration": 5}], "defaults": "{{ params.defaults }}"},
    ):
        PikaTextToVideoBatchOperator(task_id="batch", **more)


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 0, -1])
def test_a_timeout_that_is_none_is_refused_before_anything_is_paid(seconds: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        PikaTextToVideoBatchOperator(task_id="batch", inputs=["x"], timeout=seconds)


def test_without_the_state_of_airflow_3_3_nothing_is_submitted(emulator: RunningEmulator) -> None:
    task, more = BatchTask("too old", 3).begin()
    with pytest.raises(AirflowFailException, match="needs Airflow 3"):
        run_to_the_end(task, ti=more["ti"])
    assert emulator.counts()["submit"]["received"] == 0
