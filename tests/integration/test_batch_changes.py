"""What may change under a batch: its inputs, its connection, its worker; and what it still pays for once."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.batch.state import KEY as KEY_OF_PAGE
from airflow_provider_pika.batch.state import PAGES
from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from tests.integration.conftest import KEY, connect
from tests.support.airflow import event_of, run_to_the_end
from tests.support.batch import BatchTask, accepted
from tests.support.emulator import RunningEmulator


@pytest.fixture
def emulator(quick_emulator: RunningEmulator) -> RunningEmulator:
    return quick_emulator


def prompts_of(emulator: RunningEmulator, clips: list[dict[str, Any]], name: str) -> list[str]:
    sent = {request["request_id"]: request["input"]["prompt"] for request in emulator.requests(prompt=name)}
    return [sent[line["request_id"]] for line in clips]


CHANGES: dict[str, Callable[[list[str]], list[str]]] = {
    "grown at its head": lambda prompts: ["changing new 1", "changing new 2", *prompts],
    "grown at its end": lambda prompts: [*prompts, "changing new"],
    "one less at its head": lambda prompts: prompts[1:],
    "one less at its end": lambda prompts: prompts[:-1],
    "reversed": lambda prompts: prompts[::-1],
    "each there twice": lambda prompts: prompts * 2,
    "one in place of another": lambda prompts: [prompts[0], "changing new", *prompts[2:]],
    "another one altogether": lambda prompts: ["changing new 1", "changing new 2"],
}


@pytest.mark.parametrize("changed", CHANGES.values(), ids=CHANGES)
def test_a_list_that_changed_while_the_task_was_deferred_does_not_end_the_attempt(
    emulator: RunningEmulator, changed: Callable[[list[str]], list[str]]
) -> None:
    task = BatchTask("changing", 6, max_in_flight=3)
    operator, more, trigger = task.first_round()
    event = event_of(trigger)
    operator.inputs = changed(task.prompts)  # Airflow renders templates anew for each worker
    brought = run_to_the_end(operator, event=event, **more)
    assert prompts_of(emulator, brought["clips"], "changing") == operator.inputs
    assert {line["state"] for line in brought["clips"]} == {"done"}
    assert accepted(emulator) == len(operator.inputs) + len(set(task.prompts[:3]) - set(operator.inputs))
    assert emulator.most_at_once("changing") <= 3


def test_a_list_that_grows_at_its_head_with_every_worker_costs_one_submission_for_each_input(
    emulator: RunningEmulator,
) -> None:
    task, prompts = BatchTask("newest first", 12, max_in_flight=3), [f"newest first {n:05d}" for n in range(12)]
    for number in range(4):  # attempts, each of which ends in the middle
        operator, more, trigger = task.first_round()
        for _ in range(2):
            event = event_of(trigger)
            prompts.insert(0, f"newest first new {number} {len(prompts)}")
            operator.inputs = list(prompts)
            try:
                operator.execute_complete(more, event)  # type: ignore[arg-type]
            except TaskDeferred as deferred:
                trigger = deferred.trigger
        task.arguments["inputs"] = list(prompts)
    brought = task.attempt()
    assert prompts_of(emulator, brought["clips"], "newest first") == prompts
    assert accepted(emulator) == len(prompts)


def test_an_input_that_goes_and_comes_back_is_taken_up_again(emulator: RunningEmulator) -> None:
    task = BatchTask("back again", 4, max_in_flight=4)
    operator, more, trigger = task.first_round()
    event = event_of(trigger)
    operator.inputs = task.prompts[:1]
    brought = run_to_the_end(operator, event=event, **more)
    assert brought["total"] == brought["done"] == 1
    assert task.attempt()["done"] == 4
    assert accepted(emulator) == 4


def test_an_endless_request_of_an_input_that_has_gone_does_not_hold_the_batch(emulator: RunningEmulator) -> None:
    emulator.fault("never_finish", match="unwanted 00000", times=1)
    task = BatchTask("unwanted", 4, max_in_flight=2)
    operator, more, trigger = task.first_round()
    event = event_of(trigger)
    operator.inputs = task.prompts[1:]
    assert run_to_the_end(operator, event=event, **more)["done"] == 3
    assert emulator.most_at_once("unwanted") <= 2
    [endless] = emulator.requests(prompt="unwanted 00000")
    assert endless["request_id"] in "".join(task.store.values.values())
    cancel(emulator, endless["request_id"])


def cancel(emulator: RunningEmulator, request_id: str) -> None:
    emulator.client().put(f"/fal-ai/pika/requests/{request_id}/cancel", headers={"Authorization": f"Key {KEY}"})


def test_a_list_that_grew_too_long_to_go_without_a_manifest_submits_no_more_and_loses_nothing(
    emulator: RunningEmulator,
) -> None:
    task = BatchTask("grown", 4, max_in_flight=2)
    operator, more, trigger = task.first_round()
    event = event_of(trigger)
    operator.inputs = [*task.prompts, *(f"grown new {n}" for n in range(100))]
    with pytest.raises(AirflowFailException, match="manifest_path=None is not allowed for 104 inputs"):
        run_to_the_end(operator, event=event, **more)
    assert task.ti.xcoms["manifest"]["done"] == accepted(emulator) == 2
    task.clear()
    assert task.attempt()["done"] == 4
    assert accepted(emulator) == 4


@pytest.mark.parametrize("reordered", [False, True], ids=["in place", "reordered"])
@pytest.mark.parametrize(
    ("inputs", "wrong"),
    [
        ([], "inputs has no items"),
        ("", "inputs='' is not allowed"),
        (["a fox", {"prompt": "a cat", "duration": 7}], "1 of 2 inputs are wrong"),
    ],
    ids=["empty", "nothing rendered", "a bad row"],
)
def test_a_list_that_became_invalid_submits_no_more_and_loses_nothing(
    emulator: RunningEmulator, inputs: Any, wrong: str, reordered: bool
) -> None:
    task = BatchTask("invalid", 6, max_in_flight=2)
    operator, more, trigger = task.first_round()
    if reordered:
        operator.inputs = task.prompts[::-1]
        with pytest.raises(TaskDeferred) as deferred:
            operator.execute_complete(more, event_of(trigger))  # type: ignore[arg-type]
        trigger = deferred.value.trigger
    carried = trigger.carried  # type: ignore[attr-defined]
    operator.inputs = inputs
    before, nothing_ended = accepted(emulator), {"carried": carried, "ended": [], "seen": {}, "trouble": None}
    with pytest.raises(AirflowFailException, match=f"{re.escape(wrong)}.*The requests in flight were waited for"):
        run_to_the_end(operator, event=nothing_ended, **more)
    assert accepted(emulator) == before
    summary = task.ti.xcoms["manifest"]
    assert summary["done"] == sum(line["state"] == "done" for line in summary["clips"]) == before
    assert summary["total"] == len(summary["clips"]) == (before if reordered else 6)
    task.clear()
    assert task.attempt()["done"] == accepted(emulator) == 6


def test_an_ending_is_on_record_even_if_the_worker_that_is_told_can_do_nothing_else(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = BatchTask("told in vain", 2, max_in_flight=2)
    operator, more, trigger = task.first_round()
    event = event_of(trigger)
    operator.inputs = []
    with pytest.raises(AirflowFailException, match="inputs has no items"):
        operator.execute_complete(more, event)  # type: ignore[arg-type]
    assert sum(value.count('"video"') for value in task.store.values.values()) == len(event["ended"])


def test_an_event_that_is_told_twice_since_a_worker_died_is_counted_once(emulator: RunningEmulator) -> None:
    task = BatchTask("told twice", 6, max_in_flight=3)
    operator, more, trigger = task.first_round()
    event = event_of(trigger)
    with pytest.raises(TaskDeferred):
        operator.execute_complete(more, event)  # type: ignore[arg-type]
    brought = run_to_the_end(operator, event=event, **more)
    assert brought["total"] == brought["done"] == accepted(emulator) == 6


def test_a_record_that_was_lost_while_the_task_was_deferred_is_never_paid_for_again(emulator: RunningEmulator) -> None:
    task = BatchTask("lost record", 6, max_in_flight=3)
    operator, more, trigger = task.first_round()
    event = event_of(trigger)
    task.store.values.clear()
    with pytest.raises(AirflowFailException, match="no record of requests that were waited for"):
        operator.execute_complete(more, event)  # type: ignore[arg-type]
    assert accepted(emulator) == 3


@pytest.mark.parametrize("inputs", [12, 400])
def test_the_triggers_row_has_request_ids_only_however_long_and_shuffled_the_list_is(
    emulator: RunningEmulator, tmp_path: Path, inputs: int
) -> None:
    task = BatchTask("short rows", inputs, max_in_flight=3, manifest_path=str(tmp_path / "manifest.jsonl"))
    operator, more, trigger = task.first_round()
    event = event_of(trigger)
    operator.inputs = random.Random(1).sample(task.prompts, inputs)
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute_complete(more, event)  # type: ignore[arg-type]
    _, kwargs = deferred.value.trigger.serialize()
    assert len(json.dumps(kwargs["carried"])) < 1000
    assert all(isinstance(request_id, str) for request_id in kwargs["carried"]["in_flight"])
    assert len(json.dumps(event["carried"])) < 1000


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
        if key == KEY_OF_PAGE.format(0) and not refused:
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


def as_an_earlier_version_had_it(task: BatchTask, event: dict[str, Any]) -> dict[str, Any]:
    """Turn what is kept of a task, and its event, into what earlier versions wrote."""
    del task.store.values[PAGES]
    ids = event["carried"]["in_flight"]
    carried = {**event["carried"], "slots": None, "in_flight": [list(pair) for pair in enumerate(ids)]}
    del carried["in_place"], carried["gone"]
    ended = [[ids.index(request_id), ending] for request_id, ending in event["ended"]]
    return {**event, "carried": carried, "ended": ended, "seen": {}}


@pytest.mark.parametrize("grows", [False, True], ids=["as it was", "grown at its head"])
@pytest.mark.parametrize("deferred", [True, False], ids=["while deferred", "between attempts"])
def test_an_upgrade_in_the_middle_of_a_batch_costs_nothing(
    emulator: RunningEmulator, deferred: bool, grows: bool
) -> None:
    task = BatchTask("upgraded", 6, max_in_flight=3)
    operator, more, trigger = task.first_round()
    event = as_an_earlier_version_had_it(task, event_of(trigger))
    inputs = ["upgraded new", *task.prompts] if grows else task.prompts
    operator.inputs = inputs
    brought = run_to_the_end(operator, event=event, **more) if deferred else task.attempt(inputs=inputs)
    assert prompts_of(emulator, brought["clips"], "upgraded") == inputs
    assert accepted(emulator) == len(inputs)


def test_records_that_an_earlier_version_wrote_far_beyond_the_lists_end_are_found(emulator: RunningEmulator) -> None:
    task = BatchTask("far away", 2)
    task.attempt()
    page = json.loads(task.store.values.pop(KEY_OF_PAGE.format(0)))
    del task.store.values[PAGES]
    first, second = page["items"]["0"], page["items"]["1"]
    task.store.set(KEY_OF_PAGE.format(0), {**page, "items": {"0": first}})
    task.store.set(KEY_OF_PAGE.format(240), {**page, "items": {"12000": second}})
    task.clear()
    assert task.attempt()["done"] == 2
    task.clear()
    assert task.attempt(inputs=["far away new", *task.prompts])["done"] == 3
    assert accepted(emulator) == 3


def test_names_that_come_change_or_go_cost_nothing(emulator: RunningEmulator) -> None:
    task = BatchTask("named", 3)
    first = task.attempt()["clips"]
    assert [(line["name"], line["prompt"]) for line in first] == [(None, prompt) for prompt in task.prompts]
    for names in (["a", "b", "c"], ["c", "a", None]):
        inputs = [{"prompt": prompt, "name": name} for prompt, name in zip(task.prompts, names, strict=True)]
        lines = task.attempt(inputs=inputs)["clips"]
        assert [line["name"] for line in lines] == names
        assert [line["request_id"] for line in lines] == [line["request_id"] for line in first]
    assert accepted(emulator) == 3
    assert not [request for request in emulator.requests(prompt="named") if "name" in request["input"]]


def test_a_line_says_what_was_sent_and_a_refusal_is_a_warning_in_fals_words(
    emulator: RunningEmulator, capsys: Any, caplog: Any
) -> None:
    inputs: list[Any] = [
        {"prompt": "told 0", "name": "sku-0", "seed": 7},
        {"prompt": "told 1 [[content_policy_violation]]", "name": "sku-1"},
        "told 2",
    ]
    task = BatchTask("told", 1, inputs=inputs, fail_on=0.5, defaults={"resolution": "480p"})
    lines = task.attempt()["clips"]
    sent = {request["request_id"]: request["input"] for request in emulator.requests(prompt="told")}
    assert [line["input"] for line in lines] == [sent[line["request_id"]] for line in lines]
    assert [line["seed"] for line in lines] == [line["input"]["seed"] for line in lines]
    assert [line["name"] for line in lines] == ["sku-0", "sku-1", None]
    assert lines[1]["state"] == "failed"
    said = capsys.readouterr().out or caplog.text
    [warned] = [line for line in said.splitlines() if "Item 1 (sku-1): " in line]
    assert "warning" in warned.lower()
    assert "flagged by a content checker" in warned
    assert lines[1]["request_id"] in warned


def test_an_input_that_is_too_large_for_airflows_database_stays_in_the_manifest(
    emulator: RunningEmulator, tmp_path: Path
) -> None:
    inputs = [{"prompt": "large", "extra_arguments": {"image": "x" * 100_000}}]
    brought = BatchTask("large", 1, inputs=inputs, manifest_path=f"{tmp_path}/x.jsonl").attempt()
    assert (brought["clips"][0]["prompt"], brought["clips"][0]["input"]) == ("large", None)
    [line] = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert len(line["input"]["image"]) == 100_000
