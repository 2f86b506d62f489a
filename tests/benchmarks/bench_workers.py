"""What a clip costs in worker processes, on a real scheduler with LocalExecutor: how many, and for how long."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from dev.airflow_home import AirflowHome, pika_connection
from tests.benchmarks import budget
from tests.support.emulator import RunningEmulator
from tests.support.running_airflow import RunningAirflow, running_airflow
from tests.support.worker_processes import WorkerProcesses

#: Clips of each way, mapped, and the seconds that each is generated.
CLIPS, GENERATION = 8, 20.0

#: Workers at once, as in a small deployment: a worker that is held keeps the other clips waiting.
PARALLELISM = 4

FIRST = "operator that waits"

#: Shape: its Dag.
SHAPES = {
    FIRST: "operator",
    "sensor deferred": "sensor",
    "@task + fal_client.subscribe": "fal_client",
}


def run() -> dict[str, dict[str, dict[str, Any]]]:
    """Run a Dag of each shape, one after the other, in one Airflow; give shape -> clips -> figures.

    A sensor's clip has the process that submits it, too. ``all_clips_s`` is from the first submission until fal is done
    with the last: it grows where clips that are waited for keep others from being submitted.
    """
    clips = int(os.environ.get("BENCH_CLIPS", CLIPS))
    figures = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, budget.emulator(64, str(GENERATION)) as emulator:
        settings = {
            **pika_connection(emulator.queue_url, budget.KEY),
            "AIRFLOW__CORE__PARALLELISM": str(PARALLELISM),
            "BENCH_CLIPS": str(clips),
            "BENCH_QUEUE_URL": emulator.queue_url,
            "FAL_KEY": budget.KEY,
        }
        home = AirflowHome(Path(folder), Path(__file__).parent / "dags" / "ways", settings)
        with running_airflow(home) as airflow:
            _measure(airflow, emulator, SHAPES[FIRST], clips)  # the first processes of a new Airflow take longer
            for shape, dag in SHAPES.items():
                figures[shape] = {str(clips): _measure(airflow, emulator, dag, clips)}
                print(f"  {clips} x {shape}: {figures[shape]}", file=sys.stderr, flush=True)
    return figures


def _measure(airflow: RunningAirflow, emulator: RunningEmulator, dag: str, clips: int) -> dict[str, Any]:
    before = len(emulator.requests())
    with WorkerProcesses(airflow) as workers:
        run_id = airflow.start_run(dag)
        airflow.end_of_run(dag, run_id)
    instances = airflow.instances(dag, run_id)
    failed = sum(instance["state"] != "success" for instance in instances)
    requests = emulator.requests()[before:]
    lasted = [process.seconds for process in workers.processes]
    return {
        "processes_per_clip": round(len(lasted) / clips, 2),
        "worker_s_per_clip": round(sum(lasted) / clips, 2),
        "worker_s_per_process": round(median(lasted), 2),
        "all_clips_s": round(max(r["ended_at"] for r in requests) - min(r["sent_at"] for r in requests), 1),
        "failed": failed,
    }
