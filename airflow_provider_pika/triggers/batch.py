"""The wait for a batch's requests, in the triggerer. It submits nothing: a worker does, when some have ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import TriggerEvent

from airflow_provider_pika.exceptions import PikaError, UnexpectedAnswer
from airflow_provider_pika.task.kill import Fate
from airflow_provider_pika.triggers._common import PikaTrigger, broken, connected, settled
from airflow_provider_pika.triggers.pika import read_event, strict_event, to_event

if TYPE_CHECKING:
    from airflow_provider_pika.batch.progress import Carried
    from airflow_provider_pika.fal.client_pool import SharedQueue
    from airflow_provider_pika.fal.poll_interval import Sightings
    from airflow_provider_pika.fal.polling import Ending, Poll, PollAgain

#: Requests of which it hands over what was seen, and those that may be in flight beside them. More would be too much
#: for Airflow's database, which may keep a trigger's arguments in 64 KiB (MySQL).
_SEEN_OF, _SEEN_OF_MOST = 200, 500

#: Seconds between two lines on how far the batch has come.
TELL_EVERY = 60.0


class PikaBatchTrigger(PikaTrigger):
    """Poll many requests until enough have ended that a worker should go on; for :func:`read_batch_event`.

    It never raises and never submits. Its arguments are stored in plain text in Airflow's database.

    :param carried: where the attempt stands (``Carried.as_json``), with the requests to watch.
    :param seen: what earlier polls have shown, by the request's id (``Sightings``, as a list).
    :param max_in_flight: how many may be under way.
    :param resolution: of all the clips, and ``duration``, if they have one; such clips take about as long.

    The others are those of ``PikaVideoTrigger``.
    """

    def __init__(
        self,
        *,
        carried: Mapping[str, Any],
        endpoint: str,
        pika_conn_id: str,
        queue_url: str,
        max_in_flight: int,
        poll_interval: float | None,
        timeout: float,
        resolution: str | None = None,
        duration: int | None = None,
        seen: Mapping[str, Any] | None = None,
        cancel_on_kill: bool = False,
    ) -> None:
        super().__init__("Batch", "")
        self.carried = carried
        self.endpoint = endpoint
        self.pika_conn_id = pika_conn_id
        self.queue_url = queue_url
        self.max_in_flight = max_in_flight
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.resolution = resolution
        self.duration = duration
        self.seen = seen
        self.cancel_on_kill = cancel_on_kill

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event, always."""
        began, watching, trouble = time.monotonic(), None, None
        try:
            watching = _Watching(self)
            deadline = watching.carried.deadline
            async with connected(self.pika_conn_id, self.queue_url, deadline, self.log) as queue:
                await watching.until_a_worker_is_wanted(queue)
        except Exception as error:  # a trigger that raises costs a retry, and tells nobody why
            trouble = broken(error, None, self.log)
        await settled(began, self.task_instance)
        found = watching.found() if watching else {}
        yield strict_event(self._event(found, trouble), lambda error: self._event({}, error))

    def _event(self, found: Mapping[str, Any], trouble: PikaError | None) -> dict[str, Any]:
        nothing: dict[str, Any] = {"ended": [], "seen": {}}
        return {**nothing, **found, "carried": self.carried, "trouble": trouble and trouble.as_json()}

    async def _cancel(self, became: Fate) -> None:
        from airflow_provider_pika.batch.progress import Carried

        if became is not Fate.KILLED:  # after a clear, the next try picks the requests up, or cancels those that wait
            return
        watched = Carried.from_json(self.carried).watched
        connection = connected(self.pika_conn_id, self.queue_url, time.time(), self.log)
        async with connection as shared, shared.lend() as queue:
            cancelling = (queue.cancel(self.endpoint, request_id) for request_id in watched)
            answers = await asyncio.gather(*cancelling, return_exceptions=True)
        self.log.info("fal accepted the cancellation of %s of %s requests", answers.count(True), len(answers))


