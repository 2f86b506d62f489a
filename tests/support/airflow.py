"""What an operator needs to run outside Airflow, and how to see what it did."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.triggers.base import BaseTrigger


class StateStore:
    """Airflow 3.3's task state, in memory; JSON values, as there."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        """Give what was set, or the default."""
        return self.values.get(key, default)

    def set(self, key: str, value: Any, **_: Any) -> None:
        """Keep a value."""
        self.values[key] = value


class TaskInstance:
    """The little of a task instance that a sensor asks for."""

    def __init__(self, first_reschedule: datetime | None = None) -> None:
        self.first_reschedule = first_reschedule

    def get_first_reschedule_date(self, context: Any) -> datetime | None:
        """Give when the sensor was first rescheduled."""
        return self.first_reschedule


def context(**more: Any) -> Any:
    """Make a context for ``execute``."""
    return {"ti": TaskInstance(), **more}


def run_to_the_end(task: Any, **more: Any) -> Any:
    """Execute a task as Airflow does: if it defers, run its trigger, through serialization, and resume."""
    try:
        return task.execute(context(**more))
    except TaskDeferred as deferred:
        return getattr(task, deferred.method_name)(context(**more), event=event_of(deferred.trigger))


def event_of(trigger: BaseTrigger) -> dict[str, Any]:
    """Run a trigger as a triggerer does, from what was serialized, and give its one event."""
    _, kwargs = trigger.serialize()
    events = asyncio.run(_collect(type(trigger)(**kwargs)))
    assert len(events) == 1
    return events[0]


async def _collect(trigger: BaseTrigger) -> list[dict[str, Any]]:
    return [event.payload async for event in trigger.run()]
