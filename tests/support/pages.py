"""Airflow's API server with our pages, as Airflow mounts them, and rows in its database as tasks leave them."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import httpx
import uvicorn
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.hitl import HITLDetail
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.sdk import DAG
from airflow.serialization import serialized_objects
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.utils.session import create_session
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from PIL import Image
from sqlalchemy import delete, select

from airflow_provider_pika.fal.prices import Cost
from airflow_provider_pika.task.xcom import CLIP, ERROR, REQUEST
from tests.support.versions import KEEPS_TASK_STATE
from tests.support.waiting import free_port

#: An MP4's first box, and something after it.
MP4 = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(range(256)) * 40


def _jpeg() -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (16, 9), (200, 40, 90)).save(made, "JPEG", quality=30)
    return made.getvalue()


#: A small picture.
JPEG = _jpeg()

#: The password of everybody whom simple auth knows here.
PASSWORD = "a-long-enough-password"


def entry(path: Path | str, content: bytes = MP4, **more: Any) -> dict[str, Any]:
    """Make the index entry of one clip."""
    return {
        "kind": "clip",
        "path": str(path),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "content_type": "video/mp4",
        "width": 854,
        "height": 480,
        "seconds": 5.0,
        "poster": None,
        "prompt": "a fox",
        "seed": 42,
        "request_id": "764cabcf-b745-4b3e-ae38-1200304cf45b",
        "endpoint": "fal-ai/pika/v2.5/text-to-video",
        "cost": Cost(Decimal("0.20"), "USD", "billed", "2026-11-27", "connection", Decimal(1)).as_json(),
        "saved_at": "2026-11-27T08:00:00Z",
        "conn_id": None,
        **more,
    }


def shown_of(entry: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a clip as its saving task has returned it, of its index entry."""
    return {name: value for name, value in entry.items() if name not in ("kind", "conn_id")} | more


