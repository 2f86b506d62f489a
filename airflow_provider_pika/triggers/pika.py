"""The sensor's wait, in the triggerer. It only reads: a triggerer may be restarted, and then runs it again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_pika.exceptions import PikaError, TryLater, UnexpectedAnswer
from airflow_provider_pika.hooks.pika import PikaHook

if TYPE_CHECKING:
    from airflow_provider_pika.fal.polling import Ending
    from airflow_provider_pika.fal.progress import Progress


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

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give the class path and the arguments, JSON only."""
        names = ("request_id", "endpoint", "pika_conn_id", "queue_url", "poll_interval", "deadline", "timeout", "told")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

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
        async with await PikaHook(self.pika_conn_id).aget_conn() as queue:
            if queue.url != self.queue_url:  # a connection that cannot be read must not lead to another account
                raise TryLater(
                    f"The queue was {self.queue_url}, and connection {self.pika_conn_id!r} leads to {queue.url}.",
                    consequence="The request itself goes on where it was; a retry looks again, and submits nothing.",
                    request_id=self.request_id,
                )
            while True:
                look = await queue.look(self.endpoint, self.request_id)
                step = decide(wait, look, time.time())
                for line in progress.news(look, step):
                    self.log.info(line)
                if not isinstance(step, LookAgain):
                    return step
                await asyncio.sleep(step.after)
                wait = step.wait

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


def to_event(ending: Ending, tail: list[str]) -> dict[str, Any]:
    """Make the trigger's event, a JSON object; ``tail`` is the end of the story, for the worker's log."""
    from airflow_provider_pika.fal.polling import Done, Failed

    match ending:
        case Done(video):
            fields: dict[str, Any] = {"outcome": "done", "video": video.model_dump()}
        case Failed(error):
            fields = {"outcome": "failed", "error": error.as_json()}
        case too_late:
            fields = {"outcome": "too late", "message": too_late.message}
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
                return TooLate(str(fields["message"])), tail
    except (KeyError, TypeError, ValueError):
        pass
    return Failed(UnexpectedAnswer(f"The trigger sent an event that is not known here: {event!r}.")), []
