"""A batch that saves its clips as it goes: soon, once, and never at the cost of the batch."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.batch import early_saves
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.hooks.pika import PikaHook
from airflow_provider_pika.media import http_range
from airflow_provider_pika.operators import _saving
from airflow_provider_pika.operators import batch as batch_operator
from airflow_provider_pika.saving import batch as saving_batch
from airflow_provider_pika.transfers.batch_to_object_storage import PikaBatchToObjectStorageOperator
from tests.integration.test_saving_batch import fetched, sha256
from tests.support.airflow import event_of
from tests.support.batch import BatchTask, WorkerCrash, accepted
from tests.support.emulator import RunningEmulator
from tests.support.s3 import RunningS3
from tests.support.saving import SavingInstance, metadata_beside, names_in
from tests.support.versions import KEEPS_TASK_STATE

pytestmark = pytest.mark.skipif(not KEEPS_TASK_STATE, reason="a batch needs the task state of Airflow 3.3")


@pytest.fixture
def emulator(quick_emulator: RunningEmulator) -> RunningEmulator:
    quick_emulator.reset_file_requests()
    return quick_emulator


@pytest.fixture(autouse=True)
def undrawn_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    terms = partial(_saving.saving_terms_of, must_fit=False)  # the emulator has drawn none of them
    monkeypatch.setattr(batch_operator, "saving_terms_of", terms)
    monkeypatch.setattr(http_range, "PAUSES", tuple(seconds / 100 for seconds in http_range.PAUSES))


class SavingTask(BatchTask):
    """A batch that saves as it goes; its task instance is one of a Dag run."""

    def begin(self, **arguments: Any) -> tuple[Any, dict[str, Any]]:
        task, more = super().begin(**arguments)
        self.ti.__dict__.update(dag_id="clips", run_id="manual__1", task_id="batch")
        return task, more


def batch_to(path: str, name: str, size: int, **arguments: Any) -> SavingTask:
    return SavingTask(name, size, save_to=path, **arguments)


def saved_after(batch: dict[str, Any], path: str, **arguments: Any) -> dict[str, Any]:
    """Run the operator that saves, behind the batch, with the same path."""
    options = {"must_fit": False, **arguments}
    save = PikaBatchToObjectStorageOperator(task_id="save", batch=batch, path=path, **options)
    return save.execute({"ti": SavingInstance(), "outlet_events": {}})  # type: ignore[typeddict-item]


def said_by(capsys: Any, caplog: Any) -> str:
    """Return the log so far, as Airflow's logging is set up."""
    return str(capsys.readouterr().out or caplog.text)


def resumed_to_the_end(operator: Any, more: dict[str, Any], trigger: Any) -> Any:
    """Resume a deferred task as often as it takes."""
    while True:
        try:
            return operator.execute_complete(more, event_of(trigger))
        except TaskDeferred as deferred:
            trigger = deferred.trigger


def clips_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.mp4"))


def test_a_clip_is_saved_by_the_next_worker_while_others_are_still_to_be_submitted(
    emulator: RunningEmulator, tmp_path: Path
) -> None:
    task = batch_to(f"{tmp_path}/{{index}}.mp4", "early", 12, max_in_flight=4)
    operator, more, trigger = task.first_round()
    assert clips_in(tmp_path) == []
    with pytest.raises(TaskDeferred):
        operator.execute_complete(more, event_of(trigger))  # type: ignore[arg-type]
    there = clips_in(tmp_path)
    assert 1 <= len(there) <= 4
    for path in there:
        metadata = metadata_beside(path)
        assert metadata["sha256"] == sha256(path)
        assert (metadata["prompt"], metadata["task_id"]) == (f"early {int(path.stem):05d}", "batch")
        assert Path(f"{path}.jpg").exists()
    assert accepted(emulator) > 4


