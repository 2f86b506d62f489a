"""Kill every part of a running Airflow, and the emulator, with twenty clips in flight: none is paid twice, or lost."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.account import Account
from airflow_provider_pika.fal.client import FalQueue
from airflow_provider_pika.fate import Fate
from dev.airflow_home import AirflowHome
from tests.chaos.conftest import ROWS
from tests.support.components import send
from tests.support.emulator import RunningEmulator
from tests.support.ledger import DAG
from tests.support.postgres import RunningPostgres
from tests.support.running_airflow import RunningAirflow, until
from tests.support.story import EACH, KEY, Story


@pytest.fixture
def tell(airflow: RunningAirflow, emulator: RunningEmulator) -> Callable[..., Story]:
    """Begin a story of this name."""

    def begin(name: str, *faults: str) -> Story:
        return Story.begin(airflow, emulator, name, ROWS, faults or ("",))

    return begin


def test_nothing_happens(tell: Callable[..., Story]) -> None:
    story = tell("nothing happens")
    assert [len(clip.requests) for clip in story.end()] == [1] * 20


def test_everything_goes_wrong_that_can_on_the_way_to_fal_and_at_fal(tell: Callable[..., Story]) -> None:
    lost = ("lost_reply", "malformed", "reset accepted=true", "http_502 accepted=true", "stall seconds=3")
    passing = ("requeue", "expire")
    failing = ("content_policy_violation", "runner_error")
    story = tell("every fault of fal's", *(f" [[{fault}]]" for fault in (*lost, *passing, *failing)))
    clips = story.end("failed")
    assert sum(clip.delivered for clip in clips) == 2 + 2 * (len(lost) + len(passing))
    refused, broken = clips[EACH - 2], clips[EACH - 1]
    assert (refused.task["try_number"], len(refused.requests)) == (1, 1)
    assert len(broken.requests) == broken.task["try_number"] == 6  # each failed before the next was submitted


def test_a_worker_dies_between_fals_acceptance_and_its_reply(
    emulator: RunningEmulator, airflow: RunningAirflow, tell: Callable[..., Story]
) -> None:
    story = tell("worker killed before the reply")
    for number in (3, 4):
        emulator.fault("stall", match=story.prompt(number))
    for number in (3, 4):
        story.kill_worker_once_accepted(number)
    story.end()
    assert "Found it: request" in "\n".join(airflow.logs(DAG, story.run_id, "clip", 3))


def test_a_worker_dies_between_the_record_and_the_deferral(
    emulator: RunningEmulator, airflow: RunningAirflow, tell: Callable[..., Story]
) -> None:
    story = tell("worker killed before it defers")
    for number in (3, 4):
        emulator.fault("stall", on="status", match=story.prompt(number))
    for number in (3, 4):
        story.kill_worker_once_accepted(number, after=1.0)  # the record is written, and the first look stalls
    story.end()
    assert "Taking up request" in "\n".join(airflow.logs(DAG, story.run_id, "clip", 3))


def test_a_worker_that_was_taken_for_dead_wakes_up_and_cancels_nothing(
    emulator: RunningEmulator, tell: Callable[..., Story]
) -> None:
    story = tell("worker stopped for 30 s")
    emulator.fault("http_503", on="status", match="held 0;", times=1000)  # so that it is waited for all the while
    worker = story.worker_that_holds()
    send(signal.SIGSTOP, worker)
    time.sleep(30)  # after 20 s its task has another worker, which takes the request up
    send(signal.SIGCONT, worker)
    until(lambda: story.has_logged("Told to stop", Fate.GOES_ON.value), "the worker to be told to stop", 60)
    emulator.clear_faults()
    story.end()
    assert emulator.counts()["cancel"] == 0


def test_the_triggerer_that_polls_dies(airflow: RunningAirflow, tell: Callable[..., Story]) -> None:
    story = tell("triggerer killed")
    story.in_flight(15)
    airflow.kill("triggerer-1")
    story.in_flight(20)
    airflow.start("triggerer-1")
    story.end()


def test_a_triggerer_that_stood_still_cancels_nothing_when_it_wakes_up(
    airflow: RunningAirflow, emulator: RunningEmulator, tell: Callable[..., Story]
) -> None:
    # Airflow 3.3.0 to 3.3.2 then call on_kill for triggers that are the other one's now (apache/airflow#73454)
    story = tell("triggerer stopped for 20 s")
    emulator.fault("http_503", on="status", match="clip 1;", times=1000)  # so that it is waited for all the while
    story.watched(1)
    name = airflow.instance(DAG, story.run_id, "clip", 1)["triggerer"]
    airflow.stop(name)
    time.sleep(20)
    airflow.cont(name)
    until(lambda: story.has_logged("trigger cancelled by user action", Fate.GOES_ON.value), "on_kill", 60)
    emulator.clear_faults()
    story.end()
    # what had ended in the meantime may be asked to stop, to no effect
    assert [request for request in emulator.requests(story.name) if request["status_code"] == 499] == []


@pytest.mark.parametrize("alone", [False, True], ids=["with its workers", "alone"])
def test_the_scheduler_dies(airflow: RunningAirflow, tell: Callable[..., Story], alone: bool) -> None:
    story = tell("scheduler killed alone" if alone else "scheduler killed with its workers")
    story.in_flight(8)
    airflow.kill("scheduler", alone=alone)
    time.sleep(3)
    airflow.start("scheduler")
    story.end()


def test_the_queue_is_restarted(emulator: RunningEmulator, tell: Callable[..., Story]) -> None:
    story = tell("queue killed and restarted")
    story.in_flight(10)
    emulator.kill()
    time.sleep(5)
    emulator.restart()
    story.end()


def test_the_queue_stands_still_for_half_a_minute(emulator: RunningEmulator, tell: Callable[..., Story]) -> None:
    story = tell("queue stopped for 30 s")
    story.in_flight(8)
    os.kill(emulator.pid, signal.SIGSTOP)
    time.sleep(30)
    os.kill(emulator.pid, signal.SIGCONT)
    story.end()


def test_a_person_marks_a_deferred_task_failed(
    database: RunningPostgres, airflow: RunningAirflow, emulator: RunningEmulator, tell: Callable[..., Story]
) -> None:
    story = tell("deferred task marked failed")
    story.watched(7)
    triggers = database.dump("trigger")
    assert story.requests(7)[0]["request_id"] in triggers
    assert KEY.partition(":")[2] not in triggers
    airflow.set_state(DAG, story.run_id, "clip", "failed", 7)
    until(lambda: story.requests(7)[0]["status_code"] == 499, "the request to be cancelled", 30)
    story.end("failed", ended_by_a_person=story.prompt(7))
    assert emulator.counts()["cancel"] == 1


def test_a_person_marks_a_task_failed_that_holds_its_worker(
    airflow: RunningAirflow, emulator: RunningEmulator, tell: Callable[..., Story]
) -> None:
    story = tell("running task marked failed")
    story.worker_that_holds()
    airflow.set_state(DAG, story.run_id, "held", "failed", 0)
    prompt = f"{story.name}: held 0;"
    until(lambda: emulator.requests(prompt)[0]["status_code"] == 499, "the request to be cancelled", 30)
    story.end("failed", ended_by_a_person=prompt)
    assert emulator.counts()["cancel"] == 1


def test_a_person_clears_a_deferred_task_whose_request_waits(
    airflow: RunningAirflow, emulator: RunningEmulator, tell: Callable[..., Story]
) -> None:
    story = tell("deferred task cleared")
    fal = FalQueue(Account(f"Key {KEY}", emulator.queue_url))
    # most runners are kept busy, so that clips wait in the queue however slowly they are submitted
    blockers = [fal.submit(TEXT_TO_VIDEO, {"prompt": "blocker [[never_finish]]"}) for _ in range(10)]

    def waiting() -> list[int]:
        deferred = {i["map_index"] for i in airflow.instances(DAG, story.run_id, "clip") if i["state"] == "deferred"}
        return [n for n in sorted(deferred) if story.requests(n)[0]["state"] == "IN_QUEUE"]

    number = until(waiting, "a request in the queue", 120)[-1]
    airflow.clear(DAG, story.run_id, task_ids=[["clip", number]])
    until(lambda: story.requests(number)[0]["status_code"] == 499, "the old request to be cancelled", 90)
    for blocker in blockers:
        fal.cancel(TEXT_TO_VIDEO, blocker)
    fal.close()
    story.end(asked_twice=story.prompt(number))
    old, new = story.requests(number)
    assert (old["error_type"], new["status_code"]) == ("client_cancelled", 200)


def test_the_key_is_nowhere(home: AirflowHome, airflow: RunningAirflow, database: RunningPostgres) -> None:
    """After all of that: in no file that Airflow wrote, and in no row of its database."""
    secret = KEY.partition(":")[2]
    dump = database.dump()
    assert "pika_submission" in dump  # it is the whole database
    assert secret not in dump
    assert secret.encode().hex() not in dump
    for path in home.folder.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
