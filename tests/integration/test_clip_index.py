"""What a task that saves pushes for Airflow's UI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from airflow_provider_pika.plugins.pages.entries import Batch, Clip, read_entry
from airflow_provider_pika.task.xcom import CLIP
from airflow_provider_pika.transfers.batch_to_object_storage import PikaBatchToObjectStorageOperator
from tests.support.airflow import StateStore, context, run_to_the_end
from tests.support.emulator import RunningEmulator
from tests.support.saving import SavingInstance, generated, saver


def saved(video: Any, path: Path, **arguments: Any) -> tuple[dict[str, Any], Any]:
    """Save a clip, and return what the task returned and what it pushed."""
    ti = SavingInstance()
    returned = saver(video, path, must_fit=False, **arguments).execute({"ti": ti, "outlet_events": {}})  # type: ignore[typeddict-item]
    return returned, ti.xcoms.get(CLIP)


def test_a_saving_task_pushes_what_the_pages_need_and_again_when_it_is_run_again(
    emulator: RunningEmulator, tmp_path: Path
) -> None:
    video, _ = generated("a fox")
    path = tmp_path / "fox.mp4"
    returned, pushed = saved(video, path)
    entry = read_entry(pushed)
    assert isinstance(entry, Clip)
    assert (entry.path, entry.size, entry.sha256) == (str(path), returned["bytes"], returned["sha256"])
    assert (entry.prompt, entry.seed, entry.request_id) == ("a fox", video["seed"], video["request_id"])
    assert entry.endpoint == video["endpoint"]
    assert entry.saved_at is not None
    assert (entry.seconds, entry.width, entry.height) == tuple(
        returned[name] for name in ("seconds", "width", "height")
    )
    assert saved(video, path)[1] == pushed  # Airflow wipes a task's XComs when it is run again


def test_the_connection_beside_the_path_is_in_the_entry(emulator: RunningEmulator, tmp_path: Path) -> None:
    video, _ = generated()
    _, pushed = saved(video, tmp_path / "fox.mp4", conn_id="a_store")
    entry = read_entry(pushed)
    assert isinstance(entry, Clip)
    assert entry.conn_id == "a_store"


def test_an_entry_that_cannot_be_pushed_fails_no_save(emulator: RunningEmulator, tmp_path: Path) -> None:
    class Refusing(SavingInstance):
        def xcom_push(self, key: str, value: Any) -> None:
            raise RuntimeError("the API server is gone")

    video, _ = generated()
    task = saver(video, tmp_path / "fox.mp4", must_fit=False)
    assert task.execute({"ti": Refusing(), "outlet_events": {}})["path"]  # type: ignore[typeddict-item]


@pytest.mark.parametrize("inputs", [["a fox", "a cat [[content_policy_violation]]", "a dog"]])
def test_a_batch_has_one_entry_with_its_totals(emulator: RunningEmulator, tmp_path: Path, inputs: list[str]) -> None:
    batch = run_to_the_end(
        PikaTextToVideoBatchOperator(
            task_id="generate", inputs=inputs, defaults={"resolution": "480p"}, fail_on="all", poll_interval=0.1
        ),
        task_state_store=StateStore(),
    )
    here = context(outlet_events={})
    path = f"{tmp_path}/{{index}}.mp4"
    returned = PikaBatchToObjectStorageOperator(task_id="save", batch=batch, path=path, must_fit=False).execute(here)
    entry = read_entry(here["ti"].xcoms[CLIP])
    assert isinstance(entry, Batch)
    assert (entry.total, entry.saved, entry.failed) == tuple(returned[name] for name in ("total", "saved", "failed"))
    assert entry.size == returned["bytes"]
    assert entry.manifest is None  # three lines are in the return value