def test_the_queue_is_full_again_before_a_worker_saves(
    emulator: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_flight = []
    run = saving_batch.BatchSave.run

    def seen(saving: saving_batch.BatchSave) -> None:
        in_flight.append(accepted(emulator))
        run(saving)

    monkeypatch.setattr(saving_batch.BatchSave, "run", seen)
    batch_to(f"{tmp_path}/{{index}}.mp4", "full", 9, max_in_flight=3).attempt()
    assert in_flight[0] > 3
    assert in_flight[-1] == 9


def test_the_saving_task_after_it_finds_every_clip_and_fetches_none(emulator: RunningEmulator, tmp_path: Path) -> None:
    path = f"{tmp_path}/{{name}}-{{seed}}.mp4"
    items = [{"prompt": f"found {n}", "name": f"sku-{n}"} for n in range(12)]
    brought = batch_to(path, "found", 12, inputs=items).attempt()
    assert len(clips_in(tmp_path)) == 12
    assert saved_after(brought, path)["saved"] == 12
    assert list(fetched(emulator).values()) == [1] * 12
    assert len(names_in(tmp_path)) == 3 * 12


def test_a_bucket_takes_the_clips_by_the_connection_in_the_path(
    emulator: RunningEmulator, s3: RunningS3, tmp_path: Path
) -> None:
    brought = batch_to("s3://clips_store@clips/early/{index:05d}.mp4", "bucket", 5).attempt()
    assert len([key for key in s3.objects() if re.fullmatch(r"early/\d{5}\.mp4", key)]) == 5
    assert saved_after(brought, "s3://clips/early/{index:05d}.mp4", conn_id="clips_store")["saved"] == 5
    assert list(fetched(emulator).values()) == [1] * 5


def test_clips_that_cannot_be_saved_are_one_warning_and_cost_the_batch_nothing(
    emulator: RunningEmulator, tmp_path: Path, capsys: Any, caplog: Any
) -> None:
    path = f"{tmp_path}/{{index}}.mp4"
    for n in (2, 3):
        emulator.fault("http_404", on="file", match=f"lost 0000{n}", times=99)
    brought = batch_to(path, "lost", 5).attempt()
    assert brought["done"] == 5
    assert [each.name for each in clips_in(tmp_path)] == ["0.mp4", "1.mp4", "4.mp4"]
    warned = re.findall(r"Saving as the batch goes: .*", said_by(capsys, caplog))
    assert sum("could not be saved: Clip" in line for line in warned) == len(warned) <= 2
    emulator.clear_faults()
    emulator.reset_file_requests()
    assert saved_after(brought, path)["saved"] == 5
    assert sum(fetched(emulator).values()) == 2


@pytest.mark.parametrize("fault", ["no folder", "no bucket", "no such store", "another clip's"])
def test_a_store_that_takes_nothing_is_a_warning_and_then_left_alone(
    emulator: RunningEmulator, tmp_path: Path, capsys: Any, caplog: Any, fault: str
) -> None:
    for n in range(8):
        (tmp_path / f"{n}.mp4").write_bytes(b"theirs")
        (tmp_path / f"{n}.mp4.json").write_text("{}")
    path = {
        "no folder": "/proc/none/{index}.mp4",
        "no bucket": "s3://nobody@none/{index}.mp4",
        "no such store": "nostore://none/{index}.mp4",
        "another clip's": f"{tmp_path}/{{index}}.mp4",
    }[fault]
    brought = batch_to(path, "nowhere", 8, max_in_flight=2).attempt()
    assert (brought["done"], accepted(emulator)) == (8, 8)
    warned = re.findall(r"Saving as the batch goes: .*", said_by(capsys, caplog))
    assert len(warned) >= 1 if fault == "another clip's" else len(warned) == 1


def test_a_host_that_hangs_ends_neither_the_batch_nor_its_pace(
    emulator: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.fault("stall_midway", bytes=500, seconds=60, match="hangs", times=99)
    began = time.monotonic()
    task = batch_to(f"{tmp_path}/{{index}}.mp4", "hangs", 8, max_in_flight=2)
    with monkeypatch.context() as patch:
        patch.setattr(early_saves, "SAVES_FOR", 0.5)
        assert task.attempt()["done"] == 8
    assert time.monotonic() - began < 25
    assert names_in(tmp_path) == []
    emulator.clear_faults()
    task.clear()
    assert task.attempt()["done"] == 8  # a clear saves what is missing
    assert len(clips_in(tmp_path)) == 8
    assert accepted(emulator) == 8


def test_a_store_that_hangs_ends_neither_the_batch_nor_its_pace(
    emulator: RunningEmulator, s3: RunningS3, monkeypatch: pytest.MonkeyPatch, capsys: Any, caplog: Any
) -> None:
    monkeypatch.setattr(early_saves, "SAVES_FOR", 0.5)
    path = "s3://clips_store@clips/stuck/{index}.mp4"
    began = time.monotonic()
    with s3.stopped():
        brought = batch_to(path, "stuck", 8, max_in_flight=2).attempt()
    assert brought["done"] == 8
    assert time.monotonic() - began < 20
    assert said_by(capsys, caplog).count("Within 0 s, none was saved") == 1
    assert saved_after(brought, path)["saved"] == 8


def test_what_there_was_no_time_for_is_saved_by_the_next_worker(
    emulator: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = batch_to(f"{tmp_path}/{{index}}.mp4", "later", 6, max_in_flight=3)
    save, calls = saving_batch._Worker._save, []

    def slow(worker: Any, place: int, line: Any, path: str) -> None:
        calls.append(line["index"])
        if calls.count(line["index"]) == 1 and line["index"] == 0:
            worker._batch.sleep(60)
        save(worker, place, line, path)

    monkeypatch.setattr(early_saves, "SAVES_FOR", 4.0)
    monkeypatch.setattr(saving_batch._Worker, "_save", slow)
    monkeypatch.setattr(early_saves, "PAUSE", 0.0)
    assert task.attempt()["done"] == 6
    assert Counter(calls)[0] == 2
    assert len(clips_in(tmp_path)) == 6
    assert set(fetched(emulator).values()) == {1}


def test_a_clip_that_lands_just_after_the_time_is_up_counts(
    emulator: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, caplog: Any
) -> None:
    from airflow_provider_pika.saving.lookup import land

    def slow(*given: Any) -> Any:
        outcome = land(*given)
        time.sleep(2.0)
        return outcome

    monkeypatch.setattr(early_saves, "SAVES_FOR", 1.0)
    monkeypatch.setattr(saving_batch, "land", slow)
    batch_to(f"{tmp_path}/{{index}}.mp4", "just after", 1).attempt()
    said = said_by(capsys, caplog)
    assert "none was saved" not in said
    assert "Saved as the batch goes: 1 saved" in said


def test_clips_that_are_left_over_in_the_end_are_told_of(
    emulator: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, caplog: Any
) -> None:
    monkeypatch.setattr(early_saves, "SAVES_FOR", 0.0)
    assert batch_to(f"{tmp_path}/{{index}}.mp4", "left over", 3).attempt()["done"] == 3
    assert "3 clips that ended are not saved to save_to" in said_by(capsys, caplog)


def test_a_clear_with_another_place_saves_there(emulator: RunningEmulator, tmp_path: Path) -> None:
    task = batch_to(f"{tmp_path}/{{index}}.mp4", "elsewhere", 3)
    task.attempt()
    task.clear()
    task.attempt(save_to=f"{tmp_path}/there/{{index}}.mp4")
    assert len(clips_in(tmp_path / "there")) == 3
    assert accepted(emulator) == 3


def test_no_clip_is_saved_when_the_attempts_time_is_up(emulator: RunningEmulator, tmp_path: Path) -> None:
    emulator.fault("never_finish", match="too slow 00000", times=1)
    task = batch_to(f"{tmp_path}/{{index}}.mp4", "too slow", 4, max_in_flight=2)
    with pytest.raises(errors.WaitTimeout):
        task.attempt(timeout=3)
    assert clips_in(tmp_path) == []
    [endless] = [one for one in emulator.requests(prompt="too slow 00000") if one["state"] != "COMPLETED"]
    PikaHook().cancel(TEXT_TO_VIDEO, endless["request_id"])
    assert task.attempt()["done"] == 4
    assert len(clips_in(tmp_path)) == 4


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_that_dies_while_it_saves_costs_no_clip_and_no_second_fetch(
    emulator: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    task = batch_to(f"{tmp_path}/{{index}}.mp4", f"dies {when}", 8)
    with monkeypatch.context() as patch:
        patch.setattr(early_saves, "_save" if when == "before" else "_note_saved", _crash)
        with pytest.raises(WorkerCrash):
            task.attempt()
    assert bool(clips_in(tmp_path)) == (when == "after")
    assert task.attempt()["done"] == 8
    assert len(clips_in(tmp_path)) == 8
    assert accepted(emulator) == 8
    assert set(fetched(emulator).values()) == {1}


def _crash(*_: object) -> None:
    raise WorkerCrash


def test_a_worker_that_is_told_to_stop_while_it_saves_ends_its_task(
    emulator: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = batch_to(f"{tmp_path}/{{index}}.mp4", "told", 8, max_in_flight=2)
    operator, more, trigger = task.first_round()
    run = saving_batch.BatchSave.run

    def killed(saving: saving_batch.BatchSave) -> None:
        operator.on_kill()
        run(saving)

    with monkeypatch.context() as patch:
        patch.setattr(saving_batch.BatchSave, "run", killed)
        with pytest.raises(errors.TryLater, match="told to stop"):
            operator.execute_complete(more, event_of(trigger))  # type: ignore[arg-type]
    assert task.attempt()["done"] == 8
    assert len(clips_in(tmp_path)) == 8


def test_a_retry_and_a_clear_with_reuse_save_what_is_missing_and_fetch_nothing_twice(
    emulator: RunningEmulator, tmp_path: Path
) -> None:
    emulator.fault("runner_error", match="again 00002")
    task = batch_to(f"{tmp_path}/{{index}}.mp4", "again", 5)
    with pytest.raises(errors.BatchIncomplete):
        task.attempt()
    assert len(clips_in(tmp_path)) == 4
    task.attempt()
    task.clear()
    task.attempt()
    assert len(clips_in(tmp_path)) == 5
    assert set(fetched(emulator).values()) == {1}


@pytest.mark.parametrize("field", ["index", "name"])
def test_a_list_that_changes_while_it_is_deferred_ends_no_attempt_and_a_name_keeps_its_file(
    emulator: RunningEmulator, tmp_path: Path, field: str, capsys: Any, caplog: Any
) -> None:
    path = f"{tmp_path}/{{{field}}}.mp4"
    items = [{"prompt": f"moves {n}", "name": f"n{n}"} for n in range(6)]
    longer = [{"prompt": "moves first", "name": "first"}, *items]
    task = batch_to(path, "moves", 6, inputs=items, max_in_flight=3)
    operator, more, trigger = task.first_round()
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute_complete(more, event_of(trigger))  # type: ignore[arg-type]
    assert clips_in(tmp_path)
    operator.inputs = longer
    brought = resumed_to_the_end(operator, more, deferred.value.trigger)
    assert (brought["done"], accepted(emulator)) == (7, 7)
    if field == "name":
        assert saved_after(brought, path)["saved"] == 7
        assert set(fetched(emulator).values()) == {1}
    else:
        assert "holds the video of request" in said_by(capsys, caplog)
        assert saved_after(brought, path, overwrite=True)["saved"] == 7


def test_a_list_that_cannot_be_used_any_more_stops_the_saving_too(emulator: RunningEmulator, tmp_path: Path) -> None:
    task = batch_to(f"{tmp_path}/{{index}}.mp4", "broken", 4, max_in_flight=2)
    operator, more, trigger = task.first_round()
    operator.inputs = ["", "x"]
    with pytest.raises(AirflowFailException, match="inputs are wrong"):
        resumed_to_the_end(operator, more, trigger)
    assert clips_in(tmp_path) == []


@pytest.mark.parametrize(
    ("inputs", "path", "words"),
    [
        (["a", "b"], "/clips/x.mp4", "without a field"),
        (["a", "b"], "/clips/{name}.mp4", "Clip 0 has no name"),
        ([{"prompt": "a", "name": "x"}, {"prompt": "b", "name": "X"}], "/clips/{name}.mp4", "another clip"),
        ([{"prompt": "a", "seed": 5}, {"prompt": "b", "seed": 5}], "s3://clips/{seed}.mp4", "another clip"),
        (["a", "b"], "clips/{index}.mp4", "absolute path"),
        (["a", "b"], "/clips/{index}/../../x{index}.mp4", "leads out"),
        ([{"prompt": "a", "name": "x" * 250}], "/clips/{name}.mp4", "file name is longer"),
    ],
)
def test_paths_in_which_clips_cannot_be_are_refused_before_anything_is_submitted(
    emulator: RunningEmulator, inputs: list[Any], path: str, words: str
) -> None:
    task = SavingTask("refused", 0, inputs=inputs, save_to="{{ params.path }}")
    operator, more = task.begin()
    operator.save_to = path  # as it is rendered
    with pytest.raises(AirflowFailException, match=words) as refused:
        operator.execute(more)
    assert "save_to=" in str(refused.value)
    assert "No clip is lost" not in str(refused.value)
    assert emulator.counts()["submit"]["received"] == 0
    with pytest.raises(AirflowFailException, match=words):
        batch_to(path, "refused", 0, inputs=inputs).begin()  # in a Dag file


def test_a_list_that_changes_to_clips_that_meet_ends_the_submitting(emulator: RunningEmulator, tmp_path: Path) -> None:
    items = [{"prompt": f"meets {n}", "name": f"n{n}"} for n in range(6)]
    task = batch_to(f"{tmp_path}/{{name}}.mp4", "meets", 6, inputs=items, max_in_flight=2)
    operator, more, trigger = task.first_round()
    operator.inputs = [*items[:5], {"prompt": "meets too", "name": "n0"}]
    with pytest.raises(AirflowFailException, match="that of another clip"):
        resumed_to_the_end(operator, more, trigger)
    assert accepted(emulator) == 2


def test_a_deferral_of_a_version_that_saved_nothing_is_resumed(emulator: RunningEmulator, tmp_path: Path) -> None:
    task = SavingTask("earlier", 4, max_in_flight=2)
    operator, more = task.begin()
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(more)
    event = event_of(deferred.value.trigger)
    del event["carried"]["unsaved"], event["carried"]["saves_from"]
    terms = json.loads((deferred.value.kwargs or {})["terms"])
    del terms["save_to"]
    operator.save_to = f"{tmp_path}/{{index}}.mp4"  # what it was deferred with holds
    with pytest.raises(TaskDeferred) as again:
        operator.execute_complete(more, event, terms=json.dumps(terms))
    assert json.loads((again.value.kwargs or {})["terms"])["save_to"] is None
    assert clips_in(tmp_path) == []
