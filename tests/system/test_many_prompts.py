"""Many prompts through a real Airflow: mapped, held back by pools and limits, and in one task."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.emulator import RunningEmulator
from tests.support.running_airflow import RunningAirflow, until
from tests.support.saving import metadata_beside
from tests.support.versions import KEEPS_TASK_STATE

ON_3_3 = pytest.mark.skipif(not KEEPS_TASK_STATE, reason="Airflow 3.1 keeps no task state")


def test_each_mapped_prompt_becomes_a_file_and_no_more_are_at_fal_than_the_example_says(
    airflow: RunningAirflow, emulator: RunningEmulator, tmp_path: Path
) -> None:
    dag_id = "example_pika_many_prompts"
    run_id = airflow.start_run(dag_id, folder=str(tmp_path))
    assert airflow.end_of_run(dag_id, run_id) == "success"
    assert len(list(tmp_path.glob("*.mp4"))) == 8
    saved = [airflow.xcom(dag_id, run_id, "save", map_index=index) for index in (0, 7)]
    found = [metadata_beside(clip["path"]) for clip in saved]
    assert [metadata["map_index"] for metadata in found] == [0, 7]
    assert found[0]["prompt"] == "a copper kettle, slowly turning"
    if KEEPS_TASK_STATE:  # Airflow 3.1 does not count deferred tasks
        assert emulator.most_at_once("slowly turning") <= 2


@pytest.mark.parametrize("dag_id", ["pooled", pytest.param("limited", marks=ON_3_3)])
def test_no_more_clips_are_at_fal_than_airflow_allows(
    airflow: RunningAirflow, emulator: RunningEmulator, dag_id: str
) -> None:
    run_id = airflow.start_run(dag_id)
    assert airflow.end_of_run(dag_id, run_id, 200) == "success"
    assert len(emulator.requests(prompt=f"{dag_id} ")) == 5
    assert emulator.most_at_once(f"{dag_id} ") <= 2


@ON_3_3
def test_a_batch_writes_a_manifest_that_the_next_task_reads(
    airflow: RunningAirflow, emulator: RunningEmulator, tmp_path: Path
) -> None:
    run_id = airflow.start_run("example_pika_batch", number=12, folder=str(tmp_path))
    assert airflow.end_of_run("example_pika_batch", run_id, 200) == "success"
    batch = airflow.xcom("example_pika_batch", run_id, "batch")
    lines = [json.loads(line) for line in Path(batch["manifest"]).read_text().splitlines()]
    sent = {request["request_id"]: request["input"] for request in emulator.requests(prompt="Lighthouse")}
    assert [sent[line["request_id"]]["seed"] for line in lines] == list(range(12))
    assert {path.stem for path in tmp_path.glob("*.mp4")} == {line["request_id"] for line in lines}
    assert metadata_beside(tmp_path / f"{lines[3]['request_id']}.mp4")["seed"] == 3
    assert emulator.most_at_once("Lighthouse") <= 4
    log = airflow.log("example_pika_batch", run_id, "batch")
    assert "12 done, 0 failed, 0 in flight, 0 queued of 12" in log


@ON_3_3
def test_a_batch_whose_worker_is_killed_pays_for_nothing_twice(
    airflow: RunningAirflow, emulator: RunningEmulator
) -> None:
    run_id = airflow.start_run("batched", slow="[[stall seconds=3]]")
    until(lambda: len(emulator.requests(prompt="batched")) >= 3, "the first submits", 60)
    airflow.kill_worker("batched", run_id, "batch")
    until(lambda: airflow.instance("batched", run_id, "batch")["try_number"] == 2, "a second try", 120)
    assert airflow.end_of_run("batched", run_id, 200) in ("success", "failed")
    prompts = [request["input"]["prompt"] for request in emulator.requests(prompt="batched")]
    assert len(prompts) == len(set(prompts))
