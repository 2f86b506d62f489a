"""Many waits on one event loop: what they share, and what one learns for all."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable

import pytest

from airflow_provider_pika.exceptions import InvalidKey, RateLimited, TryLater
from airflow_provider_pika.fal import TEXT_TO_VIDEO, client_pool
from airflow_provider_pika.fal.account import Account
from airflow_provider_pika.fal.async_client import AsyncFalQueue
from airflow_provider_pika.fal.client_pool import SharedQueue, shared_queue
from airflow_provider_pika.fal.poll_interval import Experience, Kind
from airflow_provider_pika.fal.polling import Done, Ending, Failed, Poll, PollAgain, TooLate, Wait
from airflow_provider_pika.fal.watcher import Watch
from airflow_provider_pika.hooks.pika import PikaHook
from tests.integration.conftest import KEY
from tests.support.emulator import RunningEmulator


class Connection:
    """A connection of Airflow, as the shared client sees it: counts how often it is read."""

    def __init__(self, queue_url: str, key: str = KEY) -> None:
        self.queue_url = queue_url
        self.key = key
        self.reads = 0
        self.opened: list[AsyncFalQueue] = []

    async def open(self) -> AsyncFalQueue:
        self.reads += 1
        await asyncio.sleep(0.02)  # Airflow takes its time, and others come meanwhile
        client = await asyncio.to_thread(AsyncFalQueue, Account(f"Key {self.key}", self.queue_url))
        self.opened.append(client)
        return client

    @property
    def closed(self) -> list[bool]:
        return [client.closed for client in self.opened]


@pytest.fixture
def connection(emulator: RunningEmulator) -> Connection:
    return Connection(emulator.queue_url)


def submitted(prompts: list[str]) -> list[str]:
    return [PikaHook().submit(TEXT_TO_VIDEO, {"prompt": prompt, "resolution": "480p"}) for prompt in prompts]


class Watched:
    """Waits for requests, all on one shared client, and remembers the polls."""

    def __init__(self, connection: Connection, **options: bool) -> None:
        self.looks: list[Poll] = []
        self.experience = Experience()
        self._connection = connection
        self._options = options

    async def wait(self, request_id: str, timeout: float = 20.0, poll_interval: float | None = 0.1) -> Ending:
        async with shared_queue("pika_default", self._connection.queue_url, self._connection.open) as queue:
            watch = Watch(
                queue,
                Kind(self._connection.queue_url, TEXT_TO_VIDEO),
                self._note,
                stream=self._options.get("stream", False),
                experience=self.experience,
            )
            return await watch.until_it_ends(Wait(request_id, time.time() + timeout, poll_interval, timeout))

    def _note(self, poll: Poll, step: PollAgain | Ending) -> None:
        self.looks.append(poll)

    def all(self, request_ids: list[str]) -> list[Ending]:
        async def together() -> list[Ending]:
            return await asyncio.gather(*map(self.wait, request_ids))

        return asyncio.run(together())


def test_however_many_wait_the_connection_is_read_once_and_the_last_to_leave_closes_it(connection: Connection) -> None:
    endings = Watched(connection).all(submitted([f"shared {n}" for n in range(6)]))
    assert all(isinstance(ending, Done) for ending in endings)
    assert connection.reads == 1
    assert connection.closed == [True]


def test_another_event_loop_has_a_client_of_its_own_and_none_is_kept_for_a_loop_that_is_gone(
    connection: Connection,
) -> None:
    request_ids = submitted(["loop one", "loop two"])
    for request_id in request_ids:
        Watched(connection).all([request_id])
    assert connection.reads == 2
    gc.collect()
    assert not any(client_pool._QUEUES.values())


def test_after_a_key_rotation_the_waits_go_on_with_the_new_key_and_read_it_once(
    connection: Connection, emulator: RunningEmulator
) -> None:
    request_ids = submitted([f"rotated {n} [[requeue]]" for n in range(4)])
    connection.key = "revoked-key-id:revoked-secret"

    async def rotate() -> list[Ending]:
        waits = Watched(connection)
        running = [asyncio.ensure_future(waits.wait(request_id)) for request_id in request_ids]
        while not connection.opened:
            await asyncio.sleep(0.001)
        connection.key = KEY  # before the first poll is answered
        return await asyncio.gather(*running)

    assert all(isinstance(ending, Done) for ending in asyncio.run(rotate()))
    assert connection.reads == 2
    assert connection.closed == [True, True]


def test_a_client_whose_key_was_replaced_closes_with_its_last_call_and_not_with_the_last_wait(
    connection: Connection,
) -> None:
    [request_id] = submitted(["rotated often [[never_finish]]"])

    async def rotate() -> list[list[bool]]:
        seen = []
        async with shared_queue("pika_default", connection.queue_url, connection.open) as queue:
            await queue.poll(TEXT_TO_VIDEO, request_id)
            async with queue.lend():  # a stream, say
                for number in range(3):
                    connection.key = f"{KEY}-{number}"
                    await queue.client(read_since=time.monotonic())
                seen.append(connection.closed)
            seen.append(connection.closed)
        return [*seen, connection.closed]

    assert asyncio.run(rotate()) == [[False, True, True, False], [True, True, True, False], [True] * 4]
    PikaHook().cancel(TEXT_TO_VIDEO, request_id)


def test_a_key_that_is_refused_though_it_was_just_read_fails_the_waits_at_once(connection: Connection) -> None:
    request_ids = submitted(["refused one", "refused two"])
    connection.key = "revoked-key-id:revoked-secret"
    endings = Watched(connection).all(request_ids)
    assert [type(ending.error) for ending in endings if isinstance(ending, Failed)] == [InvalidKey, InvalidKey]
    assert connection.reads == 2  # at first, and once for both after the 401


def test_a_connection_that_cannot_be_read_after_a_401_fails_nobody(connection: Connection) -> None:
    [request_id] = submitted(["unreadable for a moment"])
    connection.key, good = "revoked-key-id:revoked-secret", connection.open

    async def unreadable_once() -> AsyncFalQueue:
        if connection.reads == 1:
            connection.reads += 1
            raise ConnectionError("no api-server")
        client = await good()
        connection.key = KEY
        return client

    connection.open = unreadable_once  # type: ignore[method-assign]
    waits = Watched(connection)
    [ending] = waits.all([request_id])
    assert isinstance(ending, Done)
    assert any(type(look.outcome) is TryLater and "no api-server" in str(look.outcome) for look in waits.looks)


def test_one_429_with_retry_after_slows_all_waits_of_the_connection(
    connection: Connection, emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_pool, "COMING_BACK", 0.1)
    request_ids = submitted([f"slowed {n} [[never_finish]]" for n in range(4)])

    async def slowed() -> list[int]:
        waits, looks = Watched(connection), []
        running = [asyncio.ensure_future(waits.wait(request_id)) for request_id in request_ids]
        await asyncio.sleep(0.5)
        emulator.fault("http_429", on="status", times=1, retry_after=2)
        while not any(isinstance(look.outcome, RateLimited) for look in waits.looks):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)  # whoever was on its way
        for pause in (0.0, 1.0, 1.5):
            await asyncio.sleep(pause)
            looks.append(len(waits.looks))
        for task in running:
            task.cancel()
        return looks

    during, still, after = asyncio.run(slowed())
    assert during == still
    assert after > still
    for request_id in request_ids:
        PikaHook().cancel(TEXT_TO_VIDEO, request_id)


def test_the_deadline_holds_while_fal_wants_to_be_left_alone(connection: Connection, emulator: RunningEmulator) -> None:
    [request_id] = submitted(["late and slowed [[never_finish]]"])
    emulator.fault("http_429", on="status", times=1, retry_after=60)
    before = time.monotonic()

    async def wait() -> Ending:
        return await Watched(connection).wait(request_id, timeout=1.0)

    assert isinstance(asyncio.run(wait()), TooLate)
    assert time.monotonic() - before < 10
    PikaHook().cancel(TEXT_TO_VIDEO, request_id)


def test_what_a_generation_took_is_learned_for_the_next(connection: Connection) -> None:
    waits = Watched(connection)
    waits.all(submitted(["a lesson", "another lesson"]))
    expected = waits.experience.expect(Kind(connection.queue_url, TEXT_TO_VIDEO))
    assert expected.known
    assert 0.1 < expected.median < 10


def test_a_stream_tells_of_the_end_without_a_poll_in_between(connection: Connection, emulator: RunningEmulator) -> None:
    request_ids = submitted([f"streamed {n}" for n in range(3)])
    waits = Watched(connection, stream=True)
    assert all(isinstance(ending, Done) for ending in waits.all(request_ids))
    assert emulator.counts()["stream"] == 3
    assert (emulator.counts()["status"], emulator.counts()["result"]) == (0, 3)
    assert len(waits.looks) >= 6


@pytest.mark.parametrize("fault", ["http_503", "http_429", "reset", "malformed"])
def test_a_stream_that_is_refused_or_breaks_leaves_the_wait_to_polling(
    connection: Connection, emulator: RunningEmulator, fault: str
) -> None:
    [request_id] = submitted([f"broken stream {fault}"])
    emulator.fault(fault, on="stream", times=5)
    waits = Watched(connection, stream=True)
    assert all(isinstance(ending, Done) for ending in waits.all([request_id]))
    assert emulator.counts()["stream"] <= 2  # aiohttp asks once more after a reset
    assert emulator.counts()["status"] >= 2


def test_a_stream_that_falls_silent_does_not_hide_the_end(
    connection: Connection, emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_pika.fal.watcher.SILENCE", 0.3)
    [request_id] = submitted(["a silent stream"])
    emulator.fault("stall", on="stream", times=1, seconds=60)
    [ending] = Watched(connection, stream=True).all([request_id])
    assert isinstance(ending, Done)


def stall_of(work: Callable[[], Awaitable[object]]) -> float:
    """Return the longest time, in seconds, that the event loop stood still meanwhile."""

    async def watched() -> float:
        pauses: list[float] = []

        async def tick() -> None:
            while True:
                before = time.perf_counter()
                await asyncio.sleep(0.001)
                pauses.append(time.perf_counter() - before)

        ticking = asyncio.ensure_future(tick())
        await asyncio.sleep(0.005)
        await work()
        await asyncio.sleep(0.005)  # a pause is known when it is over
        ticking.cancel()
        return max(pauses)

    return asyncio.run(watched())


def test_the_hook_builds_a_client_off_the_loop(emulator: RunningEmulator) -> None:
    async def open_and_close() -> None:
        queue = SharedQueue(PikaHook().aget_conn, emulator.queue_url)
        await queue.client()
        await queue.aclose()

    asyncio.run(open_and_close())  # the first import is not what is measured
    assert min(stall_of(open_and_close) for _ in range(5)) < 0.015
