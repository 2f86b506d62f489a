"""Many prompts through a real Airflow: mapped, and held back by pools and limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.emulator import RunningEmulator
from tests.support.running_airflow import RunningAirflow
from tests.support.saving import metadata_beside
from tests.support.versions import KEEPS_TASK_STATE


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


@pytest.mark.skipif(not KEEPS_TASK_STATE, reason="Airflow 3.1 does not count deferred tasks")
def test_no_more_clips_are_at_fal_than_the_tasks_limit_allows(
    airflow: RunningAirflow, emulator: RunningEmulator
) -> None:
    run_id = airflow.start_run("limited")
    assert airflow.end_of_run("limited", run_id, 200) == "success"
    assert len(emulator.requests(prompt="limited ")) == 5
    assert emulator.most_at_once("limited ") <= 2
