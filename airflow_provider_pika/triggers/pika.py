"""The wait in the triggerer. It submits nothing: a triggerer may be restarted, and then runs it again."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_pika import fate
from airflow_provider_pika.exceptions import OtherQueue, PikaError, TryLater, UnexpectedAnswer
from airflow_provider_pika.fate import Fate
from airflow_provider_pika.hooks.pika import PikaHook

if TYPE_CHECKING:
    from airflow_provider_pika.fal.client import AsyncFalQueue
    from airflow_provider_pika.fal.polling import Ending
    from airflow_provider_pika.fal.progress import Progress

#: Seconds that a cancellation in the triggerer may take, look at the task's fate included.
CANCEL_WITHIN = 30.0

#: Seconds between two times that Airflow is asked for the connection.
CONNECT_PAUSES = (5.0, 10.0, 20.0, 40.0, 60.0)

#: Cancellations under way: the event loop itself holds its tasks only weakly.
_UNDER_WAY: set[asyncio.Task[None]] = set()


class PikaVideoTrigger(BaseTrigger):
    """Look at one request until it ends or the deadline has passed; the event is for :func:`read_event`.

    It never raises and never submits. Its arguments are stored in plain text in Airflow's database; there is no key
    among them.

    :param request_id: the request.
    :param endpoint: the endpoint it was submitted to.
    :param pika_conn_id: the connection's id.
    :param queue_url: where the worker looked first; if the connection leads elsewhere, the wait breaks off.
    :param poll_interval: seconds between two looks.
    :param deadline: unix seconds; it stands still when the triggerer is restarted.
    :param timeout: seconds that lie before the deadline, for the message.
    :param told: what the worker has told of the wait before it deferred (``Progress.memory``).
    :param cancel_on_kill: cancel the request when the task is killed (Airflow 3.3 and newer tell the trigger).
    :param cancel_on_clear: cancel it when the task is cleared, if it still waits in fal's queue.
    """

    def __init__(
        self,
        *,
        request_id: str,
        endpoint: str,
        pika_conn_id: str,
        queue_url: str,
        poll_interval: float,
        deadline: float,
        timeout: float,
        told: Mapping[str, Any] | None = None,
        cancel_on_kill: bool = False,
        cancel_on_clear: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.request_id = request_id
        self.endpoint = endpoint
        self.pika_conn_id = pika_conn_id
        self.queue_url = queue_url
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.timeout = timeout
        self.told = told
        self.cancel_on_kill = cancel_on_kill
        self.cancel_on_clear = cancel_on_clear

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give the class path and the arguments, JSON only."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in _ARGUMENTS}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event, always."""
        from airflow_provider_pika.fal.progress import Progress

        progress = Progress(self.told)
        try:
            ending = await self._wait(progress)
        except Exception as error:  # a trigger that raises costs a retry, and tells nobody why
            ending = self._broken(error)
        yield TriggerEvent(to_event(ending, progress.tail()))

    async def _wait(self, progress: Progress) -> Ending:
        from airflow_provider_pika.fal.polling import LookAgain, Wait, decide

        wait = Wait(self.request_id, self.deadline, self.poll_interval, self.timeout)
        async with await self._queue_at_last() as queue:
            while True:
                look = await queue.look(self.endpoint, self.request_id)
                step = decide(wait, look, time.time())
                for line in progress.news(look, step):
                    self.log.info(line)
                if not isinstance(step, LookAgain):
                    return step
                await asyncio.sleep(step.after)
                wait = step.wait

    async def on_kill(self) -> None:
        """Cancel the request if a person wanted its task ended; Airflow 3.3 and newer call this.

        The triggerer cuts this off after a second, so the work goes on in a task of its own (airflow-facts.md, 2.4).
        """
        if self.cancel_on_kill and time.time() < self.deadline:  # past it, the wait has ended, and said what it did
            task = asyncio.get_running_loop().create_task(self._cancel_if_meant())
            _UNDER_WAY.add(task)
            task.add_done_callback(_UNDER_WAY.discard)
            await asyncio.shield(task)

    async def _cancel_if_meant(self) -> None:
        try:
            async with asyncio.timeout(CANCEL_WITHIN):
                became = await fate.ask_in_triggerer(self.task_instance, self.request_id)
                self.log.info("Request %s: %s", self.request_id, became.value)
                if became is Fate.KILLED or (became is Fate.CLEARED and self.cancel_on_clear):
                    await self._cancel(only_if_it_waits=became is Fate.CLEARED)
        except Exception as error:  # a request that runs on costs less than one that is cancelled by mistake
            self.log.warning("Request %s was not cancelled, and may be charged: %s", self.request_id, error)

    async def _cancel(self, *, only_if_it_waits: bool) -> None:
        async with await self._queue() as queue:
            if only_if_it_waits:
                seen = await queue.status(self.endpoint, self.request_id)
                if seen.status != "IN_QUEUE":
                    self.log.info("Request %s is %s; only a queued one is cancelled", self.request_id, seen.status)
                    return
            taken = await queue.cancel(self.endpoint, self.request_id)
            self.log.info("Request %s: %s", self.request_id, "cancelled" if taken else "had ended; its result is kept")

    async def _queue_at_last(self) -> AsyncFalQueue:
        """Give the queue, whatever trouble Airflow has for a moment with the connection: a clip may depend on it."""
        for pause in CONNECT_PAUSES:
            try:
                return await self._queue()
            except Exception as error:
                if isinstance(error, PikaError) and not error.retry_helps:
                    raise
                self.log.warning("The connection cannot be had: %s Asking again in %.0f s.", error, pause)
                await asyncio.sleep(min(pause, max(0.0, self.deadline - time.time())))
        return await self._queue()

    async def _queue(self) -> AsyncFalQueue:
        queue = await PikaHook(self.pika_conn_id).aget_conn()
        url = queue.account.queue_url
        if url == self.queue_url:
            return queue
        await queue.aclose()  # a connection that cannot be read for a moment must not lead to another account
        raise OtherQueue(
            f"The queue was {self.queue_url}, and connection {self.pika_conn_id!r} leads to {url}.",
            request_id=self.request_id,
        )

    def _broken(self, error: Exception) -> Ending:
        from airflow_provider_pika.fal.polling import Failed

        if not isinstance(error, PikaError):
            self.log.exception("The wait broke")
            error = TryLater(
                f"The wait broke: {type(error).__name__}: {error}".rstrip(".") + ".",
                consequence="If fal has the request, it goes on there; a retry looks at it again, and submits nothing.",
                request_id=self.request_id,
            )
        return Failed(error)


