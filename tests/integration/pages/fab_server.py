"""An API server under Airflow's FAB auth manager, with users of its roles, and clips of two Dags.

It has a process of its own, since a process has one auth manager: ``python -m tests.integration.pages.fab_server FOLDER
CLIPS`` prints its URL, and serves until its standard input ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.support.pages import PASSWORD, Server

#: What the roles of the test may do, beside FAB's own.
READS = (("can_read", "DAG Runs"), ("can_read", "Task Instances"), ("can_read", "Website"))
ROLES: dict[str, tuple[tuple[str, str], ...]] = {
    "OneDag": (*READS, ("can_read", "DAG:clips"), ("can_read", "XComs")),
    "OneDagAndMenu": (*READS, ("can_read", "DAG:clips"), ("can_read", "XComs"), ("can_read", "Plugins")),
    "NoXComs": (*READS, ("can_read", "DAGs")),
    "NoDags": (*READS, ("can_read", "XComs")),
}

#: Roles of FAB's own, each with a user of its name.
FABS = ("Public", "Viewer", "User", "Op", "Admin")


@contextlib.contextmanager
def fab_server(folder: Path, clips: Path) -> Iterator[Server]:
    """Start it, and end it.

    :param folder: of its Airflow.
    :param clips: the folder whose clips it may show.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    settings = {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "AIRFLOW__PIKA__CLIP_ROOTS": str(clips),
    }
    log = folder / "server.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.pages.fab_server", str(folder), str(clips)],
            env={**kept, **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert process.stdout is not None
    try:
        told = next((line for line in iter(process.stdout.readline, "") if line.startswith("http://")), None)
        assert told is not None, f"the server has ended:\n{log.read_text()[-4000:]}"
        running = Server(told.strip())
        yield running
        running.close()
    finally:
        process.kill()
        process.wait()


def _serve(folder: Path, clips: Path) -> None:
    from airflow.utils.db import initdb
    from sqlalchemy import Engine, event

    from tests.support.pages import register_the_plugin, served

    # FAB commits hundreds of times when it starts, and a disk takes its time for each.
    event.listen(Engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
    initdb()
    register_the_plugin(folder / "site")
    from airflow.api_fastapi.app import create_app

    app = create_app(apps="core")
    _people()
    _saved(clips)
    with served(app) as url:
        print(url, flush=True)
        sys.stdin.read()


def _people() -> None:
    """Make the roles, and a user of each, of the role's name in small letters."""
    from airflow.api_fastapi.app import get_auth_manager

    manager: Any = get_auth_manager()
    with manager.flask_app.app_context():
        security = manager.security_manager
        for name, permissions in ROLES.items():
            role = security.add_role(name)
            for action, resource in permissions:
                security.add_permission_to_role(role, security.create_permission(action, resource))
        for name in (*FABS, *ROLES):
            user = name.lower()
            made = security.add_user(user, user, user, f"{user}@example.org", security.find_role(name), PASSWORD)
            assert made, f"there is no user {user}"


def _saved(clips: Path) -> None:
    """Have tasks of two Dags save clips, alone and in a batch, and ask about one; with the link that a task leaves."""
    from airflow_provider_pika.task.xcom import REVIEW
    from tests.integration.pages.conftest import RUN, dag
    from tests.support.pages import JPEG, MP4, Rows, entry, question, shown_of

    rows = Rows()
    for dag_id in ("clips", "secret"):
        path = clips / f"{dag_id}.mp4"
        path.write_bytes(MP4)
        Path(f"{path}.jpg").write_bytes(JPEG)
        saved = entry(path, prompt=f"a fox of {dag_id}", poster=f"{path}.jpg")
        manifest = clips / f"{dag_id}.jsonl"
        manifest.write_text(json.dumps({**saved, "index": 0, "state": "SAVED"}))
        about = {"total": 1, "saved": 1, "failed": 0, "bytes": len(MP4), "cover": 0}
        rows.run(dag(dag_id), RUN)
        rows.push(dag_id, "save", saved)
        rows.push(dag_id, "save_all", {"kind": "batch", **about, "manifest": str(manifest)})
        rows.waits(dag_id, "review")
        rows.push(dag_id, "review", question(shown_of(saved)), key=REVIEW)
        at = urlencode({"dag_id": dag_id, "run_id": RUN, "task_id": "save", "map_index": -1})
        rows.push(dag_id, "save", f"pika/clip?{at}", key="_link_pika_clip")


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), Path(sys.argv[2]))
