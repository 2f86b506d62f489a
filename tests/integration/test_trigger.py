from __future__ import annotations

import asyncio
import json
import os
import time
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_pika.exceptions import UnexpectedAnswer
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.polling import Failed
from airflow_provider_pika.hooks.pika import PikaHook
from airflow_provider_pika.triggers.pika import PikaVideoTrigger, read_event
from tests.support.airflow import event_of
from tests.support.emulator import RunningEmulator


def trigger(request_id: str, **arguments: Any) -> PikaVideoTrigger:
    connection = json.loads(os.environ.get("AIRFLOW_CONN_PIKA_DEFAULT", '{"host": ""}'))
    waiting: dict[str, Any] = {
        "poll_interval": 0.1,
        "deadline": time.time() + 20,
        "timeout": 20,
        "pika_conn_id": "pika_default",
        "queue_url": connection["host"],
    }
    return PikaVideoTrigger(request_id=request_id, endpoint=TEXT_TO_VIDEO, **{**waiting, **arguments})


def test_a_broken_wait_is_an_event_that_says_so_and_not_an_exception(airflow_db: None) -> None:
    event = event_of(trigger("r-1", pika_conn_id="no_such_connection"))
    ending, _ = read_event(event)
    assert isinstance(ending, Failed)
    assert "no_such_connection" in str(ending.error)
    assert "A retry polls it again, and submits nothing" in str(ending.error)
    assert ending.error.retry_helps


def test_a_restarted_trigger_reads_on_and_submits_nothing(emulator: RunningEmulator) -> None:
    request_id = PikaHook().submit(TEXT_TO_VIDEO, {"prompt": "restarted"})
    waiting = trigger(request_id)

    async def interrupted() -> None:
        run = asyncio.ensure_future(anext(waiting.run()))
        await asyncio.sleep(0.1)
        run.cancel()

    asyncio.run(interrupted())
    assert event_of(waiting)["outcome"] == "done"
    assert emulator.counts()["submit"]["received"] == 1
    assert emulator.counts()["cancel"] == 0


def test_the_deadline_does_not_start_anew_with_the_triggerer(emulator: RunningEmulator) -> None:
    request_id = PikaHook().submit(TEXT_TO_VIDEO, {"prompt": "endless [[never_finish]]"})
    before = time.monotonic()
    event = event_of(trigger(request_id, deadline=time.time() + 0.5, timeout=3600))
    assert event["outcome"] == "too late"
    assert time.monotonic() - before < 10
    PikaHook().cancel(TEXT_TO_VIDEO, request_id)


@pytest.mark.parametrize(("task_instance", "seconds"), [(SimpleNamespace(task_id="video"), 2.0), (None, 0.0)])
def test_a_worker_goes_on_no_sooner_than_airflow_has_taken_the_deferral_in(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch, task_instance: Any, seconds: float
) -> None:
    monkeypatch.setattr("airflow_provider_pika.triggers._common.SETTLED_AFTER", 2.0)
    waiting = trigger("019e1951-c778-7120-9c82-16efcf40ec82")  # which fal does not know
    if task_instance:
        waiting.task_instance = task_instance
    before = time.monotonic()
    event: Any = asyncio.run(anext(waiting.run()))  # type: ignore[arg-type]
    assert event.payload["outcome"] == "failed"
    assert seconds <= time.monotonic() - before


def test_a_connection_that_cannot_be_had_for_a_moment_costs_no_clip(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_id = PikaHook().submit(TEXT_TO_VIDEO, {"prompt": "patient"})
    waiting, connection = trigger(request_id), PikaHook.aget_conn
    times: list[int] = []

    async def once_in_vain(hook: PikaHook) -> Any:
        times.append(1)
        if len(times) == 1:
            raise ConnectionError("no api-server")
        return await connection(hook)

    monkeypatch.setattr(PikaHook, "aget_conn", once_in_vain)
    assert event_of(waiting)["outcome"] == "done"


def test_a_connection_that_leads_elsewhere_now_breaks_the_wait_off_before_anything_is_asked(
    emulator: RunningEmulator,
) -> None:
    event = event_of(trigger("r-1", queue_url="https://gateway.example"))
    ending, _ = read_event(event)
    assert isinstance(ending, Failed)
    assert "https://gateway.example" in str(ending.error)
    assert ending.error.retry_helps
    assert emulator.counts()["status"] == 0


@pytest.mark.parametrize(
    "event",
    [None, {}, {"outcome": "great"}, {"outcome": "done"}, {"outcome": "done", "video": {"url": "x"}}, [], "done",
     {"outcome": "failed", "error": {"error": "NoSuchError"}}, {"outcome": "too late"}],
)  # fmt: skip
def test_an_event_that_is_not_known_is_a_failure_and_never_success(event: Any) -> None:
    ending, _ = read_event(event)
    assert isinstance(ending, Failed)
    assert isinstance(ending.error, UnexpectedAnswer)


def test_the_event_loop_stands_still_for_no_longer_than_a_moment(emulator: RunningEmulator) -> None:
    request_ids = [PikaHook().submit(TEXT_TO_VIDEO, {"prompt": f"loop {n}", "resolution": "480p"}) for n in range(8)]
    event_of(trigger(request_ids[0]))  # the first import is not what is measured

    async def watch(pauses: list[float]) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            pauses.append(time.perf_counter() - before)

    async def worst_pause() -> float:
        pauses: list[float] = []
        watching = asyncio.ensure_future(watch(pauses))
        await asyncio.gather(*(anext(trigger(request_id).run()) for request_id in request_ids))
        watching.cancel()
        return max(pauses)

    # Airflow warns from 0.2 s on ([triggerer] blocked_main_thread_warning_threshold); the best of three, since other
    # processes of a busy machine make pauses, too
    assert min(asyncio.run(worst_pause()) for _ in range(3)) < 0.2
