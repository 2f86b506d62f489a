"""Many videos in one task, against an emulator that renders nothing: what is paid for, and what comes back."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.fal import lookup
from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from airflow_provider_pika.task.kill import Fate
from tests.integration.conftest import KEY
from tests.support.airflow import StateStore, event_of
from tests.support.batch import BatchTask, WorkerCrash, accepted
from tests.support.emulator import RunningEmulator
from tests.support.versions import KEEPS_TASK_STATE

pytestmark = pytest.mark.skipif(not KEEPS_TASK_STATE, reason="a batch needs the task state of Airflow 3.3")


@pytest.fixture
def emulator(quick_emulator: RunningEmulator) -> RunningEmulator:
    return quick_emulator


def test_every_input_has_its_line_in_the_order_of_the_inputs(emulator: RunningEmulator) -> None:
    task = BatchTask("in order", 12)
    brought = task.attempt()
    assert {name: brought[name] for name in ("total", "done", "failed", "manifest")} == {
        "total": 12, "done": 12, "failed": 0, "manifest": None,
    }  # fmt: skip
    sent = {request["request_id"]: request["input"]["prompt"] for request in emulator.requests(prompt="in order")}
    assert [sent[line["request_id"]] for line in brought["clips"]] == task.prompts
    assert [line["index"] for line in brought["clips"]] == list(range(12))
    assert all(line["url"].startswith("http") and line["state"] == "done" for line in brought["clips"])
    assert accepted(emulator) == 12


def test_never_more_are_unfinished_than_was_allowed(emulator: RunningEmulator) -> None:
    BatchTask("not too many", 23, max_in_flight=4).attempt()
    assert emulator.most_at_once("not too many") <= 4
    assert accepted(emulator) == 23


def test_the_trigger_submits_nothing(emulator: RunningEmulator) -> None:
    task, more = BatchTask("read only", 9, max_in_flight=4).begin()
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(more)  # type: ignore[arg-type]
    before = accepted(emulator)
    event = event_of(deferred.value.trigger)
    assert event["ended"]
    assert accepted(emulator) == before == 4


def test_all_wrong_inputs_are_named_at_once_and_nothing_is_sent(emulator: RunningEmulator) -> None:
    inputs = ["good", "", {"prompt": "long", "duration": 7}, {"prompt": "typo", "resolutoin": "480p"}, 5]
    with pytest.raises(AirflowFailException) as failed:
        BatchTask("", 0).attempt(inputs=json.dumps(inputs))
    for words in ("4 of 5", "item 1: prompt=''", "item 2: duration=7", "item 3: resolutoin='480p'", "item 4:"):
        assert words in str(failed.value)
    assert emulator.counts()["submit"]["received"] == 0


def test_a_wrong_literal_is_refused_when_the_dag_is_parsed() -> None:
    with pytest.raises(AirflowFailException, match="item 1: prompt=''"):
        PikaTextToVideoBatchOperator(task_id="batch", inputs=["fine", ""])


WRONG: list[dict[str, Any]] = [
    {"max_in_flight": 0}, {"fail_on": "some"}, {"fail_on": 2}, {"on_clear": "maybe"}, {"inputs": []},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_wrong_argument_is_refused_when_the_dag_is_parsed(wrong: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"inputs": ["fine"], **wrong}
    with pytest.raises(AirflowFailException, match=next(iter(wrong))):
        PikaTextToVideoBatchOperator(task_id="batch", **arguments)


def test_defaults_hold_where_an_item_has_none_of_its_own(emulator: RunningEmulator) -> None:
    inputs = ["plain with defaults", {"prompt": "own with defaults", "duration": "10", "seed": 5}]
    BatchTask("", 0).attempt(
        inputs=inputs, defaults={"resolution": "480p", "extra_arguments": {"aspect_ratio": "9:16"}}
    )
    sent = {request["input"]["prompt"]: request["input"] for request in emulator.requests(prompt="with defaults")}
    assert sent["plain with defaults"]["duration"] == 5
    assert sent["own with defaults"]["duration"] == 10
    assert sent["own with defaults"]["seed"] == 5
    assert {(one["resolution"], one["aspect_ratio"]) for one in sent.values()} == {("480p", "9:16")}


@pytest.mark.parametrize("writes", [1, 2, 3, 5, 8])
def test_a_worker_that_dies_at_any_time_costs_no_second_submission(emulator: RunningEmulator, writes: int) -> None:
    task = BatchTask(f"crash after {writes}", 10, max_in_flight=3)
    task.store.crash_after = writes
    with pytest.raises(WorkerCrash):
        task.attempt()
    try:
        brought = task.attempt()
    except AirflowFailException as unknown:  # it died between an intent and its POST: a person decides, and clears
        print(f"{writes}: {unknown}")
        task.clear()
        brought = task.attempt()
    assert brought["done"] == 10
    assert accepted(emulator) == 10
    assert len(emulator.requests(prompt=f"crash after {writes} ")) == 10


def test_a_failed_clip_does_not_stop_the_others_and_a_retry_submits_only_what_it_may_help(
    emulator: RunningEmulator,
) -> None:
    emulator.fault("content_policy_violation", match="one of 00002", times=9)
    emulator.fault("runner_error", match="one of 00004")
    task = BatchTask("one of", 8)
    with pytest.raises(errors.BatchIncomplete) as incomplete:
        task.attempt()
    assert "2 of 8 clips failed" in str(incomplete.value)
    assert "item 2:" in str(incomplete.value)
    assert task.ti.xcoms["manifest"]["done"] == 6
    assert task.ti.xcoms["manifest"]["clips"][2]["error_type"] == "content_policy_violation"
    with pytest.raises(AirflowFailException, match="1 of 8 clips failed: item 2"):
        task.attempt()
    assert accepted(emulator) == 9


@pytest.mark.parametrize(
    ("fail_on", "fails"), [("any", True), ("all", False), (0.1, True), (0.25, False), (0.5, False), (0, True)]
)
def test_as_many_failures_as_are_allowed_fail_nothing(emulator: RunningEmulator, fail_on: Any, fails: bool) -> None:
    emulator.fault("content_policy_violation", match="allowed 00001", times=9)
    task = BatchTask("allowed", 4, fail_on=fail_on)
    if fails:
        with pytest.raises(AirflowFailException, match="1 of 4"):
            task.attempt()
    else:
        assert task.attempt()["failed"] == 1


def test_all_failed_is_a_failure_whatever_is_allowed_below_that(emulator: RunningEmulator) -> None:
    emulator.fault("content_policy_violation", match="hopeless", times=9)
    with pytest.raises(AirflowFailException, match="3 of 3"):
        BatchTask("hopeless", 3, fail_on="all").attempt()


def test_a_clear_submits_what_failed_and_leaves_what_is_done(emulator: RunningEmulator) -> None:
    emulator.fault("content_policy_violation", match="cleared 00001", times=1)
    task = BatchTask("cleared", 4)
    with pytest.raises(AirflowFailException):
        task.attempt()
    task.clear()
    assert task.attempt()["done"] == 4
    assert accepted(emulator) == 5
    task.clear()
    assert task.attempt(on_clear="resubmit")["done"] == 4
    assert accepted(emulator) == 9


def test_an_input_that_changed_is_submitted_and_the_others_are_not(emulator: RunningEmulator) -> None:
    task = BatchTask("edited", 4)
    first = task.attempt()
    task.clear()
    second = task.attempt(inputs=[*task.prompts[:3], "edited anew"])
    assert accepted(emulator) == 5
    assert [line["request_id"] for line in first["clips"][:3]] == [line["request_id"] for line in second["clips"][:3]]


def test_an_account_without_balance_stops_the_batch_and_keeps_what_was_paid(emulator: RunningEmulator) -> None:
    emulator.fault("locked", match="spent 00006", times=9)
    task = BatchTask("spent", 30, max_in_flight=4)
    with pytest.raises(AirflowFailException, match="Exhausted balance"):
        task.attempt()
    submitted = accepted(emulator)
    assert submitted < 12
    assert task.ti.xcoms["manifest"]["done"] == submitted
    emulator.clear_faults()
    assert task.attempt()["done"] == 30
    assert accepted(emulator) == 30


def test_what_passes_is_tried_again_in_the_next_round(emulator: RunningEmulator) -> None:
    emulator.fault("http_500", match="busy 00005", times=4)
    brought = BatchTask("busy", 9, max_in_flight=3).attempt()
    assert brought["done"] == 9
    assert accepted(emulator) == 9


def test_a_lost_reply_is_found_again_and_not_paid_twice(emulator: RunningEmulator) -> None:
    emulator.fault("lost_reply", match="unheard", times=2)
    brought = BatchTask("unheard", 6).attempt()
    assert brought["done"] == 6
    assert len(emulator.requests(prompt="unheard ")) == 6


def test_replies_that_are_lost_one_after_the_other_stop_the_batch(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "SEARCH_PAUSES", (0.01,))  # how often each is searched for is not told here
    emulator.fault("http_502", match="swallowed", times=99)
    task = BatchTask("swallowed", 60, max_in_flight=50)
    with pytest.raises(AirflowFailException, match="may be running and may be charged"):
        task.attempt()
    assert emulator.counts()["submit"]["received"] < 40


def test_more_than_a_hundred_clips_go_into_a_file(emulator: RunningEmulator, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "clips.jsonl"
    brought = BatchTask("many", 120, max_in_flight=60, manifest_path=str(path)).attempt()
    assert brought["clips"] is None
    assert brought["manifest"] == str(path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["index"] for line in lines] == list(range(120))
    assert all(line["state"] == "done" for line in lines)


@pytest.mark.parametrize("path", [None, "/proc/no/such/place.jsonl"])
def test_a_batch_whose_manifest_has_no_place_costs_nothing(emulator: RunningEmulator, path: str | None) -> None:
    with pytest.raises((AirflowFailException, errors.RecordUnavailable), match="manifest"):
        BatchTask("no place", 101, manifest_path=path).attempt()
    assert emulator.counts()["submit"]["received"] == 0


def test_when_the_time_is_up_a_retry_goes_on_and_pays_for_nothing_twice(emulator: RunningEmulator) -> None:
    emulator.fault("never_finish", match="too slow 00000", times=1)
    task = BatchTask("too slow", 4, max_in_flight=2)
    with pytest.raises(errors.WaitTimeout, match=r"3 done, 0 failed, 1 in flight, 0 queued of 4"):
        task.attempt(timeout=3)
    [endless] = [request for request in emulator.requests(prompt="too slow 00000") if request["state"] != "COMPLETED"]
    emulator.client().put(
        f"/fal-ai/pika/requests/{endless['request_id']}/cancel", headers={"Authorization": f"Key {KEY}"}
    )
    assert task.attempt()["done"] == 4
    assert accepted(emulator) == 5  # what a person cancelled is submitted again


def test_a_state_that_cannot_be_written_stops_it_before_anything_is_posted(emulator: RunningEmulator) -> None:
    task = BatchTask("no state", 3)

    def refuse(key: str, value: Any, **_: Any) -> None:
        raise ConnectionError("no api-server")

    task.store.set = refuse  # type: ignore[method-assign]
    with pytest.raises(errors.RecordUnavailable, match="no api-server"):
        task.attempt()
    assert emulator.counts()["submit"]["received"] == 0


def test_a_worker_that_is_killed_submits_no_more_and_cancels_what_is_under_way(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_pika.task.kill.ask_in_worker", lambda ti: Fate.KILLED)
    emulator.fault("never_finish", match="killed", times=99)
    task = BatchTask("killed", 20, max_in_flight=10)
    operator, more = task.begin()
    store, submissions = more["task_state_store"], 0

    def kill_at_the_third(key: str, value: Any, **_: Any) -> None:
        nonlocal submissions
        StateStore.set(store, key, value)
        submissions = json.dumps(value).count('"submitted"')
        if submissions >= 3 and not operator._killing.fired:
            operator.on_kill()

    store.set = kill_at_the_third
    with pytest.raises((errors.TryLater, TaskDeferred)):
        operator.execute(more)  # type: ignore[arg-type]
    requests = emulator.requests(prompt="killed ")
    assert len(requests) < 20
    assert any(request["state"] == "COMPLETED" for request in requests)


def test_the_log_tells_how_far_it_has_come_and_how_long_it_will_take(
    emulator: RunningEmulator, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    BatchTask("told", 12, max_in_flight=4).attempt()
    told = re.findall(
        r"Batch: ([^\[\n]*[^\[\n ])", capsys.readouterr().out or caplog.text
    )  # as Airflow's logging is set up
    assert told[0] == "0 done, 0 failed, 4 in flight, 8 queued of 12"
    assert re.search(r"\d+ done, 0 failed, \d+ in flight, \d+ queued of 12; about .+ left$", told[1])
    assert told[-1].startswith("12 done, 0 failed, 0 in flight, 0 queued of 12")