_ARGUMENTS = tuple(name for name in inspect.signature(PikaVideoTrigger.__init__).parameters if name != "self")


def to_event(ending: Ending, tail: list[str]) -> dict[str, Any]:
    """Make the trigger's event, a JSON object; ``tail`` is the end of the story, for the worker's log."""
    from airflow_provider_pika.fal.polling import Done, Failed

    match ending:
        case Done(video):
            fields: dict[str, Any] = {"outcome": "done", "video": video.model_dump()}
        case Failed(error):
            fields = {"outcome": "failed", "error": error.as_json()}
        case too_late:
            fields = {"outcome": "too late", **asdict(too_late)}
    return {**fields, "log": tail}


def read_event(event: Mapping[str, Any] | None) -> tuple[Ending, list[str]]:
    """Read the ending and the tail of the story out of an event; what is none of ours is a failure, never success."""
    from airflow_provider_pika.fal.models import Video
    from airflow_provider_pika.fal.polling import Done, Failed, TooLate

    try:
        fields = dict(event or {})
        tail = [str(line) for line in fields.get("log", [])]
        match fields.get("outcome"):
            case "done":
                return Done(Video.model_validate(fields["video"])), tail
            case "failed":
                return Failed(PikaError.from_json(fields["error"])), tail
            case "too late":
                return TooLate(str(fields["request_id"]), str(fields["message"]), bool(fields["completed"])), tail
    except (KeyError, TypeError, ValueError):
        pass
    return Failed(UnexpectedAnswer(f"The trigger sent an event that is not known here: {event!r}.")), []
