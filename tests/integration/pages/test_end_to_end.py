"""Real tasks, run by Airflow against an emulator, and then seen in its UI."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select

from tests.integration.pages.test_pages import shown
from tests.support.dag_runs import Examples
from tests.support.pages import Rows, Server

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
