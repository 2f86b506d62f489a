"""What became of a task whose worker or trigger is told to stop: ended, cleared, or going on elsewhere.

Airflow calls ``on_kill`` for all three, without a word on which (3.3.0 to 3.3.2; airflow-facts.md, section 0, rule 6,
and 3.4; apache/airflow#73454).
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from airflow_provider_pika.fal.ids import is_request_id

#: States in which nothing waits for the request any more. ``removed`` is none of them: the task is missing in the Dag
#: as it was parsed last, and Airflow runs it again, with its record, if it comes back.
_ENDED = frozenset({"failed", "success", "skipped", "upstream_failed"})

#: States that a deferred task, or a running one, comes to by a clear.
_CLEARED = frozenset({None, "restarting"})


class Fate(Enum):
    """What became of the task."""

    KILLED = "the task was ended: by a person, by its Dag, or since its worker was taken for dead"
    CLEARED = "the task was cleared, and starts anew"
    GOES_ON = "the task goes on, here or elsewhere, or was cleared, and its next try decides"


def fate_of_deferred(state: str | None, pushed: object, request_id: str) -> Fate:
    """Say what became of a task that was deferred.

    One that was cleared, and one that another process has resumed, are both ``scheduled``, then ``queued``, then
    ``running``. What else differs, a triggerer is not told: the instance's id and ``max_tries``; nor does the number of
    the try prove anything, since a retry, and a scheduler that dies, count it up, too. So both go on here. The next try
    of a cleared task knows by its record what it replaces, and cancels that if it still waits (``fal/recovery.py``).

    :param state: the task instance's state now. None: it waits to be scheduled. A resumed task comes to that, too, if
        its scheduler dies before a worker has it, minutes later; then the next try submits again what was cancelled.
    :param pushed: what the task has pushed as its request id; a try that replaces a request pushes its own. An XCom
        backend may have put something else in its place, which says nothing.
    """
    if state in _ENDED:
        return Fate.KILLED
    replaced = pushed != request_id and is_request_id(pushed)
    return Fate.CLEARED if replaced or state in _CLEARED else Fate.GOES_ON


def fate_of_running(state: str | None) -> Fate:
    """Say what became of a task that a worker ran; it may have another worker now, if this one was taken for dead."""
    if state in _ENDED:
        return Fate.KILLED
    return Fate.CLEARED if state == "restarting" else Fate.GOES_ON


async def ask_in_triggerer(task_instance: Any, request_id: str) -> Fate:
    """Ask Airflow what became of a trigger's task; may raise anything, since it asks by names of Airflow's own."""
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import GetXCom

    from airflow_provider_pika.task.xcom import REQUEST_ID

    ti, comms = task_instance, task_runner.SUPERVISOR_COMMS
    state = _state(ti, await comms.asend(_question(ti)))
    pushed = await comms.asend(
        GetXCom(key=REQUEST_ID, dag_id=ti.dag_id, run_id=ti.run_id, task_id=ti.task_id, map_index=_index(ti))
    )
    return fate_of_deferred(state, getattr(pushed, "value", None), request_id)


def ask_in_worker(task_instance: Any) -> Fate:
    """Ask Airflow what became of the task of this worker, which goes on answering while it ends it; as above."""
    from airflow.sdk.execution_time import task_runner

    return fate_of_running(_state(task_instance, task_runner.SUPERVISOR_COMMS.send(_question(task_instance))))


def _question(ti: Any) -> Any:
    from airflow.sdk.execution_time.comms import GetTaskStates

    return GetTaskStates(dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=_index(ti))


def _state(ti: Any, answer: Any) -> str | None:
    [state] = answer.task_states[ti.run_id].values()
    return None if state is None else str(getattr(state, "value", state))


def _index(ti: Any) -> int:
    return -1 if ti.map_index is None else int(ti.map_index)
