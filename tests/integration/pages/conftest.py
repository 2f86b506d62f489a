"""One API server for all tests of the pages, and what they show."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.operators.review import PikaReviewOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor
from airflow_provider_pika.transfers.batch_to_object_storage import PikaBatchToObjectStorageOperator
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator
from tests.support.pages import MP4, Rows, Server, entry, forget_plugins, register_the_plugin, served, write_passwords

#: The run that every Dag here has.
RUN = "manual__2026-11-27T08:00:00+00:00"

#: Who may sign in, and as what; each reads what a viewer reads, but for what ``RolesByDag`` takes away.
USERS = {"viewer": "viewer", "narrow": "viewer", "no_xcoms": "viewer", "decider": "user", "other": "user"}


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what sets Airflow up to let these users in."""
    passwords = tmp_path_factory.mktemp("users") / "passwords.json"
    write_passwords(passwords, *USERS)
    return {
        "AIRFLOW__CORE__AUTH_MANAGER": "tests.support.pages.RolesByDag",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{role}" for user, role in USERS.items()),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
    }


@pytest.fixture(scope="session")
def shared_server(
    airflow_db: None, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Airflow's API server, without what workers talk to, with the plugin found by its entry point, and simple auth."""
    from airflow.api_fastapi.app import create_app, purge_cached_app

    with pytest.MonkeyPatch.context() as meanwhile:
        set_all(meanwhile, environment)
        meanwhile.setattr(sys, "path", [*sys.path])
        register_the_plugin(tmp_path_factory.mktemp("api"))
        app = create_app(apps="core")
    forget_plugins()
    with served(app) as url:
        running = Server(url)
        yield running
        running.close()
    purge_cached_app()


@pytest.fixture
def server(shared_server: Server, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Server:
    """The shared server, which reads its users with each request: no test after this one has them."""
    set_all(monkeypatch, environment)
    return shared_server


def set_all(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    """Set environment variables."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def rows(server: Server) -> Rows:
    """An empty database."""
    made = Rows()
    made.clear()
    return made


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose clips may be shown."""
    folder = tmp_path / "clips"
    folder.mkdir()
    monkeypatch.setenv("AIRFLOW__PIKA__CLIP_ROOTS", str(folder))
    return folder


class Foreign(BaseOperator):
    """A task of somebody else."""


@functools.cache
def dag(dag_id: str = "clips") -> DAG:
    """Make a Dag with all our tasks, and one that is not ours."""
    with DAG(dag_id, schedule=None) as made:
        generate = PikaTextToVideoOperator(task_id="generate", prompt="a fox")
        video = PikaVideoSensor(task_id="video", request_id=generate.output)
        save = PikaVideoToObjectStorageOperator(task_id="save", video=video.output, path="/data/clips/fox.mp4")
        PikaVideoToObjectStorageOperator.partial(task_id="saves", path="/data/clips/x.mp4").expand(video=[{}, {}, {}])
        PikaBatchToObjectStorageOperator(task_id="save_all", batch={"clips": []}, path="/data/clips/{index}.mp4")
        PikaReviewOperator(task_id="review", clips=save.output)
        PikaReviewOperator.partial(task_id="reviews").expand(clips=[[], []])
        Foreign(task_id="foreign")
    return made


@functools.cache
def small_dag(dag_id: str) -> DAG:
    """Make a Dag whose runs are quickly made."""
    with DAG(dag_id, schedule=None) as made:
        PikaVideoToObjectStorageOperator(task_id="save", video={}, path="/data/clips/fox.mp4")
    return made


@pytest.fixture
def saved(rows: Rows, roots: Path) -> Path:
    """A clip that a task has saved."""
    path = roots / "fox.mp4"
    path.write_bytes(MP4)
    rows.run(dag(), RUN)
    rows.push("clips", "save", entry(path))
    return path


def coordinates(task_id: str = "save", dag_id: str = "clips", **more: Any) -> dict[str, Any]:
    """Return how an address names a task instance."""
    return {"dag_id": dag_id, "run_id": RUN, "task_id": task_id, **more}
