"""The ways to wait for a video on an event loop that are compared; each runs in a process of its own.

All talk plain HTTP to the emulator. What builds a client pays for a TLS context all the same, as it would with fal.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.budget import APP, ENDPOINT, KEY

#: Of the clips: what our triggers are told of them.
RESOLUTION, DURATION = "480p", 5


@dataclass(frozen=True)
class Job:
    """What a wait gets.

    :param queue_url: of the emulator.
    :param interval: seconds between two polls, where the shape has no own way.
    :param prompt: what a shape submits that submits by itself; the others get ``request_id``.
    """

    queue_url: str
    interval: float
    prompt: str
    request_id: str


#: Waits until it knows that the clip is there, and gives the request's id.
Wait = Callable[[Job], Awaitable[str]]


def arguments(prompt: str) -> dict[str, Any]:
    """Return the endpoint's input: the same for every peer."""
    return {"prompt": prompt, "resolution": RESOLUTION, "duration": DURATION}


async def _first(events: AsyncIterator[Any]) -> Any:
    """Take a trigger's one event, as a triggerer does."""
    return await anext(aiter(events))


def _our_trigger(*, stream: bool, taught: bool = False) -> Wait:
    from airflow_provider_pika.fal import client, watcher  # noqa: F401 (imported before the base line)
    from airflow_provider_pika.triggers.pika import PikaVideoTrigger

    async def wait(job: Job) -> str:
        if taught:
            _teach(job.queue_url)
        given: dict[str, Any] = {"resolution": RESOLUTION, "duration": DURATION, "stream": stream}
        trigger = PikaVideoTrigger(
            request_id=job.request_id,
            endpoint=ENDPOINT,
            pika_conn_id="pika_default",
            queue_url=job.queue_url,
            poll_interval=None,
            deadline=time.time() + 3600,
            timeout=3600,
            **given,
        )
        event = await _first(trigger.run())
        if event.payload["outcome"] != "done":
            raise RuntimeError(str(event.payload)[:300])
        return job.request_id

    return wait


def _teach(queue_url: str) -> None:
    """Let this process have seen 20 generations of this kind; but only once."""
    from airflow_provider_pika.fal.poll_interval import EXPERIENCE, Kind

    kind = Kind(queue_url, ENDPOINT, RESOLUTION, DURATION)
    if not EXPERIENCE.expect(kind).known:
        for number in range(20):
            EXPERIENCE.learn(kind, 25 + 10 * (number + 0.5) / 20)


def _client_per_trigger() -> Wait:
    """Return the field's usual trigger: it builds a client where it runs, and asks at a fixed interval."""
    import httpx

    async def wait(job: Job) -> str:
        headers = {"Authorization": f"Key {KEY}"}
        async with httpx.AsyncClient(base_url=job.queue_url, headers=headers, timeout=60) as client:
            while True:
                answer = (await client.get(f"{APP}/requests/{job.request_id}/status")).raise_for_status()
                if answer.json()["status"] == "COMPLETED":
                    break
                await asyncio.sleep(job.interval)
            (await client.get(f"{APP}/requests/{job.request_id}")).raise_for_status()
        return job.request_id

    return wait


def _fal_client() -> Wait:
    """Return ``fal_client.subscribe_async`` as fal's documentation calls it; all calls share the module's client."""
    import fal_client.client

    async def wait(job: Job) -> str:
        # it speaks https only, at a host of its choice; its follow-ups go where the answer says (fal-protocol.md, 1.2)
        fal_client.client.QUEUE_URL_FORMAT = f"{job.queue_url}/"
        ids: list[str] = []
        await fal_client.subscribe_async(ENDPOINT, arguments(job.prompt), on_enqueue=ids.append)
        return ids[0]

    return wait


def _http_sensor() -> Wait:
    """Return what ``HttpSensor(deferrable=True)`` defers to, with the interval of the field.

    As it is, it cannot wait for fal: it ends at any status below 400, and asks again after a 404 only (without a pause,
    after any other error), while fal answers 202 and 200; with a ``response_check`` the sensor keeps its worker. So its
    hook reads the answer here, and reports one that is not COMPLETED as the 404 that the trigger understands.
    """
    trigger_class = _http_trigger_that_reads()

    async def wait(job: Job) -> str:
        trigger = trigger_class(
            endpoint=f"{APP}/requests/{job.request_id}/status",
            headers={"Authorization": f"Key {KEY}"},
            poke_interval=job.interval,
        )
        await _first(trigger.run())
        return job.request_id

    return wait


def _http_trigger_that_reads() -> Any:
    from airflow.providers.common.compat.sdk import AirflowException
    from airflow.providers.http.hooks.http import HttpAsyncHook
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    class Hook(HttpAsyncHook):
        async def run(self, *args: Any, **options: Any) -> Any:
            answer = await super().run(*args, **options)
            if (await answer.json())["status"] != "COMPLETED":
                raise AirflowException("404:Not Found")
            return answer

    class Trigger(HttpSensorTrigger):
        def _get_async_hook(self) -> HttpAsyncHook:
            return Hook(method=self.method, http_conn_id=self.http_conn_id)

    return Trigger


#: Shape: makes its wait, and imports what that needs.
SHAPES: dict[str, Callable[[], Wait]] = {
    "pika trigger, polling": lambda: _our_trigger(stream=False),
    "pika trigger, polling, experienced": lambda: _our_trigger(stream=False, taught=True),
    "pika trigger, stream": lambda: _our_trigger(stream=True),
    "client per trigger, 5 s": _client_per_trigger,
    "client per trigger, same latency": _client_per_trigger,
    "fal_client.subscribe_async": _fal_client,
    "http provider, deferrable sensor": _http_sensor,
}

#: The shape that submits by itself.
SUBMITS = "fal_client.subscribe_async"
