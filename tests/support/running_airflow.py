"""A whole Airflow in processes of its own, driven by its REST API, and killed piece by piece where a test says so."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from dev.airflow_home import AirflowHome
from tests.support.airflow_api import HEALTHY_WITHIN, AirflowApi
from tests.support.components import Component, Process, send
from tests.support.waiting import free_port, until

__all__ = ["IMPATIENT", "RunningAirflow", "free_port", "running_airflow", "until"]

#: Settings for those who kill: what takes Airflow minutes to notice takes seconds.
IMPATIENT = {
    # A task whose worker is gone: failed, or retried, after 20 s. Its heartbeats come every 3 s, so that a busy machine
    # may lose five of them.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "3",
    # A triggerer that is gone, or stands still: the other one has its triggers after 10 s.
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
    # A scheduler that is gone: its tasks are adopted, or started again, after 10 s.
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "3",
    "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
    # A task that was handed out and never begun.
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
    # A task that does not say when its next attempt comes: those of the docs, say. Five minutes otherwise.
    "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "3",
}

#: The API server knows one of each: those of ``triggerer`` or ``triggerer-1``, and of LocalExecutor or ``worker-1``.
LOG_PORTS = ("AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT", "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT")

#: What each kind of component calls itself in the database.
JOBS = {"scheduler": "SchedulerJob", "dag": "DagProcessorJob", "triggerer": "TriggererJob"}


class RunningAirflow(AirflowApi):
    """An Airflow that is up: its REST API, and its processes."""

    def __init__(self, home: AirflowHome, port: int, components: dict[str, Component]) -> None:
        super().__init__(port)
        self.port = port
        self.home = home
        self.components = components

    def told(self) -> dict[str, Any]:
        """Return as JSON what another process needs to use it: :meth:`attached`."""
        home = {"folder": str(self.home.folder), "dags": str(self.home.dags), "settings": self.home.settings}
        sessions = {name: component.sessions for name, component in self.components.items()}
        return {"home": home, "port": self.port, "sessions": sessions}

    @classmethod
    def attached(cls, told: dict[str, Any]) -> RunningAirflow:
        """Return the one that another process has started; it has one triggerer, and no workers of Celery's."""
        home = AirflowHome(Path(told["home"]["folder"]), Path(told["home"]["dags"]), told["home"]["settings"])
        components = {component.name: component for component in _components(home, 1, 0)}
        for name, sessions in told["sessions"].items():
            components[name].attach(sessions)
        return cls(home, told["port"], components)

    def start(self, name: str) -> None:
        """Start a component, ``scheduler`` say, that was killed; it is not waited for: `until_healthy` does."""
        self.components[name].start()

    def kill(self, name: str, *, alone: bool = False) -> None:
        """
        SIGKILL a component and all that it has started: its machine has died.

        :param alone: only the process itself. The workers of a scheduler with LocalExecutor are its children: they
            live on, and go on with the tasks that they have, until this Airflow ends.
        """
        self.components[name].kill(alone=alone)

    def stop(self, name: str) -> None:
        """SIGSTOP all of a component: its machine stands still, and does not know it."""
        self.components[name].signal(signal.SIGSTOP)

    def cont(self, name: str) -> None:
        """SIGCONT all of a component that was stopped."""
        self.components[name].signal(signal.SIGCONT)

    def worker_of(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> list[Process]:
        """
        Return the processes that run a task instance now: the supervisor, then the task itself; none if none does.

        Each attempt has an id of its own, and both processes have it in their title (3.3). A worker of Celery's keeps
        the title of its last task when it idles: only with a task's own process it counts.
        """
        number = self.instance(dag_id, run_id, task_id, map_index)["id"]
        ours = [process for component in self.components.values() for process in component.processes]
        titles = {process: title for process in sorted(ours) if number in (title := process.title)}
        return list(titles) if any(title.startswith(f"airflow worker -- {number}") for title in titles.values()) else []

    def kill_worker(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> list[Process]:
        """SIGKILL both, the supervisor first: it would tell Airflow of the other's end. `RuntimeError` if none runs."""
        if not (worker := self.worker_of(dag_id, run_id, task_id, map_index)):
            raise RuntimeError(f"no process runs {task_id} of {run_id}")
        send(signal.SIGKILL, worker)
        return worker

    def until_healthy(self) -> None:
        """Wait until every component that was started, and not killed since, is there: itself, not its predecessor."""
        until(lambda: self.is_healthy() and all(map(self._is_up, self.components.values())), "Airflow", HEALTHY_WITHIN)

    def _is_up(self, component: Component) -> bool:
        kind = component.name.partition("-")[0]
        if component.started is None or kind == "api":
            return True
        if kind == "worker":
            return component.said(" ready.")  # Celery's own words: its workers are no jobs of Airflow's
        jobs = [job for job in self.jobs(JOBS[kind]) if job["unixname"] == component.name]
        return any(datetime.fromisoformat(job["start_date"]) >= component.started for job in jobs)


@contextlib.contextmanager
def running_airflow(home: AirflowHome, *, triggerers: int = 1, workers: int = 0) -> Iterator[RunningAirflow]:
    """
    Start everything, wait until it is healthy, and leave nothing behind.

    The database, the executor and all else are among the settings of ``home``: those of `RunningPostgres` and
    `RunningRedis`, and `IMPATIENT`, where they are wanted.

    :param triggerers: one is named ``triggerer``; more are named ``triggerer-1``, ``triggerer-2``.
    :param workers: Celery's, named ``worker-1``, ``worker-2``.
    """
    port = free_port()
    settings = {
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",  # no Dag changes, and a parse is a process
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__API_AUTH__JWT_SECRET": "for these tests, and long enough to sign with " * 2,
        **_log_ports(),
    }
    home = replace(home, settings={**settings, **home.settings})
    home.migrate(home.folder / "migrate.log")
    components = {component.name: component for component in _components(home, triggerers, workers)}
    with contextlib.ExitStack() as stack:
        for component in components.values():
            stack.callback(component.kill)  # not SIGTERM: nothing is left that a graceful end, of seconds, would save
            component.start()
        airflow = RunningAirflow(home, port, components)
        airflow.until_healthy()
        yield airflow


def _components(home: AirflowHome, triggerers: int, workers: int) -> Iterator[Component]:
    for name in ("api-server", "scheduler", "dag-processor"):
        yield Component(home, name, [name], {})
    for number in range(1, triggerers + 1):
        name = "triggerer" if triggerers == 1 else f"triggerer-{number}"
        yield Component(home, name, ["triggerer"], _log_ports() if number > 1 else {})
    for number in range(1, workers + 1):
        name = f"worker-{number}"
        options = ["--concurrency", "4", "--celery-hostname", name, "--without-mingle"]
        yield Component(home, name, ["celery", "worker", *options], _log_ports() if number > 1 else {})


def _log_ports() -> dict[str, str]:
    return {setting: str(free_port()) for setting in LOG_PORTS}
