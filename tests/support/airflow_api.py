"""Airflow's REST API, as a user's script would call it."""

from __future__ import annotations

import contextlib
import functools
import json
from typing import Any

import httpx

from tests.support.waiting import until

#: Seconds: a cold start on two busy cores takes half a minute, a Dag run of a few tasks some twenty seconds.
HEALTHY_WITHIN = 180.0
ENDED_WITHIN = 240.0

#: States that a task instance leaves only when somebody clears it.
ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")

Instance = dict[str, Any]


class AirflowApi:
    """The API server on a loopback port."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._http = httpx.Client(base_url=self.url, timeout=60.0, trust_env=False)

    @functools.cached_property
    def token(self) -> str:
        """The token of a user who may do anything."""
        return str(self._http.get("/auth/token").raise_for_status().json()["access_token"])

    def call(self, method: str, path: str, **options: Any) -> Any:
        """Call the API and give its JSON; raises ``httpx.HTTPStatusError``."""
        if "Authorization" not in self._http.headers:
            self._http.headers["Authorization"] = f"Bearer {self.token}"
        return self._http.request(method, path, **options).raise_for_status().json()

    def start_run(self, dag_id: str, **conf: Any) -> str:
        """Trigger a Dag and give the run's id."""
        until(lambda: self._knows(dag_id), f"Dag {dag_id} to be parsed", HEALTHY_WITHIN)
        self.call("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": False})
        run = self.call("POST", f"/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})
        return str(run["dag_run_id"])

    def end_of_run(self, dag_id: str, run_id: str, within: float = ENDED_WITHIN) -> str:
        """Wait until a run has ended, and give its state; what takes too long says what became of each attempt."""
        try:
            return until(lambda: self._ended(dag_id, run_id), f"{dag_id} to end", within, every=2.0)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.story(dag_id, run_id)}") from None

    def story(self, dag_id: str, run_id: str) -> str:
        """Return a line for each task instance of a run, and the end of the log of each attempt that is over."""
        lines = list[str]()
        for each in self.instances(dag_id, run_id):
            task_id, map_index = each["task_id"], each["map_index"]
            lines.append(f"{task_id}[{map_index}]: {each['state']}, attempt {each['try_number']}")
            if each["state"] not in ("success", "skipped", None):
                lines += [log[-2000:] for log in self.logs(dag_id, run_id, task_id, map_index)]
        return "\n".join(lines)

    def tasks(self, dag_id: str, run_id: str) -> dict[str, Instance]:
        """Return a run's task instances by task id; of a mapped task, the last."""
        return {instance["task_id"]: instance for instance in self.instances(dag_id, run_id)}

    def instances(self, dag_id: str, run_id: str, task_id: str | None = None) -> list[Instance]:
        """Return all task instances of a run, or of one task in it: one for each ``map_index``."""
        path, found = f"{_run(dag_id, run_id)}/taskInstances", list[Instance]()
        while True:
            page = self.call("GET", path, params={"limit": 100, "offset": len(found)})
            found += page["task_instances"]
            if not page["task_instances"] or len(found) >= page["total_entries"]:
                return [instance for instance in found if task_id in (None, instance["task_id"])]

    def instance(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Instance:
        """Return one task instance; ``triggerer``, if it is deferred to one, by the name that it was started with."""
        instance: Instance = self.call("GET", _instance(dag_id, run_id, task_id, map_index))
        trigger = instance["trigger"] or {}
        names = {job["id"]: job["unixname"] for job in self.jobs("TriggererJob")} if trigger else {}
        return {**instance, "triggerer": names.get(trigger.get("triggerer_id"))}

    def until_state(self, dag_id: str, run_id: str, task_id: str, *states: str, **more: Any) -> Instance:
        """Wait until a task instance has one of the states, and give it; takes ``map_index`` and ``within``.

        :raises AssertionError: it has ended in another state.
        :raises TimeoutError: it has none of them in time.
        """
        within = more.pop("within", ENDED_WITHIN)
        path = _instance(dag_id, run_id, task_id, more.get("map_index", -1))

        def reached() -> Instance | None:
            try:
                instance: Instance = self.call("GET", path)
            except httpx.HTTPStatusError as error:
                if error.response.status_code == 404:  # of a mapped task, before it is known what it is mapped over
                    return None
                raise
            if instance["state"] in states:
                return instance
            if instance["state"] in ENDED:
                raise AssertionError(f"{task_id} is {instance['state']}\n{self.story(dag_id, run_id)}")
            return None

        try:
            return until(reached, f"{task_id} to be {' or '.join(states)}", within, every=1.0)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.story(dag_id, run_id)}") from None

    def set_state(self, dag_id: str, run_id: str, task_id: str, state: str, map_index: int = -1) -> None:
        """Mark a task instance, as the UI's "Mark state as" does: ``failed``, ``success`` or ``skipped``."""
        path = _instance(dag_id, run_id, task_id, map_index)
        self.call("PATCH", path, json={"new_state": state})

    def clear(self, dag_id: str, run_id: str, *task_ids: str, **more: Any) -> list[Instance]:
        """Clear tasks of a run, whatever their state, and give what was cleared; takes the endpoint's own options."""
        options = {"dry_run": False, "only_failed": False, "reset_dag_runs": True, **more}
        body = {"dag_run_id": run_id, "task_ids": list(task_ids), **options}
        cleared = self.call("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", json=body)
        return list(cleared["task_instances"])

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return an XCom of a task instance."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.call("GET", path, params={"deserialize": "true", "map_index": map_index})["value"]

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int | None = None, map_index: int = -1) -> str:
        """Return an attempt's log as the UI shows it; the last attempt's, if none is asked for."""
        if attempt is None:
            attempt = self.instance(dag_id, run_id, task_id, map_index)["try_number"]
        path = f"{_run(dag_id, run_id)}/taskInstances/{task_id}/logs/{attempt}"
        params: dict[str, Any] = {"full_content": "true", "map_index": map_index}
        answer = self.call("GET", path, params=params, headers={"Accept": "application/json"})
        return "\n".join(json.dumps(entry) for entry in answer["content"])  # an exception is structured, too

    def logs(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> list[str]:
        """
        Return the logs of all attempts that Airflow knows, the first one's first.

        It forgets an attempt that its scheduler took for over while the next worker was on its way: the record of
        attempts gets only those that ran (3.3.2). A busy machine may bring that about (``settled`` in our triggers).
        """
        logs = list[str]()
        for number in range(1, self.instance(dag_id, run_id, task_id, map_index)["try_number"] + 1):
            try:
                logs.append(self.log(dag_id, run_id, task_id, number, map_index))
            except httpx.HTTPStatusError as error:
                if error.response.status_code != 404:
                    raise
        return logs

    def jobs(self, job_type: str) -> list[dict[str, Any]]:
        """Return the living jobs: ``SchedulerJob``, ``DagProcessorJob``, ``TriggererJob``; with ``unixname``."""
        answer = self.call("GET", "/api/v2/jobs", params={"job_type": job_type, "is_alive": "true"})
        return list(answer["jobs"])

    def pool(self, name: str, slots: int, **more: Any) -> None:
        """Make a pool; takes the endpoint's own options, ``include_deferred`` say."""
        self.call("POST", "/api/v2/pools", json={"name": name, "slots": slots, **more})

    def is_healthy(self) -> bool:
        """Return whether every component sends heartbeats."""
        with contextlib.suppress(httpx.HTTPError):
            health = self._http.get("/api/v2/monitor/health").raise_for_status().json()
            return all(health[name]["status"] == "healthy" for name in ("scheduler", "dag_processor", "triggerer"))
        return False

    def _knows(self, dag_id: str) -> bool:
        with contextlib.suppress(httpx.HTTPStatusError):
            return bool(self.call("GET", f"/api/v2/dags/{dag_id}"))
        return False

    def _ended(self, dag_id: str, run_id: str) -> str | None:
        state = self.call("GET", _run(dag_id, run_id))["state"]
        return str(state) if state in ("success", "failed") else None


def _run(dag_id: str, run_id: str) -> str:
    return f"/api/v2/dags/{dag_id}/dagRuns/{run_id}"


def _instance(dag_id: str, run_id: str, task_id: str, map_index: int) -> str:
    mapped = "" if map_index == -1 else f"/{map_index}"
    return f"{_run(dag_id, run_id)}/taskInstances/{task_id}{mapped}"
