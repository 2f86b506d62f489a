"""What ``bench_pages.py`` measures, in a process of its own: a database of Airflow, its API server, and who looks."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlencode

from tests.support.waiting import free_port, until

#: Task instances of a run, rows that are inserted at a time, and how often a query is repeated.
TASKS, AT_ONCE, ROUNDS = 10, 5000, 15

#: Those who watch at once.
WATCHERS = 10

#: Seconds in which an API server is up.
STARTED_WITHIN = 300.0

#: Bytes of the clip that they watch.
BYTES = int(os.environ.get("BENCH_BYTES", "100000000"))

DAG_ID, RUN, TASK = "clips", "run_{:06d}", "save"

#: Watches a clip to its end, as a player does that asks for all of it.
WATCH = """
import sys, urllib.request
with urllib.request.urlopen(urllib.request.Request(sys.argv[1], headers={"Range": "bytes=0-"})) as answer:
    assert answer.status == 206
    while answer.read(65536):
        pass
"""


def main(folder: Path, size: int, share: int) -> None:
    """Print the figures as JSON."""
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, stdout=subprocess.DEVNULL)
    os.environ["AIRFLOW__PIKA__CLIP_ROOTS"] = str(folder)
    clip = folder / "watched.mp4"
    with clip.open("wb") as file:
        file.write(b"\x00\x00\x00\x18ftypmp42" + b"\0" * 12)
        file.truncate(BYTES)
    _fill(size, share, clip)
    print("measured:" + json.dumps({**_queries(), **_memory(clip)}))


def _fill(size: int, share: int, clip: Path) -> None:
    """Make runs with their task instances, an XCom for each, of which some are clips of ours."""
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session
    from airflow.utils.types import DagRunType
    from sqlalchemy import insert, select

    from airflow_provider_pika.task.xcom import CLIP
    from tests.support.pages import Rows, entry

    Rows().run(_dag(), RUN.format(0))
    began = datetime(2026, 1, 1, tzinfo=UTC)
    value = entry(clip, prompt="a fox in the snow") | {"bytes": BYTES}
    with create_session(scoped=False) as session:
        about = {"dag_id": DAG_ID, "run_type": DagRunType.MANUAL, "state": "success"}
        runs = [
            {**about, "run_id": RUN.format(n), "run_after": began + timedelta(minutes=n)}
            for n in range(1, size // TASKS + 1)
        ]
        for start in range(0, len(runs), AT_ONCE):
            session.execute(insert(DagRun), runs[start : start + AT_ONCE])
        session.commit()
        known = session.execute(select(DagRun.id, DagRun.run_id).where(DagRun.run_id != RUN.format(0))).all()
        version = session.scalar(select(TaskInstance.dag_version_id).where(TaskInstance.task_id == TASK))
        instances, xcoms = [], []
        for number, run_id in known:
            for index in range(TASKS):
                ours = (number * TASKS + index) % 100 < share
                key = {"dag_id": DAG_ID, "run_id": run_id, "task_id": TASK, "map_index": index}
                instances.append(
                    {
                        **key,
                        **{"id": uuid.uuid4(), "dag_version_id": version, "state": "success", "pool": "default_pool"},
                        **{"pool_slots": 1, "try_number": 1, "max_tries": 0, "executor_config": {}, "queue": "default"},
                        "operator": "PikaVideoToObjectStorageOperator",
                    }
                )
                xcoms.append(
                    {
                        **key,
                        **{"dag_run_id": number, "key": CLIP if ours else "return_value", "value": value},
                        "timestamp": began + timedelta(seconds=number),
                    }
                )
        for table, rows in ((TaskInstance, instances), (XComModel, xcoms)):
            for start in range(0, len(rows), AT_ONCE):
                session.execute(insert(table), rows[start : start + AT_ONCE])
        session.commit()


def _dag() -> Any:
    from airflow.sdk import DAG

    from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator

    with DAG(DAG_ID, schedule=None) as made:
        PikaVideoToObjectStorageOperator.partial(task_id=TASK, path="/tmp/fox.mp4").expand(video=[{}])
    return made


def _queries() -> dict[str, float]:
    """Return the milliseconds of a first page, of one in the middle, and of searches, as medians."""
    from airflow.utils.session import create_session

    from airflow_provider_pika.plugins.pages import queries, review_queries
    from airflow_provider_pika.plugins.pages.queries import Filters

    with create_session(scoped=False) as session:
        page = queries.newest(session, {DAG_ID}, Filters())
        assert len(page.rows) == queries.PAGE
        runs = {row.run for row in page.rows}
        middle: str | None = page.older
        for _ in range(20):
            middle = queries.newest(session, {DAG_ID}, Filters(), middle).older or middle

        def of(filters: Filters, cursor: str | None = None) -> float:
            return _milliseconds(lambda: queries.newest(session, {DAG_ID}, filters, cursor))

        return {
            "first_page_ms": of(Filters()),
            "later_page_ms": of(Filters(), middle),
            "of_a_run_ms": of(Filters(run_id=RUN.format(77))),
            "prompt_ms": of(Filters(prompt="snow")),
            "no_such_prompt_ms": of(Filters(prompt="giraffe")),
            "decisions_ms": _milliseconds(lambda: review_queries.decisions_in(session, runs)),
            "waiting_ms": _milliseconds(lambda: queries.going_on(session, {DAG_ID}, Filters())),
            "failed_ms": _milliseconds(lambda: queries.failed(session, {DAG_ID}, Filters())),
        }


def _milliseconds(ask: Callable[[], Any]) -> float:
    ask()
    taken = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        ask()
        taken.append((time.perf_counter() - begun) * 1000)
    return round(median(taken), 1)


def _memory(clip: Path) -> dict[str, float]:
    """Return the megabytes of an API server that has sent a clip once, and by how many more it has at most when some
    watch the clip to its end at once. It has a process of its own: this one has had more when it filled the database.
    """
    with _api_server() as (url, pid):
        one = [sys.executable, "-c", WATCH, f"{url}/pika/video?{urlencode(_newest())}"]
        subprocess.run(one, check=True)
        status, forget = Path(f"/proc/{pid}/status"), Path(f"/proc/{pid}/clear_refs")
        if not forget.exists():  # no Linux
            return {}
        forget.write_text("5")  # the highest figure so far
        before = _kilobytes(status, "VmRSS")
        with ThreadPoolExecutor(WATCHERS) as pool:
            list(pool.map(lambda _: subprocess.run(one, check=True), range(WATCHERS)))
        grown = _kilobytes(status, "VmHWM") - before
        return {"server_mb": round(before / 1024, 1), "watched_mb": round(grown / 1024, 1)}


@contextlib.contextmanager
def _api_server() -> Iterator[tuple[str, int]]:
    """Start Airflow's API server, where everybody may read all, and yield its URL and its process."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "airflow", "api-server", "--port", str(port), "--workers", "1", "--apps", "core"],
        env={**os.environ, "AIRFLOW__API__HOST": "127.0.0.1", "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True"},
        stdout=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        if process.poll() is not None:
            raise RuntimeError("the API server has ended")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/api/v2/version", timeout=5):
            return True
        return False

    try:
        until(answers, "the API server", STARTED_WITHIN, 0.2)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


def _kilobytes(status: Path, name: str) -> int:
    """Return a figure of a process's memory."""
    [line] = [line for line in status.read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1])


def _newest() -> dict[str, Any]:
    from airflow.utils.session import create_session

    from airflow_provider_pika.plugins.pages import queries
    from airflow_provider_pika.plugins.pages.queries import Filters

    with create_session(scoped=False) as session:
        return queries.newest(session, {DAG_ID}, Filters()).rows[0].key.query


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
