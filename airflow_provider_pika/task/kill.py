"""What a killed worker does about the request that it waits for."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_pika.task import fate
from airflow_provider_pika.task.fate import Fate

if TYPE_CHECKING:
    from airflow_provider_pika.fal.account import Account

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
        said = [f"no answer within {CANCEL_WITHIN:.0f} s, so it may still run, and be charged"]
        import threading

        thread = threading.Thread(target=lambda: said.append(_cancel(target, request_ids)), daemon=True)
        thread.start()
        thread.join(CANCEL_WITHIN)
        what = f"request {request_ids[0]} runs" if len(request_ids) == 1 else f"{len(request_ids)} requests run"
        log.info("Told to stop while %s: %s.", what, said[-1])


def _cancel(target: Target, request_ids: list[str]) -> str:
    import asyncio

    try:
        became = fate.ask_in_worker(target.task_instance)
        if became is Fate.GOES_ON or (became is Fate.CLEARED and not target.cancel_on_clear):
            return f"{became.value}; the request goes on"
        taken = asyncio.run(_cancel_all(target, request_ids))
    except Exception as error:  # a request that runs on costs less than one that is cancelled by mistake
        return f"it was not cancelled, and may be charged: {type(error).__name__}: {error}"
    if len(request_ids) > 1:
        return f"fal takes the cancellation of {taken.count(True)}; those that had ended stay at fal for about an hour"
    if taken[0]:
        return "fal takes the cancellation"
    return "it had ended before; its result stays at fal for about an hour"


async def _cancel_all(target: Target, request_ids: list[str]) -> list[bool | BaseException]:
    import asyncio

    from airflow_provider_pika.fal.async_client import AsyncFalQueue

    async with AsyncFalQueue(replace(target.account, timeout=CANCEL_WITHIN)) as queue:
        cancelling = (queue.cancel(target.endpoint, request_id) for request_id in request_ids)
        answers = await asyncio.gather(*cancelling, return_exceptions=True)
    if isinstance(answers[0], BaseException) and len(answers) == 1:
        raise answers[0]
    return answers
