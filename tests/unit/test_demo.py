"""Where `make demo` says that its clip is to be seen."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from dev.clips import TOLD, page_of

PAGE = "/pika/clip?dag_id=d&run_id=manual__2026-11-27T08%3A00%3A00%2B00%3A00&task_id=save&map_index=-1"


@pytest.fixture
def metadata(tmp_path: Path) -> Path:
    path = tmp_path / "fox.mp4.json"
    task = {"dag_id": "d", "run_id": "manual__2026-11-27T08:00:00+00:00", "task_id": "save", "map_index": -1}
    path.write_text(json.dumps({"prompt": "a fox", **task}))
    return path


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    running = HTTPServer(("127.0.0.1", 0), _Answers)
    threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


def test_the_page_is_where_the_api_server_of_the_demos_home_is(metadata: Path, tmp_path: Path, server: str) -> None:
    (tmp_path / TOLD).write_text(server)
    assert page_of(metadata, tmp_path) == f"See it in Airflow: {server}{PAGE}"


@pytest.mark.parametrize("told", [None, "http://127.0.0.1:9"])
def test_where_none_runs_the_command_that_starts_it_is_said(metadata: Path, tmp_path: Path, told: str | None) -> None:
    """One that was killed has left its URL."""
    if told:
        (tmp_path / TOLD).write_text(told)
    assert page_of(metadata, tmp_path) == f"See it in Airflow: `make clips`, then http://localhost:8081{PAGE}"
