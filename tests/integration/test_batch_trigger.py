"""The wait for a batch's requests: what its one event says, and what a kill cancels."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.batch.progress import Carried, Tally
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.polling import Done, Failed, TooLate
from airflow_provider_pika.hooks.pika import PikaHook
from airflow_provider_pika.task import kill
from airflow_provider_pika.task.kill import Fate
from airflow_provider_pika.triggers.batch import PikaBatchTrigger, read_batch_event
from tests.integration.conftest import KEY
from tests.support.airflow import event_of
from tests.support.emulator import RunningEmulator
from tests.support.versions import KEEPS_TASK_STATE

pytestmark = pytest.mark.skipif(not KEEPS_TASK_STATE, reason="a batch needs the task state of Airflow 3.3")


@pytest.fixture
def emulator(quick_emulator: RunningEmulator) -> RunningEmulator:
    return quick_emulator


def watching(emulator: RunningEmulator, prompts: list[str], *, queued: int = 0, **more: Any) -> PikaBatchTrigger:
    """Return a trigger that watches new requests with these prompts."""
    in_flight = tuple(PikaHook().submit(TEXT_TO_VIDEO, {"prompt": prompt}) for prompt in prompts)
    tally = Tally(0, 0, len(in_flight), queued, time.time(), 0)
    deadline = time.time() + more.pop("timeout", 20)
    cursor = len(in_flight)
    carried = Carried(tally, deadline, emulator.queue_url, "digest", in_flight=in_flight, cursor=cursor)
    arguments = {"max_in_flight": 4, "poll_interval": 0.1, "timeout": 20.0, "queue_url": emulator.queue_url, **more}
    return PikaBatchTrigger(carried=carried.as_json(), endpoint=TEXT_TO_VIDEO, pika_conn_id="pika_default", **arguments)


def test_it_hands_over_when_enough_have_ended_and_says_which(emulator: RunningEmulator) -> None:
    emulator.fault("never_finish", match="slow", times=2)
    event = event_of(watching(emulator, ["slow one", "quick one", "slow two", "quick two"], queued=5))
    handed = read_batch_event(event)
    slow, quick, slow_too, quick_too = handed.carried.in_flight  # the worker takes the ended ones out
    assert handed.endings
    assert handed.endings.keys() <= {quick, quick_too}
    assert all(isinstance(ending, Done) for ending in handed.endings.values())
    assert {slow, slow_too} <= handed.seen.keys()


def test_it_waits_for_all_where_nothing_is_left_to_submit(emulator: RunningEmulator) -> None:
    handed = read_batch_event(event_of(watching(emulator, ["a", "b [[content_policy_violation]]", "c"])))
    assert handed.endings.keys() == set(handed.carried.in_flight)
    refused = handed.endings[handed.carried.in_flight[1]]
    assert isinstance(refused, Failed)
    assert isinstance(refused.error, errors.ContentPolicyViolation)


def test_it_watches_what_the_list_no_longer_has_but_waits_for_it_only_where_its_place_is_wanted(
    emulator: RunningEmulator,
) -> None:
    trigger = watching(emulator, ["wanted", "gone [[never_finish]]"])
    carried = Carried.from_json(trigger.carried)
    wanted, gone = carried.in_flight
    trigger.carried = replace(carried, in_flight=(wanted,), gone=(gone,)).as_json()
    assert read_batch_event(event_of(trigger)).endings.keys() == {wanted}
    PikaHook().cancel(TEXT_TO_VIDEO, gone)
    queued = replace(carried.tally, queued=1)
    trigger.carried = replace(carried, tally=queued, in_flight=(), gone=(gone,)).as_json()
    assert read_batch_event(event_of(trigger)).endings.keys() == {gone}


def test_a_trigger_and_an_event_of_an_earlier_version_name_requests_by_their_place(emulator: RunningEmulator) -> None:
    trigger = watching(emulator, ["a", "b"])
    carried = Carried.from_json(trigger.carried)
    pairs = list(map(list, enumerate(carried.in_flight)))
    earlier = {**trigger.carried, "slots": None, "in_flight": pairs}
    del earlier["in_place"], earlier["gone"]
    trigger.carried, trigger.seen = earlier, {"0": [1, time.time(), None, None, None, None]}
    event = event_of(trigger)
    assert read_batch_event(event).endings.keys() == set(carried.in_flight)
    event["ended"] = [[carried.in_flight.index(request_id), ending] for request_id, ending in event["ended"]]
    assert read_batch_event(event).endings.keys() == set(carried.in_flight)


def test_what_was_seen_is_not_looked_at_again_at_once_by_the_next_trigger(emulator: RunningEmulator) -> None:
    first = watching(emulator, ["[[never_finish]]", "quick"], queued=1, poll_interval=30, timeout=3)
    quick = Carried.from_json(first.carried).in_flight[1]
    first.seen = {quick: [1, time.time() - 29.0, None, None, None, time.time() - 29.0]}
    emulator.reset_counts()
    event = event_of(first)
    seen = read_batch_event(event).seen
    before = emulator.counts()["status"]
    again = watching(emulator, [], queued=1, poll_interval=30)
    carried = Carried.from_json(event["carried"])
    again.carried = replace(carried, deadline=time.time() + 0.5, in_flight=carried.in_flight[:1]).as_json()
    again.seen = seen
    event_of(again)
    assert emulator.counts()["status"] == before + 1  # the last poll, at the deadline


@pytest.mark.usefixtures("nothing_left_running")
def test_at_the_deadline_each_is_looked_at_once_more_and_left_alone(emulator: RunningEmulator) -> None:
    event = event_of(watching(emulator, ["a [[never_finish]]", "b [[never_finish]]"], timeout=1))
    assert [type(ending) for ending in read_batch_event(event).endings.values()] == [TooLate, TooLate]
    assert emulator.counts()["cancel"] == 0


def test_a_connection_that_is_not_there_is_an_event_and_not_an_exception(emulator: RunningEmulator) -> None:
    trigger = watching(emulator, ["a"])
    trigger.pika_conn_id = "no_such_connection"
    handed = read_batch_event(event_of(trigger))
    assert not handed.endings
    assert "no_such_connection" in str(handed.trouble)


@pytest.mark.parametrize("event", [None, {}, {"ended": []}, {"carried": {}, "ended": [], "seen": {}}, "done"])
def test_an_event_that_is_not_known_is_a_failure_and_never_success(event: Any) -> None:
    with pytest.raises(errors.UnexpectedAnswer):
        read_batch_event(event)


@pytest.mark.parametrize(("became", "cancelled"), [(Fate.KILLED, 3), (Fate.CLEARED, 0), (Fate.GOES_ON, 0)])
def test_a_kill_cancels_all_that_is_unfinished_and_nothing_else_does(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch, became: Fate, cancelled: int
) -> None:
    async def ask(*_: object) -> Fate:
        return became

    monkeypatch.setattr(kill, "ask_in_triggerer", ask)
    trigger = watching(emulator, [f"{became.name} {n} [[never_finish]]" for n in range(3)], cancel_on_kill=True)
    asyncio.run(trigger.on_kill())
    states = [request["error_type"] or request["state"] for request in emulator.requests(prompt=f"{became.name} ")]
    assert len([state for state in states if state not in ("IN_QUEUE", "IN_PROGRESS")]) == cancelled
    assert emulator.counts()["cancel"] == cancelled


def test_its_arguments_are_json_and_hold_no_key(emulator: RunningEmulator, tmp_path: Path) -> None:
    path, arguments = watching(emulator, ["a"]).serialize()
    assert path == "airflow_provider_pika.triggers.batch.PikaBatchTrigger"
    assert KEY not in json.dumps(arguments)