def question(*clips: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Make what a review pushes when it asks about some clips."""
    return {
        "asked_at": "2026-11-27T08:00:00+00:00",
        "until": None,
        "choose": 1,
        "shown": "ab" * 32,
        "clips": list(clips),
        "refused": None,
        **more,
    }


def decision(*clips: dict[str, Any], kept: Iterable[int] = (0,), **more: Any) -> dict[str, Any]:
    """Make what a review pushes when it is decided: the clips at some places are kept."""
    kept = set(kept)
    judged = [
        {**clip, "decision": "keep" if place in kept else "reject", "note": None} for place, clip in enumerate(clips)
    ]
    return {
        "answer": "keep" if kept else "reject",
        "reviewed_by": "Ada",
        "reviewed_by_id": "7",
        "reviewed_at": "2026-11-27T09:00:00+00:00",
        "note": None,
        "clips": judged,
        **more,
    }


def register_the_plugin(folder: Path) -> None:
    """Have Airflow find the plugin by its entry point, whatever the installed package says."""
    info = folder / "pika_pages_under_test-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pika-pages-under-test\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[airflow.plugins]\npika = airflow_provider_pika.plugins.pika:PikaPlugin\n")
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    forget_plugins()


def forget_plugins() -> None:
    """Have Airflow look for plugins again: another test may have made it look before."""
    plugins_manager: Any = importlib.import_module("airflow.plugins_manager")

    for name in ("airflow.plugins_manager", "airflow.utils.entry_points", "airflow._shared.module_loading"):
        for found in list(vars(sys.modules[name]).values()) if name in sys.modules else ():
            if hasattr(found, "cache_clear"):
                found.cache_clear()
    if hasattr(plugins_manager, "fastapi_apps"):  # Airflow 3.1 keeps them in its module
        for name in ("plugins", "fastapi_apps", "fastapi_root_middlewares", "external_views", "react_apps"):
            setattr(plugins_manager, name, None)
        plugins_manager.loaded_plugins.clear()


@dataclass
class Server:
    """A running API server in this process, and its database.

    :param url: where it is.
    """

    url: str
    clients: list[httpx.Client] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)

    def client(self, user: str | None = "viewer", **headers: str) -> httpx.Client:
        """Return a browser of a user: it has the cookie of who has signed in. None: nobody."""
        made = httpx.Client(
            base_url=self.url, headers={"Accept": "text/html", **headers}, trust_env=False, timeout=30.0, verify=False
        )
        self.clients.append(made)
        if user:
            made.cookies.set("_token", self.token(user, made))
        return made

    def token(self, user: str, browser: httpx.Client | None = None) -> str:
        """Return the token of a user, who has signed in with that browser at the latest."""
        if user not in self.tokens:
            sent = {"username": user, "password": PASSWORD}
            answer = (browser or self.client(None)).post("/auth/token", json=sent)
            self.tokens[user] = answer.raise_for_status().json()["access_token"]
        return self.tokens[user]

    def close(self) -> None:
        """Close all browsers."""
        for each in self.clients:
            each.close()


@contextlib.contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an application on a loopback port, from a thread."""
    port = free_port()
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 60
    while not server.started:
        assert thread.is_alive(), "the server has ended"
        assert time.monotonic() < until, "the server does not start"
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(20)


class RolesByDag(SimpleAuthManager):
    """Simple auth, and two users more: one who may read one Dag, and one who may read no XComs."""

    def is_authorized_dag(self, *, method: Any, user: Any, access_entity: Any = None, details: Any = None) -> bool:
        """Return whether a user may do it."""
        if user.username == "narrow" and (details is None or details.id != "clips"):
            return False
        if user.username == "no_xcoms" and access_entity == DagAccessEntity.XCOM:
            return False
        return super().is_authorized_dag(method=method, user=user, access_entity=access_entity, details=details)


def write_passwords(path: Path, *users: str) -> None:
    """Write the file that simple auth reads."""
    path.write_text(json.dumps(dict.fromkeys(users, PASSWORD)))


class Rows:
    """What Dags and their tasks leave in the database."""

    #: The Dags that are in the database, by their id: who wrote them down, and Airflow's own form of each.
    _known: ClassVar[dict[str, tuple[DAG, Any]]] = {}

    def __init__(self) -> None:
        self._at = datetime(2026, 11, 27, 8, 0, tzinfo=UTC)

    def clear(self) -> None:
        """Remove what earlier tests have left."""
        with create_session(scoped=False) as session:
            for table in (XComModel, HITLDetail, TaskInstance, DagRun):
                session.execute(delete(table))

    def run(self, dag: DAG, run_id: str = "manual__2026-11-27T08:00:00+00:00") -> None:
        """Make a Dag known, if it is not, and a run of it with its task instances."""
        with create_session(scoped=False) as session:
            if dag.dag_id not in self._known or self._known[dag.dag_id][0] is not dag:
                self._known[dag.dag_id] = dag, self._written(dag, session)
            self._known[dag.dag_id][1].create_dagrun(
                run_id=run_id,
                run_after=self._at,
                run_type=DagRunType.MANUAL,
                triggered_by=DagRunTriggeredByType.TEST,
                state="running",
                session=session,
            )

    def _written(self, dag: DAG, session: Any) -> Any:
        session.merge(DagBundleModel(name="testing"))
        session.flush()
        lazy = LazyDeserializedDAG.from_dag(dag)
        kept: Any = serialized_objects  # it has the class on every version, and does not say so
        kept.SerializedDAG.bulk_write_to_db("testing", None, [lazy], session=session)
        SerializedDagModel.write_dag(lazy, "testing", session=session)
        session.flush()
        return SerializedDagModel.get_dag(dag.dag_id, session=session)

    def same_moment(self) -> None:
        """Have the next XCom be of the same moment as the one before."""
        self._at -= timedelta(seconds=1)

    def push(
        self, dag_id: str, task_id: str, value: Any, run_id: str | None = None, map_index: int = -1, key: str = CLIP
    ) -> None:
        """Push an XCom of a task instance, a second after the one before."""
        self._at += timedelta(seconds=1)
        with create_session(scoped=False) as session:
            found = self._instance(session, dag_id, task_id, run_id, map_index)
            session.add(
                XComModel(
                    dag_run_id=found.dag_run.id,
                    dag_id=dag_id,
                    run_id=found.run_id,
                    task_id=task_id,
                    map_index=map_index,
                    key=key,
                    value=value,
                    timestamp=self._at,
                )
            )

    def asked(self, dag_id: str, task_id: str, prompt: str, request_id: str = "r-1") -> None:
        """Push what a task has asked fal for."""
        self.push(dag_id, task_id, {"request_id": request_id, "input": {"prompt": prompt, "seed": 7}}, key=REQUEST)

    def error(self, dag_id: str, task_id: str, message: str) -> None:
        """Push why a task has failed, and fail it."""
        self.push(dag_id, task_id, {"error_type": "content_policy_violation", "message": message}, key=ERROR)
        self.state(dag_id, task_id, "failed")

    def state(self, dag_id: str, task_id: str, state: str | None, map_index: int = -1) -> None:
        """Set the state of a task instance."""
        with create_session(scoped=False) as session:
            found = self._instance(session, dag_id, task_id, None, map_index)
            found.state = state
            found.start_date = self._at

    def take_back(self, dag_id: str, task_id: str, map_index: int = -1, key: str = CLIP) -> None:
        """Remove an XCom, as a task's next attempt does when it begins."""
        with create_session(scoped=False) as session:
            names = {"dag_id": dag_id, "task_id": task_id, "map_index": map_index, "key": key}
            session.execute(delete(XComModel).filter_by(**names))

    def asks_again(self, dag_id: str, task_id: str) -> None:
        """Have a task refuse the answer, and wait for another one."""
        self.state(dag_id, task_id, "awaiting_input")
        with create_session(scoped=False) as session:
            found = self._instance(session, dag_id, task_id, None, -1)
            told = session.scalars(select(HITLDetail).where(HITLDetail.ti_id == found.id)).one()
            told.responded_at = told.responded_by = told.chosen_options = None

    def settle(self, dag_id: str, task_id: str) -> None:
        """Have a task instance be in its state for a while."""
        with create_session(scoped=False) as session:
            self._instance(session, dag_id, task_id, None, -1).updated_at = self._at

    def cleared(self, dag_id: str, task_id: str) -> None:
        """Have a task instance run from its beginning, as somebody has cleared it."""
        self.state(dag_id, task_id, None)
        with create_session(scoped=False) as session:
            self._instance(session, dag_id, task_id, None, -1).next_method = None

    def waits(self, dag_id: str, task_id: str, map_index: int = -1, assigned: Iterable[str] = ()) -> None:
        """Have a task instance wait for a person, as this Airflow does."""
        self.state(dag_id, task_id, "awaiting_input" if KEEPS_TASK_STATE else "deferred", map_index)
        with create_session(scoped=False) as session:
            found = self._instance(session, dag_id, task_id, None, map_index)
            found.next_method = "execute_complete"
            users = [{"id": user, "name": f"{user} by name"} for user in assigned]
            session.add(
                HITLDetail(
                    ti_id=found.id,
                    options=["Keep", "Reject"],
                    subject="Which clips?",
                    params={"clips": [], "shown": None, "note": None, "notes": {}},
                    assignees=users,
                    created_at=self._at,
                )
            )

    def answered(self, dag_id: str, task_id: str, by: str, map_index: int = -1) -> None:
        """Have somebody answer, and the task run with the answer."""
        with create_session(scoped=False) as session:
            found = self._instance(session, dag_id, task_id, None, map_index)
            told = session.scalars(select(HITLDetail).where(HITLDetail.ti_id == found.id)).one()
            told.responded_at, told.responded_by = self._at, {"id": by, "name": f"{by} by name"}
            told.chosen_options = ["Keep"]
            found.state = "running"

    def _instance(self, session: Any, dag_id: str, task_id: str, run_id: str | None, map_index: int) -> Any:
        asked = select(TaskInstance).where(
            TaskInstance.dag_id == dag_id, TaskInstance.task_id == task_id, TaskInstance.map_index == map_index
        )
        found = session.scalars(asked.where(TaskInstance.run_id == run_id) if run_id else asked).first()
        assert found is not None, f"{dag_id}.{task_id}[{map_index}] is not there"
        return found
