"""A whole Airflow in processes of its own: scheduler, dag-processor, triggerer, api-server; driven by its REST API."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import httpx

from dev.airflow_home import AirflowHome

T = TypeVar("T")

COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")

#: Seconds: a cold start on two busy cores takes half a minute, a Dag run of a few tasks some twenty seconds.
HEALTHY_WITHIN = 180.0
ENDED_WITHIN = 240.0


class RunningAirflow:
    """An Airflow that is up. Every method talks to its REST API, as a user's script would."""

    def __init__(self, home: AirflowHome, port: int, processes: dict[str, subprocess.Popen[str]]) -> None:
        self.home = home
        self.processes = processes
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60.0, trust_env=False)

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Call the API and give its JSON; raises ``httpx.HTTPStatusError``."""
        if "Authorization" not in self._http.headers:
            token = self._http.get("/auth/token").raise_for_status().json()["access_token"]
            self._http.headers["Authorization"] = f"Bearer {token}"
        return self._http.request(method, path, **options).raise_for_status().json()

    def start_run(self, dag_id: str, **conf: Any) -> str:
        """Trigger a Dag and give the run's id."""
        until(lambda: self._knows(dag_id), f"Dag {dag_id} to be parsed", HEALTHY_WITHIN)
        self.call("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": False})
        run = self.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})
        return str(run["dag_run_id"])

    def end_of_run(self, dag_id: str, run_id: str) -> str:
        """Wait until a run has ended, and give its state."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"
        return until(lambda: self._ended(path), f"{dag_id} to end", ENDED_WITHIN)

    def tasks(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        """Give a run's task instances by task id; of a mapped task, the last."""
        answer = self.call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances")
        return {instance["task_id"]: instance for instance in answer["task_instances"]}

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Give an XCom of a task that is not mapped."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.call("GET", path, params={"deserialize": "true"})["value"]

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int = 1) -> str:
        """Give a task's log as the UI shows it."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{attempt}"
        answer = self.call("GET", path, params={"full_content": "true"}, headers={"Accept": "application/json"})
        return "\n".join(json.dumps(entry) for entry in answer["content"])  # an exception is structured, too

    def is_healthy(self) -> bool:
        """Tell whether every component sends heartbeats."""
        with contextlib.suppress(httpx.HTTPError):
            health = self._http.get("/api/v2/monitor/health").raise_for_status().json()
            return all(health[name]["status"] == "healthy" for name in ("scheduler", "dag_processor", "triggerer"))
        return False

    def _knows(self, dag_id: str) -> bool:
        with contextlib.suppress(httpx.HTTPStatusError):
            return bool(self.call("GET", f"/api/v2/dags/{dag_id}"))
        return False

    def _ended(self, path: str) -> str | None:
        state = self.call("GET", path)["state"]
        return str(state) if state in ("success", "failed") else None


@contextlib.contextmanager
def running_airflow(home: AirflowHome) -> Iterator[RunningAirflow]:
    """Start everything, wait until it is healthy, and leave nothing behind."""
    port, log_port, trigger_log_port = free_port(), free_port(), free_port()
    settings = {
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(log_port),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_log_port),
        "AIRFLOW__API_AUTH__JWT_SECRET": "for these tests, and long enough to sign with " * 2,
    }
    home = replace(home, settings={**home.settings, **settings})
    home.migrate(home.folder / "migrate.log")
    with contextlib.ExitStack() as stack:
        processes = {}
        for name in COMPONENTS:
            log = stack.enter_context((home.folder / f"{name}.log").open("ab"))
            processes[name] = stack.enter_context(home.started(["airflow", name], log.fileno()))
        airflow = RunningAirflow(home, port, processes)
        until(airflow.is_healthy, "Airflow to be healthy", HEALTHY_WITHIN)
        yield airflow


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(look: Callable[[], T | None], what: str, within: float) -> T:
    """Look until there is something to see, and give it; ``TimeoutError`` names what did not come."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if seen := look():
            return seen
        time.sleep(0.5)
    raise TimeoutError(f"waited {within:.0f} s for {what}")
