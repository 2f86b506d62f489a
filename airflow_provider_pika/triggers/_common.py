"""What both triggers share: their arguments, their client, a kill, and an event that does not come too soon."""

from __future__ import annotations

import asyncio
import inspect
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseTrigger

from airflow_provider_pika.exceptions import PikaError, TryLater
from airflow_provider_pika.hooks.pika import PikaHook
from airflow_provider_pika.strict_json import for_airflow
from airflow_provider_pika.task import kill

if TYPE_CHECKING:
    from airflow_provider_pika.fal.client_pool import SharedQueue
    from airflow_provider_pika.task.kill import Fate


#: Seconds between two times that Airflow is asked for the connection.
CONNECT_PAUSES = (5.0, 10.0, 20.0, 40.0, 60.0)


#: Seconds that a cancellation in the triggerer may take, with the question what became of the task.
CANCEL_WITHIN = 30.0


class PikaTrigger(BaseTrigger):
    """A trigger that stores its arguments as JSON, and cancels only what a person, or a clear, has ended.

    :param watched: what it waits for, for the log: "Request 019e..." or "Batch".
    :param pushed: the request id that its task has pushed; "" where it has several.
    """

    cancel_on_kill: bool

    def __init__(self, watched: str, pushed: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._watched = watched
        self._pushed = pushed

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments, which are JSON."""
        parameters = inspect.signature(type(self).__init__).parameters.values()
        names = [each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY]
        return f"{type(self).__module__}.{type(self).__qualname__}", for_airflow({n: getattr(self, n) for n in names})

    async def on_kill(self) -> None:
        """Cancel what is under way if a person wanted the task ended; Airflow 3.3 and newer call this, for a second."""
        if self._may_cancel():
            await Background.run(self._cancel_if_meant())

    def _may_cancel(self) -> bool:
        return self.cancel_on_kill

    @abstractmethod
    async def _cancel(self, became: Fate) -> None:
        """Cancel what is under way, where that is meant by what became of the task."""

    async def _cancel_if_meant(self) -> None:
        try:
            async with asyncio.timeout(CANCEL_WITHIN):
                became = await kill.ask_in_triggerer(self.task_instance, self._pushed)
                self.log.info("%s: %s", self._watched, became.value)
                await self._cancel(became)
        except Exception as error:  # what runs on costs less than what is cancelled by mistake
            self.log.warning("%s was not cancelled, and may be charged: %s", self._watched, error)


class Background:
    """Work that goes on when the triggerer cuts ``on_kill`` off, after a second (airflow-facts.md, 2.4)."""

    #: The event loop itself holds its tasks only weakly.
    _under_way: ClassVar[set[asyncio.Task[None]]] = set()

    @classmethod
    async def run(cls, work: Coroutine[Any, Any, None]) -> None:
        """Wait for the work, which outlives this wait."""
        task = asyncio.get_running_loop().create_task(work)
        cls._under_way.add(task)
        task.add_done_callback(cls._under_way.discard)
        await asyncio.shield(task)


def broken(error: Exception, request_id: str | None, log: Any) -> PikaError:
    """Return what a worker is told of an error that ended a wait, and not the request."""
    if not isinstance(error, PikaError):
        log.exception("The wait broke")
        error = TryLater(
            f"The wait broke: {type(error).__name__}: {error}".rstrip(".") + ".",
            consequence="If fal has the request, it goes on there. A retry polls it again, and submits nothing.",
        )
    # a copy: all waits that share a client may have met the same one
    return PikaError.from_json({**error.as_json(), "request_id": error.request_id or request_id})


@asynccontextmanager
async def connected(pika_conn_id: str, queue_url: str, deadline: float, log: Any) -> AsyncIterator[SharedQueue]:
    """Return the client that all triggers of this process share, once it leads where it shall: a clip may depend on it.

    :param queue_url: the queue that has the request.
    :param deadline: unix seconds; past it, Airflow is asked without pauses.
    :raises OtherQueue: the connection leads elsewhere, over and over.
    :raises Exception: what reading the connection raised, over and over.
    """
    from airflow_provider_pika.fal.client_pool import shared_queue

    async with shared_queue(pika_conn_id, queue_url, PikaHook(pika_conn_id).aget_conn) as queue:
        for pause in (*CONNECT_PAUSES, None):
            try:
                await queue.client()
                break
            except Exception as error:
                if pause is None or (isinstance(error, PikaError) and not error.retry_helps):
                    raise
                log.warning("The connection cannot be read: %s Trying again in %.0f s.", error, pause)
                await asyncio.sleep(min(pause, max(0.0, deadline - time.time())))
        yield queue


#: Seconds from a trigger's start to the earliest event that has a worker go on.
SETTLED_AFTER = 5.0


async def settled(began: float, task_instance: object) -> None:
    """Let Airflow's scheduler take in that the task was deferred before it hears that the task goes on.

    The end of the worker that deferred reaches the scheduler late, and if the next worker is there by then, it is taken
    for that one's: the task fails, or is retried, though nothing is wrong (apache/airflow#66374, #67287, #72716; run on
    3.1.8 and 3.3.2 with LocalExecutor on a busy machine). A generation takes longer than this anyway.

    :param began: when the trigger started, of the clock ``time.monotonic``.
    :param task_instance: the trigger's; None in ``airflow dags test``, which has no scheduler.
    """
    if task_instance is not None:
        await asyncio.sleep(max(0.0, began + SETTLED_AFTER - time.monotonic()))
