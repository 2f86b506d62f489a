"""A task that is told to stop: was it killed, cleared, or does it go on; and what is cancelled.

Airflow calls ``on_kill`` for all three, without a word on which (3.3.0 to 3.3.2; airflow-facts.md, section 0, rule 6,
and 3.4; apache/airflow#73454).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from airflow_provider_pika.exceptions import TryLater
from airflow_provider_pika.fal.ids import is_request_id

if TYPE_CHECKING:
    from airflow_provider_pika.fal.account import Account


#: States in which nothing waits for the request any more. ``removed`` is none of them: the task is missing in the Dag
#: as it was parsed last, and Airflow runs it again, with its record, if it comes back.
_ENDED = frozenset({"failed", "success", "skipped", "upstream_failed"})

#: States that a deferred task, or a running one, comes to by a clear.
_CLEARED = frozenset({None, "restarting"})


class Fate(Enum):
    """What became of the task."""

    KILLED = "the task was ended by a person, by its Dag, or because Airflow took its worker for dead"
    CLEARED = "the task was cleared, and starts again"
    GOES_ON = "the task goes on, here or in another worker, or it was cleared and its next try decides"


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


#: Seconds: Airflow sends SIGKILL 5 s after the SIGTERM that ``on_kill`` is called for (airflow-facts.md, 3.4).
CANCEL_WITHIN = 4.0


@dataclass(frozen=True)
class Target:
    """What to cancel, and what it takes to do so without asking Airflow for a connection.

    :param request_ids: gives the requests that are under way when it is asked.
    """

    account: Account
    endpoint: str
    request_ids: Callable[[], Collection[str]]
    task_instance: Any
    cancel_on_clear: bool


class CancelOnKill:
    """Cancels requests, once, from a signal handler, if Airflow says that its task was really ended.

    A worker is told to stop, too, when its machine goes, or when Airflow has taken it for dead and started another:
    then the request goes on, and so does the task. What cannot be found out counts as that.

    It works in a thread: a name that does not resolve, or a talk with Airflow that the signal has interrupted, must not
    hold the handler.
    """

    def __init__(self) -> None:
        self._target: Target | None = None
        self.fired = False

    def arm(self, target: Target) -> None:
        """Say what to cancel."""
        self._target = target

    def fire(self, log: Any) -> None:
        """Cancel what is under way, within :data:`CANCEL_WITHIN`; never raises."""
        self.fired = True
        target, self._target = self._target, None
        request_ids = list(target.request_ids()) if target else []
        if target is None or not request_ids:
            return
        said = [f"no answer within {CANCEL_WITHIN:.0f} s, so it may still run, and may be charged"]
        import threading

        thread = threading.Thread(target=lambda: said.append(_cancel(target, request_ids)), daemon=True)
        thread.start()
        thread.join(CANCEL_WITHIN)
        what = f"request {request_ids[0]} runs" if len(request_ids) == 1 else f"{len(request_ids)} requests run"
        log.info("Told to stop while %s: %s.", what, said[-1])


class StopsWhenKilled:
    """Cancels what is under way, and submits nothing more, once Airflow says stop; to be mixed into an operator."""

    log: Any

    def on_kill(self) -> None:
        """Submit no more, and cancel what is under way, within seconds. Airflow calls this in a signal handler."""
        self._killing.fire(self.log)

    @property
    def _killing(self) -> CancelOnKill:
        # made when it is needed: what a Dag file's operator holds is copied and serialized
        return self.__dict__.setdefault("_cancel_on_kill", CancelOnKill())  # type: ignore[no-any-return]

    def _stop_if_killed(self) -> None:
        if self._killing.fired:
            raise TryLater("The task was told to stop, so nothing more is submitted.")


def _cancel(target: Target, request_ids: list[str]) -> str:
    import asyncio

    try:
        became = ask_in_worker(target.task_instance)
        if became is Fate.GOES_ON or (became is Fate.CLEARED and not target.cancel_on_clear):
            return f"{became.value}; the request goes on"
        taken = asyncio.run(_cancel_all(target, request_ids))
    except Exception as error:  # a request that runs on costs less than one that is cancelled by mistake
        return f"it was not cancelled, and may be charged: {type(error).__name__}: {error}"
    if len(request_ids) > 1:
        return (
            f"fal accepted the cancellation of {taken.count(True)}; results of the others stay at fal for about an hour"
        )
    if taken[0]:
        return "fal accepted the cancellation"
    return "it had already ended; its result stays at fal for about an hour"


async def _cancel_all(target: Target, request_ids: list[str]) -> list[bool | BaseException]:
    import asyncio

    from airflow_provider_pika.fal.async_client import AsyncFalQueue

    async with AsyncFalQueue(replace(target.account, timeout=CANCEL_WITHIN)) as queue:
        cancelling = (queue.cancel(target.endpoint, request_id) for request_id in request_ids)
        answers = await asyncio.gather(*cancelling, return_exceptions=True)
    if isinstance(answers[0], BaseException) and len(answers) == 1:
        raise answers[0]
    return answers
