"""A finished video to save, the task that saves it, and what is then in the storage."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.saving import disk
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator
from tests.support.airflow import TaskInstance, context
from tests.support.saved import metadata_beside as metadata_beside
from tests.support.saved import names_in as names_in

Video = dict[str, Any]


class SavingInstance(TaskInstance):
    """A task instance of a Dag run, with what the tasks before it have pushed."""

    dag_id = "clips"
    run_id = "manual__2026-11-24"
    task_id = "save"

    def __init__(self, before: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.before = before or {}

    def xcom_pull(self, task_ids: str, key: str, map_indexes: int) -> Any:
        """Return what a task before it has pushed; none of them is mapped."""
        return self.before.get(key) if (task_ids, map_indexes) == ("generate", -1) else None


def generated(prompt: str = "a fox", **arguments: Any) -> tuple[Video, dict[str, Any]]:
    """Generate a video, small and quick; give it, and what was pushed beside it."""
    here = context()
    options = {"resolution": "480p", "deferrable": False, "poll_interval": 0.1, **arguments}
    task = PikaTextToVideoOperator(task_id="generate", prompt=prompt, wait_for_completion=True, **options)
    return task.execute(here), here["ti"].xcoms


def saver(video: Any, path: Any, **arguments: Any) -> PikaVideoToObjectStorageOperator:
    """Make the task that saves."""
    return PikaVideoToObjectStorageOperator(task_id="save", video=video, path=path, **arguments)


def save(video: Any, path: Any, **arguments: Any) -> dict[str, Any]:
    """Save a video as Airflow would have it done."""
    return saver(video, path, **arguments).execute({"ti": SavingInstance(), "outlet_events": {}})  # type: ignore[typeddict-item]


def leftovers(path: Path) -> list[Path]:
    """Return the names that an attempt which saved to a path of a disk may leave when it dies: its lock, its part."""
    return [path.with_name(disk.hidden_name(path.name, suffix)) for suffix in (".lock", ".part")]
