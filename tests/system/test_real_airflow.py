"""The examples through a real scheduler, dag-processor, triggerer, api-server and workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import pytest

from airflow_provider_pika.get_provider_info import CONNECTION_FIELDS, CONNECTION_FORM
from tests.support.emulator import RunningEmulator
from tests.support.running_airflow import RunningAirflow
from tests.support.saved import metadata_beside
from tests.system.stage import KEY

REFUSED = "example_pika_refused_prompt"


def shape(path: str) -> tuple[int, int, float]:
    """Return width, height and seconds of a video, having decoded all of it."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        frames = sum(1 for _ in container.decode(stream))
        assert stream.average_rate is not None
        return stream.width, stream.height, frames / float(stream.average_rate)


def run(airflow: RunningAirflow, dag_id: str, **conf: Any) -> str:
    run_id = airflow.start_run(dag_id, **conf)
    assert airflow.end_of_run(dag_id, run_id) == "success", airflow.tasks(dag_id, run_id)
    return run_id


@pytest.mark.parametrize(
    ("resolution", "duration", "expected"),
    [
        ("720p", 5, (1280, 720, 5.0)),
        pytest.param("480p", 10, (854, 480, 10.0), marks=pytest.mark.newest),
    ],
)
def test_a_run_ends_with_a_playable_video_of_the_asked_size_and_length(
    airflow: RunningAirflow, tmp_path: Path, resolution: str, duration: int, expected: tuple[int, int, float]
) -> None:
    dag_id = "example_pika_text_to_video"
    run_id = run(airflow, dag_id, resolution=resolution, duration=duration, folder=str(tmp_path))
    saved = airflow.xcom(dag_id, run_id, "save")
    path = saved["path"]
    assert shape(path) == expected == (saved["width"], saved["height"], saved["seconds"])
    video = airflow.xcom(dag_id, run_id, "video")
    assert video["request_id"] == airflow.xcom(dag_id, run_id, "generate")
    assert Path(path).stat().st_size == video["file_size"]
    metadata = metadata_beside(path)
    assert (metadata["input"]["resolution"], metadata["input"]["duration"]) == (resolution, duration)
    assert metadata["submitted_at"] < metadata["completed_at"] < metadata["saved_at"]
    log = airflow.log(dag_id, run_id, "video")
    assert "fal: Generation finished" in log
    assert KEY not in log


@pytest.mark.newest
def test_a_computed_prompt_becomes_a_video(airflow: RunningAirflow, emulator: RunningEmulator, tmp_path: Path) -> None:
    run_id = run(airflow, "example_pika_taskflow", city="Porto", folder=str(tmp_path))
    announced = airflow.xcom("example_pika_taskflow", run_id, "announce")
    assert str(tmp_path) in announced
    [request] = emulator.requests("steep street in Porto")
    assert request["input"]["seed"] == 7


@pytest.mark.newest
def test_a_refused_prompt_fails_at_once_and_the_dag_makes_another_clip(airflow: RunningAirflow, tmp_path: Path) -> None:
    run_id = run(airflow, REFUSED, folder=str(tmp_path))
    tasks = airflow.tasks(REFUSED, run_id)
    assert (tasks["first"]["state"], tasks["first"]["try_number"], tasks["first"]["max_tries"]) == ("failed", 1, 3)
    saved = airflow.xcom(REFUSED, run_id, "save")
    assert saved["request_id"] == airflow.xcom(REFUSED, run_id, "another_prompt")["request_id"]
    log = airflow.log(REFUSED, run_id, "first")
    assert "content_policy_violation" in log
    assert "Change the prompt" in log
    assert "No clip: " in airflow.log(REFUSED, run_id, "fall_back")


@pytest.mark.newest
def test_an_exhausted_balance_makes_no_other_clip(
    airflow: RunningAirflow, emulator: RunningEmulator, tmp_path: Path
) -> None:
    unpaid = "A boat that nobody pays"
    run_id = airflow.start_run(REFUSED, prompt="A fox [[locked]]", instead=unpaid, folder=str(tmp_path))
    assert airflow.end_of_run(REFUSED, run_id) == "failed"
    assert airflow.tasks(REFUSED, run_id)["another_prompt"]["state"] == "skipped"
    assert emulator.requests(unpaid) == []


def test_the_connection_has_a_real_form(airflow: RunningAirflow) -> None:
    [form] = [meta for meta in airflow.call("GET", "/ui/connections/hook_meta") if meta["connection_type"] == "pika"]
    assert form["hook_name"] == "Pika (fal)"
    standard = form["standard_fields"]
    for name, label in CONNECTION_FORM["relabeling"].items():
        assert standard[name]["title"] == label
        assert standard[name]["placeholder"] == CONNECTION_FORM["placeholders"][name]
    for name in CONNECTION_FORM["hidden-fields"]:
        assert name == "extra" or standard["url_schema" if name == "schema" else name]["hidden"]
    for name, field in CONNECTION_FIELDS.items():
        assert form["extra_fields"][name]["description"] == field["description"]


@pytest.mark.parametrize(
    ("key", "good", "message"), [(KEY, True, "accepted the key"), ("wrong:wrong", False, "refused the key")]
)
def test_the_forms_test_button_tells_a_good_key_from_a_bad_one(
    airflow: RunningAirflow, emulator: RunningEmulator, key: str, good: bool, message: str
) -> None:
    connection = {"connection_id": "tried", "conn_type": "pika", "host": emulator.queue_url, "password": key}
    answer = airflow.call("POST", "/api/v2/connections/test", json=connection)
    assert answer["status"] is good
    assert message in answer["message"]


def test_no_example_has_an_import_error(airflow: RunningAirflow) -> None:
    assert airflow.call("GET", "/api/v2/importErrors")["import_errors"] == []
