"""What a killed worker does about the request that it waits for."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_pika.exceptions import PikaError

if TYPE_CHECKING:
    from airflow_provider_pika.fal.client import Account

#: Seconds: Airflow sends SIGKILL 5 s after the SIGTERM that ``on_kill`` is called for (airflow-facts.md, 3.4).
CANCEL_WITHIN = 4.0


class CancelOnKill:
    """Cancels one request, once, from a signal handler.

    It has the account at hand: asking Airflow for the connection there would break into a talk with the supervisor that
    the signal may have interrupted. And it works in a thread: a name that does not resolve must not hold the handler.
    """

    def __init__(self) -> None:
        self._target: tuple[Account, str, str] | None = None
        self.fired = False

    def arm(self, account: Account, endpoint: str, request_id: str) -> None:
        """Name the request to cancel."""
        self._target = (account, endpoint, request_id)

    def fire(self, log: Any) -> None:
        """Cancel the request, if one was named, within :data:`CANCEL_WITHIN`; never raises."""
        self.fired = True
        target, self._target = self._target, None
        if target is None:
            return
        said = [f"no answer within {CANCEL_WITHIN:.0f} s; it may still run, and be charged"]
        thread = threading.Thread(target=lambda: said.append(_cancel(*target)), daemon=True)
        thread.start()
        thread.join(CANCEL_WITHIN)
        log.info("Killed: cancelling request %s: %s.", target[2], said[-1])


def _cancel(account: Account, endpoint: str, request_id: str) -> str:
    from airflow_provider_pika.fal.client import FalQueue

    try:
        with FalQueue(replace(account, timeout=CANCEL_WITHIN)) as queue:
            taken = queue.cancel(endpoint, request_id)
    except PikaError as error:
        return error.message.rstrip(".")
    return "fal takes the cancellation" if taken else "it had ended before; its result stays at fal for about an hour"
