"""Many prompts by one task: how long until all are accepted, and what that costs; nothing ends meanwhile.

Ours is measured twice: as the operator runs in a process of its own, with a task state in memory, which says what the
provider itself costs; and in a real Airflow, where each record of a submission is a call to the API server. On loopback
an answer is there at once, and whoever does one thing after the other loses nothing by it; so both are measured with
answers that take their time, too, as fal's do.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dev.airflow_home import AirflowHome, pika_connection
from tests.benchmarks import budget
from tests.benchmarks.batch_measured import SHAPES
from tests.support.emulator import RunningEmulator
from tests.support.running_airflow import running_airflow
from tests.support.worker_processes import WorkerProcesses

SIZES = (100, 1000, 10_000)

#: The most that is submitted in a real Airflow, too.
MOST_IN_AIRFLOW = 1000

IN_AIRFLOW = "pika batch, state in Airflow"

#: Seconds until a submission is answered, where that is not at once; and the most that are submitted so.
LATENCY, MOST_WITH_LATENCY = 0.1, 1000

#: Seconds that a generation takes: nobody waits for it.
GENERATION = "3600"


def run() -> dict[str, dict[str, dict[str, Any]]]:
    """Measure each shape at each size; give shape -> size -> figures.

    In Airflow, ``wall_s`` is from the first acceptance to the last, ``worker_s`` the whole life of the task's process.
    """
    sizes = [int(size) for size in os.environ.get("BENCH_SIZES", "").split(",") if size] or list(SIZES)
    figures: dict[str, dict[str, dict[str, Any]]] = {}
    for size in sizes:
        for name, found in _measure(size):
            figures.setdefault(name, {})[str(size)] = found
            print(f"  {size} x {name}: {found}", file=sys.stderr, flush=True)
    return figures


def _measure(size: int) -> Iterator[tuple[str, dict[str, Any]]]:
    for shape in SHAPES:
        yield shape, _alone(shape, size)
    if size <= MOST_WITH_LATENCY:
        for shape in SHAPES:
            yield f"{shape}, answers after {LATENCY:g} s", _alone(shape, size, LATENCY)
    if size <= MOST_IN_AIRFLOW:
        yield IN_AIRFLOW, _in_airflow(size)


def _alone(shape: str, size: int, latency: float = 0.0) -> dict[str, Any]:
    with (
        budget.harness(),
        tempfile.TemporaryDirectory(prefix="bench-home-") as home,
        budget.emulator(10_000, GENERATION) as emulator,
    ):
        if latency:
            emulator.fault("stall", on="submit", seconds=latency, times=size)
        report, log = Path(home) / "report.json", Path(home) / "log"
        more = pika_connection(emulator.queue_url, budget.KEY)
        given = [shape, emulator.queue_url, str(size), str(report)]
        with budget.measured("tests.benchmarks.batch_measured", given, home, more, log) as process:
            process.communicate()
        if not report.exists():
            print(log.read_text()[-3000:], file=sys.stderr)
            return {"failed": size}
        found: dict[str, Any] = json.loads(report.read_text())
        return {**found, "failed": size - emulator.counts()["submit"]["accepted"]}


def _in_airflow(size: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, budget.emulator(10_000, GENERATION) as emulator:
        settings = {
            **pika_connection(emulator.queue_url, budget.KEY),
            "BENCH_PROMPTS": str(size),
            "BENCH_MANIFEST": f"file://{folder}/manifest.jsonl",
        }
        home = AirflowHome(Path(folder), Path(__file__).parent / "dags" / "batch", settings)
        with running_airflow(home) as airflow, WorkerProcesses(airflow) as workers:
            run_id = airflow.start_run("batch")
            state = airflow.until_state("batch", run_id, "batch", "deferred", "failed", within=600)["state"]
            if state == "failed":
                print(airflow.log("batch", run_id, "batch", 1)[-3000:], file=sys.stderr)
        return _figures(emulator, size, sum(process.seconds for process in workers.processes))


def _figures(emulator: RunningEmulator, size: int, worker_s: float) -> dict[str, Any]:
    sent = [request["sent_at"] for request in emulator.requests()]
    if len(sent) < 2:
        return {"failed": size}
    took = max(sent) - min(sent)
    return {
        "wall_s": round(took, 2),
        "posts_per_s": round(len(sent) / took, 1),
        "worker_s": round(worker_s, 1),
        "failed": size - len(sent),
    }
