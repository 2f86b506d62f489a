"""The wait in the triggerer. It submits nothing: a triggerer may be restarted, and then runs it again."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_pika.exceptions import PikaError, UnexpectedAnswer
from airflow_provider_pika.strict_json import for_airflow
from airflow_provider_pika.task.kill import Fate
from airflow_provider_pika.triggers._common import PikaTrigger, broken, connected, settled

if TYPE_CHECKING:
    from airflow_provider_pika.fal.polling import Ending
    from airflow_provider_pika.fal.progress import Progress


class PikaVideoTrigger(PikaTrigger):
    """Poll one request until it ends or the deadline has passed; the event is for :func:`read_event`.

    It never raises and never submits. Its arguments are stored in plain text in Airflow's database; there is no key
    among them.

    :param request_id: the request.
    :param endpoint: the endpoint it was submitted to.
    :param pika_conn_id: the connection's id.
    :param queue_url: where the worker looked first; if the connection leads elsewhere, the wait breaks off.
    :param poll_interval: seconds between two polls; None: where they matter (``fal/poll_interval.py``).
    :param deadline: unix seconds; it stands still when the triggerer is restarted.
    :param timeout: seconds that lie before the deadline, for the message.
    :param limit: which of the task's limits they are, "timeout" or "execution_timeout".
    :param told: what the worker has told of the wait before it deferred (``Progress.memory``).
    :param seen: what its polls have shown (``Sightings.as_json``).
    :param resolution: of the clip, as far as the task knows; clips of one resolution and duration take about as long.
    :param duration: of the clip, in seconds.
    :param stream: follow fal's status stream; where that fails, the wait goes on by polling.
    :param cancel_on_kill: cancel the request when the task is killed (Airflow 3.3 and newer tell the trigger).
    :param cancel_on_clear: cancel it when the task is cleared, if it still waits in fal's queue, and Airflow shows that
        it was cleared; else its next try does.
    :param earlier: arguments that an earlier version stored (``end_from_trigger``); they have no effect.
    """

    def __init__(
        self,
        *,
        request_id: str,
        endpoint: str,
        pika_conn_id: str,
        queue_url: str,
        poll_interval: float | None,
        deadline: float,
        timeout: float,
        limit: str = "timeout",
        told: Mapping[str, Any] | None = None,
        seen: Mapping[str, Any] | None = None,
        resolution: str | None = None,
        duration: int | None = None,
        stream: bool = False,
        cancel_on_kill: bool = False,
        cancel_on_clear: bool = False,
        **earlier: Any,
    ) -> None:
        super().__init__(f"Request {request_id}", request_id)
        self.request_id = request_id
        self.endpoint = endpoint
        self.pika_conn_id = pika_conn_id
        self.queue_url = queue_url
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.timeout = timeout
        self.limit = limit
        self.told = told
        self.seen = seen
        self.resolution = resolution
        self.duration = duration
        self.stream = stream
        self.cancel_on_kill = cancel_on_kill
        self.cancel_on_clear = cancel_on_clear

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event, always."""
        from airflow_provider_pika.fal.polling import Failed
        from airflow_provider_pika.fal.progress import Progress

        began, progress = time.monotonic(), Progress(self.told)
        try:
            ending = await self._wait(progress)
        except Exception as error:  # a trigger that raises costs a retry, and tells nobody why
            ending = Failed(broken(error, self.request_id, self.log))
        event = strict_event(to_event(ending, progress.tail()), lambda trouble: to_event(Failed(trouble), []))
        await settled(began, self.task_instance)
        yield event

    async def _wait(self, progress: Progress) -> Ending:
        from airflow_provider_pika.fal.poll_interval import Kind, Sightings
        from airflow_provider_pika.fal.polling import Poll, PollAgain, Wait
        from airflow_provider_pika.fal.watcher import Watch

        def tell(poll: Poll, step: PollAgain | Ending) -> None:
            for line in progress.news(poll, step):
                self.log.log(line.level, str(line))

        seen = Sightings.from_json(self.seen)
        wait = Wait(self.request_id, self.deadline, self.poll_interval, self.timeout, seen=seen, limit=self.limit)
        kind = Kind(self.queue_url, self.endpoint, self.resolution, self.duration)
        async with connected(self.pika_conn_id, self.queue_url, self.deadline, self.log) as queue:
            return await Watch(queue, kind, tell, stream=self.stream).until_it_ends(wait)

    def _may_cancel(self) -> bool:
        return self.cancel_on_kill and time.time() < self.deadline  # past it, the wait has ended, and said what it did

    async def _cancel(self, became: Fate) -> None:
        if became is Fate.KILLED or (became is Fate.CLEARED and self.cancel_on_clear):
            await self._cancel_request(only_if_it_waits=became is Fate.CLEARED)

    async def _cancel_request(self, *, only_if_it_waits: bool) -> None:
        connection = connected(self.pika_conn_id, self.queue_url, time.time(), self.log)
        async with connection as shared, shared.lend() as queue:
            if only_if_it_waits:
                seen = await queue.status(self.endpoint, self.request_id)
                if seen.status != "IN_QUEUE":
                    self.log.info(
                        "Request %s is %s, so it is not cancelled: only a request that waits is",
                        self.request_id,
                        seen.status,
                    )
                    return
            taken = await queue.cancel(self.endpoint, self.request_id)
            self.log.info(
                "Request %s: %s", self.request_id, "cancelled" if taken else "had already ended; its result stays"
            )


def to_event(ending: Ending, tail: list[str]) -> dict[str, Any]:
    """Make the trigger's event, a JSON object; ``tail`` is the end of its log, for the worker's."""
    from airflow_provider_pika.fal.polling import Done, Failed

    match ending:
        case Done(video):
            fields: dict[str, Any] = {"outcome": "done", "video": video.as_json()}
        case Failed(error):
            fields = {"outcome": "failed", "error": error.as_json()}
        case too_late:
            fields = {"outcome": "too late", **asdict(too_late)}
    return {**fields, "log": tail}


def strict_event(event: dict[str, Any], instead: Callable[[PikaError], dict[str, Any]]) -> TriggerEvent:
    """Make an event that Airflow can store.

    :param instead: gives one for a failure, in place of one that is too large.
    """
    try:
        return TriggerEvent(for_airflow(event))
    except ValueError as error:
        trouble = UnexpectedAnswer(f"What fal answered is too large for an event of Airflow's. {error}")
        return TriggerEvent(for_airflow(instead(trouble)))


def read_event(event: Mapping[str, Any] | None) -> tuple[Ending, list[str]]:
    """Read the ending and the tail of the log out of an event; what is none of ours is a failure, never success."""
    from airflow_provider_pika.fal.models import Video
    from airflow_provider_pika.fal.polling import TIMEOUT, Done, Failed, TooLate

    try:
        fields = dict(event or {})
        tail = [str(line) for line in fields.get("log", [])]
        match fields.get("outcome"):
            case "done":
                return Done(Video.model_validate(fields["video"])), tail
            case "failed":
                return Failed(PikaError.from_json(fields["error"])), tail
            case "too late":
                request_id, message, completed = (fields[name] for name in ("request_id", "message", "completed"))
                limit = str(fields.get("limit", TIMEOUT))  # earlier versions knew no other
                return TooLate(str(request_id), str(message), bool(completed), limit=limit), tail
    except (KeyError, TypeError, ValueError):
        pass
    return Failed(UnexpectedAnswer(f"The trigger sent an event that is not known here: {event!r}.")), []
