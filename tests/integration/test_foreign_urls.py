"""The URLs in fal's answers lead nowhere: the key goes to the connection's own host only."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.hooks.pika import PikaHook
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from tests.integration.conftest import connect
from tests.support.airflow import StateStore, run_to_the_end
from tests.support.strange_server import StrangeServer, reply

REQUEST_ID = "019e1951-c778-7120-9c82-16efcf40ec82"


def misleading(elsewhere: str) -> Any:
    """Answer as fal does, with every URL on another host; a request is seen queued twice, and is done then."""
    urls = {name: f"{elsewhere}/{name}" for name in ("response_url", "status_url", "cancel_url")}
    looks: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        path, body = handler.path.partition("?")[0], dict[str, Any]()
        if path.endswith("/status"):
            looks.append(path)
        if handler.command == "GET" and not path.endswith("/status"):
            body = {"video": {"url": f"{elsewhere}/clip.mp4"}}
        elif handler.command == "PUT":
            body = {"status": "CANCELLATION_REQUESTED"}
        else:
            status = "IN_QUEUE" if len(looks) < 3 else "COMPLETED"
            body = {"status": status, "request_id": REQUEST_ID, "logs": None, "metrics": {}, "queue_position": 0}
        reply(200, json.dumps(body | urls))(handler)

    return answer


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferred", "sync"])
def test_a_server_that_names_another_host_never_sends_the_key_there(
    monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    with StrangeServer(reply(200, "{}")) as elsewhere, StrangeServer(misleading(elsewhere.url)) as queue:
        connect(monkeypatch, queue.url)
        task = PikaTextToVideoOperator(
            task_id="t", prompt="a fox", wait_for_completion=True, deferrable=deferrable, poll_interval=0.05
        )
        video = run_to_the_end(task, task_state_store=StateStore())
        assert PikaHook().cancel(TEXT_TO_VIDEO, REQUEST_ID)
    assert video["url"] == f"{elsewhere.url}/clip.mp4"  # handed on, and never called by us
    assert elsewhere.authorizations == []
    assert len(queue.authorizations) >= 6
