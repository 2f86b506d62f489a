"""Kill every part of a running Airflow, and the emulator, with clips in flight: none is paid twice, or lost.

Ten clips are in flight, or twenty in a soak.

What ends no process, or one task's worker, disturbs nobody else: those scenarios run at once, each in a thread. What
takes a whole component down runs by itself.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import pytest

from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.account import Account
from airflow_provider_pika.fal.client import FalQueue
from airflow_provider_pika.task.kill import Fate
from dev.airflow_home import AirflowHome
from tests.chaos.conftest import ROWS, RUNNERS
from tests.support.components import send
from tests.support.emulator import RunningEmulator
from tests.support.ledger import DAG
from tests.support.postgres import RunningPostgres
from tests.support.running_airflow import RunningAirflow, until
from tests.support.scenario import CLIPS, EACH, KEY, Scenario

#: Clips of each of a task's two kinds, where several scenarios share the machine.
FEW = 4


class Stage(NamedTuple):
    """Where a scenario happens."""

    airflow: RunningAirflow
    emulator: RunningEmulator
    database: RunningPostgres

    def begin(self, name: str, *faults: str, each: int = FEW) -> Scenario:
        """Start a run of this name; the prompts end with these faults in turn."""
        return Scenario.begin(self.airflow, self.emulator, name, ROWS, faults or ("",), each)


@pytest.fixture(scope="module")
def stage(airflow: RunningAirflow, emulator: RunningEmulator, database: RunningPostgres) -> Stage:
    return Stage(airflow, emulator, database)


def nothing_happens(stage: Stage) -> None:
    scenario = stage.begin("nothing happens")
    assert [len(clip.requests) for clip in scenario.end()] == [1] * (2 * FEW + 2)


def everything_goes_wrong_that_can_on_the_way_to_fal_and_at_fal(stage: Stage) -> None:
    lost = ("lost_reply", "malformed", "reset accepted=true", "http_502 accepted=true", "stall seconds=3")
    passing = ("requeue", "expire")
    failing = ("content_policy_violation", "runner_error")
    faults = [f" [[{fault}]]" for fault in (*lost, *passing, *failing)]
    clips = stage.begin("every fault of fal's", *faults, each=len(faults)).end("failed")
    assert sum(clip.delivered for clip in clips) == 2 + 2 * (len(lost) + len(passing))
    refused, broken = clips[len(faults) - 2], clips[len(faults) - 1]
    assert (refused.task["try_number"], len(refused.requests)) == (1, 1)
    assert len(broken.requests) == broken.task["try_number"] == 6  # each failed before the next was submitted


def a_worker_dies_between_fals_acceptance_and_its_reply(stage: Stage) -> None:
    scenario = stage.begin("worker killed before the reply")
    for number in (2, 3):
        stage.emulator.fault("stall", match=scenario.prompt(number))
    scenario.kill_workers_once_accepted(2, 3)
    scenario.end()
    assert "Found it: request" in "\n".join(stage.airflow.logs(DAG, scenario.run_id, "clip", 2))


def a_worker_dies_between_the_record_and_the_deferral(stage: Stage) -> None:
    scenario = stage.begin("worker killed before it defers")
    for number in (2, 3):
        stage.emulator.fault("stall", on="status", match=scenario.prompt(number))
    scenario.kill_workers_once_accepted(2, 3, after=1.0)  # the record is written, and the first poll stalls
    scenario.end()
    assert "Taking up request" in "\n".join(stage.airflow.logs(DAG, scenario.run_id, "clip", 2))


def a_worker_that_was_taken_for_dead_wakes_up_and_cancels_nothing(stage: Stage) -> None:
    scenario = stage.begin("worker stopped for 30 s")
    with scenario.kept_waiting(f"{scenario.name}: held 0;"):
        worker = scenario.worker_that_holds()
        send(signal.SIGSTOP, worker)
        time.sleep(30)  # after 20 s its task has another worker, which takes the request up
        send(signal.SIGCONT, worker)
        until(lambda: scenario.has_logged("Told to stop", Fate.GOES_ON.value), "the worker to be told to stop", 60)
    scenario.end()
    assert scenario.cancelled() == []


def a_person_marks_a_task_failed_that_holds_its_worker(stage: Stage) -> None:
    scenario = stage.begin("running task marked failed")
    prompt = f"{scenario.name}: held 0;"
    scenario.worker_that_holds()
    stage.airflow.set_state(DAG, scenario.run_id, "held", "failed", 0)
    until(lambda: stage.emulator.requests(prompt)[0]["status_code"] == 499, "the request to be cancelled", 30)
    scenario.end("failed", ended_by_a_person=prompt)
    assert len(scenario.cancelled()) == 1


AT_ONCE: dict[str, Callable[[Stage], None]] = {
    scenario.__name__: scenario
    for scenario in (
        nothing_happens,
        everything_goes_wrong_that_can_on_the_way_to_fal_and_at_fal,
        a_worker_dies_between_fals_acceptance_and_its_reply,
        a_worker_dies_between_the_record_and_the_deferral,
        a_worker_that_was_taken_for_dead_wakes_up_and_cancels_nothing,
        a_person_marks_a_task_failed_that_holds_its_worker,
    )
}


@pytest.fixture(scope="module")
def outcomes(stage: Stage) -> Iterator[dict[str, Future[None]]]:
    """All of those, begun."""
    with ThreadPoolExecutor(len(AT_ONCE)) as pool:
        yield {name: pool.submit(scenario, stage) for name, scenario in AT_ONCE.items()}


@pytest.mark.parametrize("scenario", AT_ONCE)
def test_at_once(outcomes: dict[str, Future[None]], scenario: str) -> None:
    outcomes[scenario].result()


def test_the_triggerer_that_polls_dies(stage: Stage) -> None:
    scenario = stage.begin("triggerer killed", each=EACH)
    scenario.in_flight(CLIPS * 3 // 4)
    stage.airflow.kill("triggerer-1")
    scenario.in_flight(CLIPS)
    stage.airflow.start("triggerer-1")
    scenario.end()


def test_a_triggerer_that_stood_still_cancels_nothing_when_it_wakes_up(stage: Stage) -> None:
    # Airflow 3.3.0 to 3.3.2 then call on_kill for triggers that are the other one's now (apache/airflow#73454)
    scenario = stage.begin("triggerer stopped for 20 s", each=EACH)
    with scenario.kept_waiting(scenario.prompt(1)):
        scenario.watched(1)
        name = stage.airflow.instance(DAG, scenario.run_id, "clip", 1)["triggerer"]
        stage.airflow.stop(name)
        time.sleep(20)
        stage.airflow.cont(name)
        until(lambda: scenario.has_logged("trigger cancelled by user action", Fate.GOES_ON.value), "on_kill", 60)
    scenario.end()
    assert scenario.cancelled() == []  # what had ended in the meantime may be asked to stop, to no effect


@pytest.mark.parametrize("alone", [False, True], ids=["with its workers", "alone"])
def test_the_scheduler_dies(stage: Stage, alone: bool) -> None:
    scenario = stage.begin("scheduler killed alone" if alone else "scheduler killed with its workers", each=EACH)
    scenario.in_flight(CLIPS * 2 // 5)
    stage.airflow.kill("scheduler", alone=alone)
    time.sleep(3)
    stage.airflow.start("scheduler")
    scenario.end()


def test_the_queue_is_restarted(stage: Stage) -> None:
    scenario = stage.begin("queue killed and restarted", each=EACH)
    scenario.in_flight(CLIPS // 2)
    stage.emulator.kill()
    time.sleep(5)
    stage.emulator.restart()
    scenario.end()


def test_the_queue_stands_still_for_half_a_minute(stage: Stage) -> None:
    scenario = stage.begin("queue stopped for 30 s", each=EACH)
    scenario.in_flight(CLIPS * 2 // 5)
    os.kill(stage.emulator.pid, signal.SIGSTOP)
    time.sleep(30)
    os.kill(stage.emulator.pid, signal.SIGCONT)
    scenario.end()


def test_a_person_marks_a_deferred_task_failed(stage: Stage) -> None:
    scenario = stage.begin("deferred task marked failed", each=EACH)
    stage.emulator.fault("never_finish", match=scenario.prompt(3))  # however long the triggerer takes to hear of it
    scenario.watched(3)
    triggers = stage.database.dump("trigger")
    assert scenario.requests(3)[0]["request_id"] in triggers
    assert KEY.partition(":")[2] not in triggers
    stage.airflow.set_state(DAG, scenario.run_id, "clip", "failed", 3)
    until(lambda: scenario.requests(3)[0]["status_code"] == 499, "the request to be cancelled", 60)
    scenario.end("failed", ended_by_a_person=scenario.prompt(3))
    assert len(scenario.cancelled()) == 1


def test_a_person_clears_a_deferred_task_whose_request_waits(stage: Stage) -> None:
    scenario = stage.begin("deferred task cleared")
    fal = FalQueue(Account(f"Key {KEY}", stage.emulator.queue_url))
    # most runners are kept busy, so that clips wait in the queue however slowly they are submitted
    blockers = [fal.submit(TEXT_TO_VIDEO, {"prompt": "blocker [[never_finish]]"}) for _ in range(RUNNERS - 2)]

    def waiting() -> list[int]:
        instances = stage.airflow.instances(DAG, scenario.run_id, "clip")
        deferred = {instance["map_index"] for instance in instances if instance["state"] == "deferred"}
        return [number for number in sorted(deferred) if scenario.requests(number)[0]["state"] == "IN_QUEUE"]

    number = until(waiting, "a request in the queue", 120)[-1]
    stage.airflow.clear(DAG, scenario.run_id, task_ids=[["clip", number]])
    until(lambda: scenario.requests(number)[0]["status_code"] == 499, "the old request to be cancelled", 90)
    for blocker in blockers:
        fal.cancel(TEXT_TO_VIDEO, blocker)
    fal.close()
    scenario.end(asked_twice=scenario.prompt(number))
    old, new = scenario.requests(number)
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
