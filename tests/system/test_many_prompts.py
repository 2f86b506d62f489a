"""Many prompts through a real Airflow: mapped, and held back by the task's limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.emulator import RunningEmulator
from tests.support.running_airflow import RunningAirflow
from tests.support.saved import metadata_beside


@pytest.mark.newest  # before 3.2, Airflow does not count deferred tasks
def test_each_mapped_prompt_becomes_a_file_and_no_more_are_at_fal_than_the_example_says(
    airflow: RunningAirflow, emulator: RunningEmulator, tmp_path: Path
) -> None:
    dag_id = "example_pika_many_prompts"
    run_id = airflow.start_run(dag_id, folder=str(tmp_path))
    assert airflow.end_of_run(dag_id, run_id) == "success"
    assert len(list(tmp_path.glob("*.mp4"))) == 4
    saved = [airflow.xcom(dag_id, run_id, "save", map_index=index) for index in (0, 3)]
    found = [metadata_beside(clip["path"]) for clip in saved]
    assert [metadata["map_index"] for metadata in found] == [0, 3]
    assert found[0]["prompt"] == "a copper kettle, slowly turning"
    views = (", slowly turning", ", in falling snow")
    assert sum(len(emulator.requests(view)) for view in views) == 4
    assert emulator.most_at_once(*views) <= 2