class _Watching:
    """Watches the requests of one trigger."""

    def __init__(self, trigger: PikaBatchTrigger) -> None:
        from airflow_provider_pika.batch.progress import Carried, ids_by_name
        from airflow_provider_pika.fal.progress import Trouble

        self._trigger = trigger
        self._trouble = Trouble()
        self.carried = Carried.from_json(trigger.carried)
        self._ended: dict[str, Ending] = {}
        self._began = time.monotonic()
        self._first_ended: float | None = None
        ids = ids_by_name(trigger.carried["in_flight"])
        self._seen = {ids.get(name, name): _sightings(seen) for name, seen in (trigger.seen or {}).items()}
        self._news: asyncio.Queue[tuple[str, Ending]] = asyncio.Queue()

    async def until_a_worker_is_wanted(self, queue: SharedQueue) -> None:
        tasks = [asyncio.create_task(self._watch(queue, request_id)) for request_id in self.carried.watched]
        try:
            told = time.monotonic()
            while not self._is_time():
                with suppress(TimeoutError):
                    self._note(*await asyncio.wait_for(self._news.get(), timeout=1.0))
                if time.monotonic() - told > TELL_EVERY:
                    told = time.monotonic()
                    self._trigger.log.info("Batch: %s", self._tally_in_words())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, queue: SharedQueue, request_id: str) -> None:
        from airflow_provider_pika.fal.poll_interval import Kind, Sightings
        from airflow_provider_pika.fal.polling import Failed, PollAgain, Wait
        from airflow_provider_pika.fal.watcher import Watch

        trigger = self._trigger

        def tell(poll: Poll, step: PollAgain | Ending) -> None:
            if isinstance(step, PollAgain):
                self._seen[request_id] = step.wait.seen
            if line := self._trouble.line(step):
                trigger.log.log(line.level, str(line))

        seen = self._seen.get(request_id, Sightings())
        wait = Wait(request_id, self.carried.deadline, trigger.poll_interval, trigger.timeout, seen=seen)
        kind = Kind(trigger.queue_url, trigger.endpoint, trigger.resolution, trigger.duration)
        try:
            ending = await Watch(queue, kind, tell).until_it_ends(wait)
        except Exception as error:
            ending = Failed(broken(error, request_id, trigger.log))
        await self._news.put((request_id, ending))

    def _note(self, request_id: str, ending: Ending) -> None:
        from airflow_provider_pika.batch.item import shortened
        from airflow_provider_pika.fal.polling import Failed

        if isinstance(ending, Failed):
            self._trigger.log.warning("Request %s: %s", request_id, ending.error)
            ending = Failed(shortened(ending.error))  # a thousand of them must have room in one event
        self._ended[request_id] = ending
        self._first_ended = self._first_ended or time.monotonic()

    def _is_time(self) -> bool:
        from airflow_provider_pika.batch.item import is_time_to_top_up

        now = time.monotonic()
        queued = self.carried.tally.queued if self.carried.may_submit(time.time()) else 0
        waited_for = self.carried.watched if queued else self.carried.in_flight
        return is_time_to_top_up(
            len(self._ended),
            waiting=sum(request_id not in self._ended for request_id in waited_for),
            queued=queued,
            max_in_flight=self._trigger.max_in_flight,
            oldest=now - self._first_ended if self._first_ended else 0.0,
            watched=now - self._began,
        )

    def _tally_in_words(self) -> str:
        from airflow_provider_pika.fal.polling import Done

        tally = self.carried.tally
        for ending in (self._ended[request_id] for request_id in self.carried.in_flight if request_id in self._ended):
            tally = tally.moved("in flight", "done" if isinstance(ending, Done) else "failed")
        return tally.in_words(time.time())

    def found(self) -> dict[str, Any]:
        """Return how requests ended, and what was seen of the others."""
        left = [request_id for request_id in self._seen if request_id not in self._ended]
        few = len(left) <= _SEEN_OF and self._trigger.max_in_flight <= _SEEN_OF_MOST
        seen = {request_id: list(astuple(self._seen[request_id])) for request_id in left} if few else {}
        return {
            "ended": [[request_id, to_event(ending, [])] for request_id, ending in self._ended.items()],
            "seen": seen,
        }


def _sightings(values: Sequence[Any]) -> Sightings:
    from airflow_provider_pika.fal.poll_interval import Sightings

    return Sightings(*values)


@dataclass(frozen=True)
class BatchEvent:
    """What the trigger hands over.

    :param endings: how requests ended, by their id.
    :param seen: what was seen of the others, for the next trigger.
    :param trouble: what broke the watching off, if something did.
    """

    carried: Carried
    endings: Mapping[str, Ending]
    seen: Mapping[str, Any]
    trouble: PikaError | None


def read_batch_event(event: Mapping[str, Any] | None) -> BatchEvent:
    """Read an event.

    :raises PikaError: it is none of ours.
    """
    from airflow_provider_pika.batch.progress import Carried, ids_by_name

    try:
        fields = dict(event or {})
        carried, ids = Carried.from_json(fields["carried"]), ids_by_name(fields["carried"]["in_flight"])
        endings = {ids.get(str(name), str(name)): read_event(ending)[0] for name, ending in fields["ended"]}
        trouble = PikaError.from_json(fields["trouble"]) if fields["trouble"] else None
        return BatchEvent(carried, endings, dict(fields["seen"]), trouble)
    except (KeyError, TypeError, ValueError):
        raise UnexpectedAnswer(f"The trigger sent an event that is not known here: {str(event)[:300]}.") from None
