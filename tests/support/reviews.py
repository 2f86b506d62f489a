"""Reviews of a real Airflow, answered as a script does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from airflow_provider_pika.review.decision import REJECT
from tests.support.running_airflow import RunningAirflow, until

#: States of a task that waits for a person: of Airflow 3.3, and of 3.1.
WAITING = ("awaiting_input", "deferred")

#: Seconds. Airflow (3.1.8, 3.3.2) fails a task that is answered before its scheduler has heard that the task waits.
SETTLED = 12.0


@dataclass(frozen=True)
class Review:
    """One task that asks, of one run."""

    airflow: RunningAirflow
    dag_id: str
    run_id: str
    task_id: str = "review"
    map_index: int = -1

    def xcom(self, key: str) -> Any:
        """Return what it has pushed."""
        return self.airflow.xcom(self.dag_id, self.run_id, self.task_id, key, map_index=self.map_index)

    def question(self, after: str = "") -> Any:
        """Return what is asked.

        :param after: when the question before was asked.
        """
        at = (self.dag_id, self.run_id, self.task_id)
        self.airflow.until_state(*at, *WAITING, map_index=self.map_index)
        until(lambda: self.xcom("pika_review")["asked_at"] > after, "a new question", 120)
        self.airflow.until_state(*at, *WAITING, map_index=self.map_index)
        return self.xcom("pika_review")

    def answer(self, option: str, **values: Any) -> int:
        """Answer as a script does, and return the status of the API. A rejection says of which clips it is."""
        if option == REJECT:
            values = {"shown": self.xcom("pika_review")["shown"], **values}
        run = f"/api/v2/dags/{self.dag_id}/dagRuns/{self.run_id}"
        path = f"{run}/taskInstances/{self.task_id}/{self.map_index}/hitlDetails"
        try:
            self.airflow.call("PATCH", path, json={"chosen_options": [option], "params_input": values})
        except httpx.HTTPStatusError as error:
            return error.response.status_code
        return 200

    def ended(self, state: str) -> None:
        """Wait until it has ended."""
        self.airflow.until_state(self.dag_id, self.run_id, self.task_id, state, map_index=self.map_index)
