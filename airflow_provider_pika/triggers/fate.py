"""What became of a task whose trigger was cancelled: killed, cleared, or only moved to another triggerer.

Airflow 3.3.0 to 3.3.2 call ``on_kill`` for all three (airflow-facts.md, section 0, rule 6; apache/airflow#73454).
"""

from __future__ import annotations

from enum import Enum
from typing import Any

#: States in which nothing waits for the request any more.
_ENDED = frozenset({"failed", "success", "skipped", "removed", "upstream_failed"})


class Fate(Enum):
    """What became of the task."""

    KILLED = "a person, or a time limit of its Dag, ended the task"
    CLEARED = "the task was cleared, and starts anew"
    MOVED = "the task still waits, in another triggerer"


def judge(state: str | None, pushed: object, request_id: str) -> Fate:
    """Say what became of the task.

    :param state: the task instance's state now; None: it has none, or it is not known.
    :param pushed: the request id that the task has pushed as an XCom; a new try pushes its own.
    """
    if state in _ENDED:
        return Fate.KILLED
    if state == "deferred" and pushed in (request_id, None):
        return Fate.MOVED
    return Fate.CLEARED


async def fate_of(task_instance: Any, request_id: str) -> Fate:
    """Ask Airflow what became of the task; may raise anything, since it asks by names that are Airflow's own."""
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import GetTaskStates, GetXCom

    from airflow_provider_pika.xcoms import REQUEST_ID

    ti, comms = task_instance, task_runner.SUPERVISOR_COMMS
    index = -1 if ti.map_index is None else ti.map_index
    states: Any = await comms.asend(
        GetTaskStates(dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=index)
    )
    [state] = states.task_states[ti.run_id].values()
    pushed = await comms.asend(
        GetXCom(key=REQUEST_ID, dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=index)
    )
    return judge(getattr(state, "value", state), getattr(pushed, "value", None), request_id)
