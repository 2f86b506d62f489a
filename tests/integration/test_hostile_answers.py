"""Whatever a server says, a wait stays within bounds, and Airflow gets one event that its databases can store."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_pika.batch.progress import Carried, Tally
from airflow_provider_pika.exceptions import PikaError
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.account import Account
from airflow_provider_pika.fal.client import FalQueue
from airflow_provider_pika.fal.lookup import search
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor
from airflow_provider_pika.triggers.batch import PikaBatchTrigger, read_batch_event
from airflow_provider_pika.triggers.pika import read_event
from tests.integration.conftest import KEY, connect
from tests.support.airflow import StateStore, context, event_of
from tests.support.hostile import REQUEST_ID, HostileServer, answers, histories, refusals, results, statuses, trigger_at
from tests.support.sizes import examples

#: A hang guard, not a measure: the longest wait here is two calls of two seconds.
WITHIN = 20.0

pytestmark = pytest.mark.soak

fuzzed = examples(15, 1000)


@pytest.fixture(scope="module")
def server() -> Iterator[HostileServer]:
    with HostileServer(lambda *_: []) as running:
        yield running


@pytest.fixture(autouse=True)
def connected(server: HostileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, server.url, http_timeout=1)


def say(server: HostileServer, status: Any, result: Any, history: Any = ()) -> None:
    """Have the server answer so."""

    def respond(method: str, path: str, body: bytes) -> Any:
        if "/v1/" in path:
            return history
        return status if "/status" in path else result

    server.respond = respond


def assert_storable(value: Any) -> None:
    """Airflow's processes can hand it on, SQLite can store it, and nothing in it is without bounds."""
    written = json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    assert len(written) < 100_000
    assert b"\\u0000" not in written.replace(b"\\\\", b"")  # PostgreSQL's JSONB refuses NUL; tests/chaos has a real one
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(value)) == value
    assert sqlite3.connect(":memory:").execute("SELECT json(?)", [written.decode()]).fetchone()
    assert KEY.partition(":")[2] not in written.decode()


@fuzzed
@given(
    stream=st.booleans(),
    status=answers(statuses),
    result=st.one_of(answers(results), answers(refusals, 422, 500, 504)),
    history=answers(histories),
)
def test_a_trigger_gives_one_event_that_can_be_stored(
    server: HostileServer, stream: bool, status: Any, result: Any, history: Any
) -> None:
    say(server, status, result, history)
    began = time.monotonic()
    event = event_of(trigger_at(server, stream=stream))
    assert_storable(event)
    read_event(event)
    assert time.monotonic() - began < WITHIN


@fuzzed
@given(events=st.lists(statuses, max_size=5), tail=st.binary(max_size=100), result=answers(results))
def test_a_status_stream_gives_one_event_that_can_be_stored(
    server: HostileServer, events: list[Any], tail: bytes, result: Any
) -> None:
    told = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events) + tail
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    say(server, [head + told], result)
    assert_storable(event_of(trigger_at(server, stream=True)))


@fuzzed
@given(status=answers(statuses), result=st.one_of(answers(results), answers(refusals, 422, 500, 504)))
def test_a_batchs_trigger_gives_one_event_that_can_be_stored(server: HostileServer, status: Any, result: Any) -> None:
    say(server, status, result)
    in_flight = tuple(f"{REQUEST_ID[:-1]}{n}" for n in range(3))
    now = time.time()
    carried = Carried(Tally(0, 0, 3, 0, now, 0), now + 0.05, server.url, "digest", in_flight=in_flight)
    event = event_of(
        PikaBatchTrigger(
            carried=carried.as_json(),
            endpoint=TEXT_TO_VIDEO,
            pika_conn_id="pika_default",
            queue_url=server.url,
            max_in_flight=3,
            poll_interval=0.02,
            timeout=1.0,
        )
    )
    assert_storable(event)
    assert len(read_batch_event(event).endings) == 3


@examples(10, 1000)  # of these, each waits for seconds
@given(submit=answers(st.just({"request_id": REQUEST_ID})), status=answers(statuses), result=answers(results))
def test_a_worker_that_submits_and_waits_fails_with_an_error_of_ours_or_gives_a_video(
    server: HostileServer, submit: Any, status: Any, result: Any
) -> None:
    def respond(method: str, path: str, body: bytes) -> Any:
        return submit if method == "POST" else (status if "/status" in path else result)

    server.respond = respond
    state = StateStore()
    here = context(task_state_store=state)
    task = PikaTextToVideoOperator(
        task_id="t", prompt="a fox", wait_for_completion=True, deferrable=False, poll_interval=0.02, timeout=0.05
    )
    began = time.monotonic()
    try:
        assert_storable(task.execute(here))
    except (PikaError, AirflowFailException) as error:
        assert_storable(str(error))
    for value in (*here["ti"].xcoms.values(), *map(json.loads, state.values.values())):
        assert_storable(value)
    assert time.monotonic() - began < WITHIN


@fuzzed
@given(status=answers(statuses), result=answers(results))
def test_a_sensor_in_a_worker_fails_as_a_sensor_does_or_gives_a_video(
    server: HostileServer, status: Any, result: Any
) -> None:
    say(server, status, result)
    sensor = PikaVideoSensor(
        task_id="t", request_id=REQUEST_ID, deferrable=False, mode="poke", poll_interval=0.02, timeout=0.05
    )
    try:
        assert_storable(sensor.execute(context()))
    except (PikaError, AirflowFailException, AirflowSensorTimeout) as error:
        assert_storable(str(error))


@fuzzed
@given(history=answers(histories))
def test_a_search_of_the_history_finds_ids_or_says_why_not(server: HostileServer, history: Any) -> None:
    say(server, [], [], history)
    with FalQueue(Account(f"Key {KEY}", server.url, timeout=1.0), sleep=lambda _: None) as queue:
        found = queue.hold(search(queue.account.platform_url, TEXT_TO_VIDEO, {}, 0.0))
    assert_storable([list(found.request_ids), found.trouble and found.trouble.as_json()])
