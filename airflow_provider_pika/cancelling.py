"""What a killed worker does about the request that it waits for."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_pika import fate
from airflow_provider_pika.fate import Fate

if TYPE_CHECKING:
    from airflow_provider_pika.fal.client import Account

#: Seconds: Airflow sends SIGKILL 5 s after the SIGTERM that ``on_kill`` is called for (airflow-facts.md, 3.4).
CANCEL_WITHIN = 4.0


@dataclass(frozen=True)
class Target:
    """A request to cancel, and what it takes to do so without asking Airflow for a connection."""

    account: Account
    endpoint: str
    request_id: str
    task_instance: Any
    cancel_on_clear: bool


class CancelOnKill:
    """Cancels one request, once, from a signal handler, if Airflow says that its task was really ended.

    A worker is told to stop, too, when its machine goes, or when Airflow has taken it for dead and started another:
    then the request goes on, and so does the task. What cannot be found out counts as that.

    It works in a thread: a name that does not resolve, or a talk with Airflow that the signal has interrupted, must not
    hold the handler.
    """

    def __init__(self) -> None:
        self._target: Target | None = None
        self.fired = False

    def arm(self, target: Target) -> None:
        """Name the request to cancel."""
        self._target = target

    def fire(self, log: Any) -> None:
        """Cancel the request, if one was named, within :data:`CANCEL_WITHIN`; never raises."""
        self.fired = True
        target, self._target = self._target, None
        if target is None:
            return
        said = [f"no answer within {CANCEL_WITHIN:.0f} s, so it may still run, and be charged"]
        thread = threading.Thread(target=lambda: said.append(_cancel(target)), daemon=True)
        thread.start()
        thread.join(CANCEL_WITHIN)
        log.info("Told to stop while request %s runs: %s.", target.request_id, said[-1])


def _cancel(target: Target) -> str:
    from airflow_provider_pika.fal.client import FalQueue

    try:
        became = fate.ask_in_worker(target.task_instance)
        if became is Fate.GOES_ON or (became is Fate.CLEARED and not target.cancel_on_clear):
            return f"{became.value}; the request goes on"
        with FalQueue(replace(target.account, timeout=CANCEL_WITHIN)) as queue:
            taken = queue.cancel(target.endpoint, target.request_id)
    except Exception as error:  # a request that runs on costs less than one that is cancelled by mistake
        return f"it was not cancelled, and may be charged: {type(error).__name__}: {error}"
    return "fal takes the cancellation" if taken else "it had ended before; its result stays at fal for about an hour"
