"""What a clip costs in worker processes: how many, and for how long; none is held while fal generates."""

from __future__ import annotations

import re
from typing import NamedTuple

import pytest

from tests.support.emulator import RunningEmulator
from tests.support.running_airflow import RunningAirflow
from tests.support.worker_processes import WorkerProcess, WorkerProcesses
from tests.system.stage import SLOW

pytestmark = pytest.mark.before_release

DAG = "waits"

#: Way: how many processes run the task that waits; the submit of another task is one more. A way that the Dag has, too.
PROCESSES = {"sensor": 2, "operator": 2}

#: The way that does hold its worker: what that looks like here.
HELD = "operator_that_holds"

FIELDS = [
    "content_type",
    "cost",
    "endpoint",
    "file_name",
    "file_size",
    "inference_time",
    "prompt",
    "request_id",
    "reused",
    "seed",
    "url",
]


class Counted(NamedTuple):
    """A run of the Dag that has ended, and the processes that it took."""

    airflow: RunningAirflow
    run_id: str
    workers: WorkerProcesses

    def of(self, task_id: str) -> list[WorkerProcess]:
        """Return the processes that ran a task."""
        return self.workers.of(DAG, self.run_id, task_id)

    def state(self, task_id: str) -> str:
        """Return how a task ended."""
        return str(self.airflow.instance(DAG, self.run_id, task_id)["state"])


@pytest.fixture(scope="module")
def run(airflow: RunningAirflow) -> Counted:
    """All the ways at once."""
    with WorkerProcesses(airflow) as workers:
        run_id = airflow.start_run(DAG)
        airflow.end_of_run(DAG, run_id)
    return Counted(airflow, run_id, workers)


@pytest.mark.parametrize("way", PROCESSES)
def test_a_wait_takes_a_process_to_begin_and_at_most_one_to_end(run: Counted, way: str) -> None:
    processes = run.of(way)
    assert run.state(way) == "success"
    assert len(processes) == PROCESSES[way], processes
    assert all(process.ended is not None for process in processes)


@pytest.mark.parametrize("way", [way for way in PROCESSES if way.startswith("sensor")])
def test_a_submit_that_is_waited_for_elsewhere_takes_one_process(run: Counted, way: str) -> None:
    assert len(run.of(f"{way}_submits")) == 1


@pytest.mark.parametrize("way", PROCESSES)
def test_no_worker_is_held_while_the_clip_is_generated(run: Counted, slow: RunningEmulator, way: str) -> None:
    [request] = [request for request in slow.requests() if request["input"]["prompt"] == way]
    assert request["ended_at"] - request["sent_at"] >= SLOW
    seconds = [process.seconds for process in run.of(way)]
    assert min(seconds) > 0
    assert sum(seconds) < SLOW


def test_a_worker_that_is_held_would_be_seen(run: Counted) -> None:
    [process] = run.of(HELD)
    assert process.seconds > SLOW


@pytest.mark.parametrize("way", PROCESSES)
def test_the_next_task_gets_the_same_object_however_it_was_waited_for(run: Counted, way: str) -> None:
    video = run.airflow.xcom(DAG, run.run_id, way)
    assert sorted(video) == FIELDS
    # Airflow's API mends a text of JSON, which a task gets as a text
    assert run.state(f"{way}_used") == "success", run.airflow.log(DAG, run.run_id, f"{way}_used")
    assert run.airflow.xcom(DAG, run.run_id, f"{way}_used") == ["dict", video["url"], FIELDS]


def test_no_process_was_too_short_to_be_counted(run: Counted) -> None:
    log = (run.airflow.home.folder / "api-server.log").read_text()
    for task in run.airflow.instances(DAG, run.run_id):
        begun = re.findall(rf"task-instances/{task['id']}/run\b.*\b200\b", log)
        assert len(begun) == len(run.of(task["task_id"])), task["task_id"]
