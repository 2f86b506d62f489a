"""A batch operator outside Airflow: its tries, and what Airflow keeps between them."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.triggers.base import BaseTrigger

from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from tests.support.airflow import StateStore, TaskInstance, run_to_the_end
from tests.support.airflow import WorkerCrash as WorkerCrash
from tests.support.emulator import accepted as accepted


class CrashingStore(StateStore):
    """The worker dies just after a number of values was kept; 0: it lives."""

    crash_after = 0

    def set(self, key: str, value: Any, **more: Any) -> None:
        super().set(key, value, **more)
        self.crash_after -= 1
        if self.crash_after == 0:
            raise WorkerCrash


class BatchTask:
    """A task instance with a batch of so many prompts, and what Airflow keeps of it."""

    def __init__(self, name: str, size: int, **arguments: Any) -> None:
        self.prompts = [f"{name} {n:05d}" for n in range(size)]
        self.arguments = {"poll_interval": 0.1, "inputs": self.prompts, "max_in_flight": 5, **arguments}
        self.store = CrashingStore()
        self.try_number, self.max_tries = 0, 2
        self.ti = TaskInstance()

    def attempt(self, **arguments: Any) -> Any:
        """Run the next try to its end."""
        task, more = self.begin(**arguments)
        return run_to_the_end(task, **more)

    def begin(self, **arguments: Any) -> tuple[PikaTextToVideoBatchOperator, dict[str, Any]]:
        """Return the operator of the next try, and its context."""
        self.try_number += 1
        self.ti = TaskInstance(try_number=self.try_number, max_tries=self.max_tries)
        task = PikaTextToVideoBatchOperator(task_id="batch", **{**self.arguments, **arguments})
        return task, {"ti": self.ti, "task_state_store": self.store}

    def first_round(self) -> tuple[PikaTextToVideoBatchOperator, dict[str, Any], BaseTrigger]:
        """Begin the next try; give its operator, its context, and the trigger that it defers to."""
        operator, more = self.begin()
        try:
            operator.execute(more)  # type: ignore[arg-type]
        except TaskDeferred as deferred:
            return operator, more, deferred.trigger
        raise AssertionError("it did not defer")

    def clear(self) -> None:
        """As Airflow's clear does it: more tries, and the state is kept (3.3)."""
        self.max_tries += 2
