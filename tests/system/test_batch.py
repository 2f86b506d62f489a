"""Many prompts in one task of a real Airflow: a manifest that the next task reads, and a killed worker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.emulator import RunningEmulator
from tests.support.running_airflow import RunningAirflow, until
from tests.support.saved import metadata_beside
from tests.support.versions import KEEPS_TASK_STATE

pytestmark = pytest.mark.skipif(not KEEPS_TASK_STATE, reason="Airflow 3.1 keeps no task state")


def test_a_batch_writes_a_manifest_that_the_next_task_reads(
    airflow: RunningAirflow, emulator: RunningEmulator, tmp_path: Path
) -> None:
    run_id = airflow.start_run("example_pika_batch", number=12, folder=str(tmp_path))
    assert airflow.end_of_run("example_pika_batch", run_id, 200) == "success"
    batch = airflow.xcom("example_pika_batch", run_id, "batch")
    lines = [json.loads(line) for line in Path(batch["manifest"]).read_text().splitlines()]
    saved = airflow.xcom("example_pika_batch", run_id, "save")
    assert (saved["total"], saved["saved"], saved["unsaved"]) == (12, 12, 0)
    files = [json.loads(line) for line in Path(saved["manifest"]).read_text().splitlines()]
    assert [line["name"] for line in files] == [f"lighthouse-{n + 1}" for n in range(12)]
    assert [Path(line["path"]).stem for line in files] == [line["request_id"] for line in lines]
    sent = {request["request_id"]: request["input"] for request in emulator.requests(prompt="Lighthouse")}
    assert [sent[line["request_id"]]["seed"] for line in lines] == list(range(12))
    assert {path.stem for path in tmp_path.glob("*.mp4")} == {line["request_id"] for line in lines}
    assert metadata_beside(tmp_path / f"{lines[3]['request_id']}.mp4")["seed"] == 3
    # another test may run the example, too
    assert emulator.most_at_once("Lighthouse", among={line["request_id"] for line in lines}) <= 4
    log = airflow.log("example_pika_batch", run_id, "batch")
    assert "12 done, 0 failed, 0 in flight, 0 queued of 12" in log


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
