"""What an operator needs to run outside Airflow, and how to see what it did."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.triggers.base import BaseTrigger


class WorkerCrash(BaseException):
    """As a ``kill -9``, at any moment: no ``except Exception`` runs."""


class StateStore:
    """Airflow 3.3's task state, in memory; JSON values, as there."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        """Return what was set, or the default."""
        return json.loads(self.values[key]) if key in self.values else default

    def set(self, key: str, value: Any, **_: Any) -> None:
        """Keep a value."""
        self.values[key] = json.dumps(value)


class TaskInstance:
    """The little of a task instance that our tasks ask for; ``xcoms`` is what was pushed."""

    dag_id = "a_dag"
    run_id = "manual__2026-11-27T00:00:00+00:00"
    task_id = "task"
    map_index = -1

    def __init__(
        self,
        first_reschedule: datetime | None = None,
        *,
        try_number: int = 1,
        max_tries: int = 2,
        start_date: datetime | None = None,
    ) -> None:
        self.first_reschedule = first_reschedule
        self.start_date = start_date
        self.try_number = try_number
        self.max_tries = max_tries
        self.xcoms: dict[str, Any] = {}

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        """Return when the sensor was first rescheduled."""
        return self.first_reschedule

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep a value."""
        self.xcoms[key] = value

    def xcom_pull(self, task_ids: str, key: str, map_indexes: int) -> Any:
        """Return what was pushed."""
        return self.xcoms.get(key)


def context(**more: Any) -> Any:
    """Make a context for ``execute``."""
    return {"ti": TaskInstance(), **more}


def run_to_the_end(task: Any, event: dict[str, Any] | None = None, **more: Any) -> Any:
    """Execute a task as Airflow does: if it defers, run its trigger, through serialization, and resume.

    :param event: of its trigger, if the task is deferred already.
    """
    here = context(**more)
    resume: Any = task.execute if event is None else task.execute_complete
    arguments: dict[str, Any] = {} if event is None else {"event": event}
    while True:
        try:
            return resume(here, **arguments)
        except TaskDeferred as deferred:
            carried = json.loads(json.dumps(deferred.kwargs or {}))
            resume, arguments = getattr(task, deferred.method_name), {**carried, "event": event_of(deferred.trigger)}


def event_of(trigger: BaseTrigger) -> dict[str, Any]:
    """Run a trigger as a triggerer does, from what was serialized, and give its one event."""
    _, kwargs = trigger.serialize()
    events = asyncio.run(_collect(type(trigger)(**json.loads(json.dumps(kwargs)))))
    assert len(events) == 1
    return events[0]


async def _collect(trigger: BaseTrigger) -> list[dict[str, Any]]:
    return [json.loads(json.dumps(event.payload)) async for event in trigger.run()]
