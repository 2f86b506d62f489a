"""Real tasks, run by Airflow against an emulator, and then seen in its UI."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select, update

from tests.integration.pages.test_pages import shown
from tests.support.dag_runs import Examples
from tests.support.pages import Rows, Server
from tests.support.waiting import until

pytestmark = pytest.mark.drawn  # so that there is a picture, and a clip to play


def links(dag_id: str) -> dict[str, str]:
    """Return the links that the tasks of a Dag have pushed, by task and key."""
    with create_session(scoped=False) as session:
        rows = session.execute(
            select(XComModel.task_id, XComModel.key, XComModel.value).where(
                XComModel.dag_id == dag_id, XComModel.key.startswith("_link_pika")
            )
        ).all()
    return {f"{task_id} {key.removeprefix('_link_pika_')}": _text(value) for task_id, key, value in rows}


def _text(value: str) -> str:
    return str(json.loads(value)) if value.startswith('"') else value  # as Airflow 3.1 stores it


def test_a_clip_that_a_real_dag_has_saved_is_listed_opens_and_plays(
    server: Server, rows: Rows, examples: Examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__PIKA__CLIP_ROOTS", str(tmp_path))
    dag_id = "example_pika_text_to_video"
    assert examples.run(dag_id, folder=str(tmp_path), prompt="A fox that is seen").state == "success"
    [path] = tmp_path.glob("*.mp4")
    client = server.client()
    assert "A fox that is seen" in shown(client.get("/pika/clips"))
    pushed = links(dag_id)
    assert set(pushed) == {"generate clip", "generate request", "video clip", "video request", "save clip", "save file"}
    for link in pushed.values():
        assert not urlsplit(link).netloc
    for name in ("generate clip", "video clip", "save clip"):  # each leads to what was saved
        text = shown(client.get(f"/{pushed[name]}"))
        assert str(path) in text
        assert "<video" in text
    assert client.get(f"/{pushed['save file']}").content == path.read_bytes()
    poster = client.get(f"/{pushed['save clip'].replace('pika/clip?', 'pika/poster?')}")
    assert poster.headers["content-type"] == "image/jpeg"


@pytest.mark.newest  # before 3.3, `dag.test` ends where a person is asked
def test_a_test_run_of_a_dag_waits_for_the_answer_that_a_script_gives(
    server: Server, rows: Rows, examples: Examples, tmp_path: Path
) -> None:
    dag_id, client = "example_pika_approval", server.client("decider")

    def answered() -> Any:
        path = f"/api/v2/dags/{dag_id}/dagRuns"
        asked = f"{path}/~/hitlDetails"
        [detail] = until(lambda: client.get(asked).raise_for_status().json()["hitl_details"], "the question", 120)
        at = f"{path}/{detail['task_instance']['dag_run_id']}/taskInstances/review"
        # once, `dag.test` waited for ever: perhaps the answer came while the task was still being parked
        until(lambda: client.get(at).raise_for_status().json()["state"] == "awaiting_input", "the task to wait", 60)
        [clip] = client.get(f"{at}/xcomEntries/pika_review").raise_for_status().json()["value"]["clips"]
        answer = {"chosen_options": ["Keep"], "params_input": {"clips": [clip["sha256"]]}}
        client.patch(f"{at}/-1/hitlDetails", json=answer).raise_for_status()
        return clip

    def answered_or_ended() -> Any:
        try:
            return answered()
        except Exception:
            with create_session(scoped=False) as session:  # or `dag.test` waits for ever
                session.execute(update(TaskInstance).where(TaskInstance.task_id == "review").values(state="failed"))
            raise

    with ThreadPoolExecutor() as pool:
        clip = pool.submit(answered_or_ended)
        run = examples.run(dag_id, folder=str(tmp_path), prompt="A lighthouse that is asked about")
    assert Path(clip.result()["path"]).is_file()
    assert (run.state, run.tasks["publish"]) == ("success", "success")
