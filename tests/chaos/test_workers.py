"""Kill the workers of tasks in a running Airflow, and let people act on them: no clip is paid twice, or lost.

What ends no process, or one task's worker, disturbs nobody else: those scenarios run at once, each in a thread.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from airflow_provider_pika.task.kill import Fate
from tests.chaos.conftest import Stage
from tests.support.components import send
from tests.support.running_airflow import until
from tests.support.scenario import FEW
from tests.support.sizes import SOAK


def nothing_happens(stage: Stage) -> None:
    scenario = stage.begin("nothing happens")
    assert [len(clip.requests) for clip in scenario.end()] == [1] * (2 * FEW + 2)


def everything_goes_wrong_that_can_on_the_way_to_fal_and_at_fal(stage: Stage) -> None:
    lost = ("lost_reply", "malformed", "reset accepted=true", "http_502 accepted=true", "stall seconds=3")
    passing = ("requeue", "expire")
    failing = ("content_policy_violation", "runner_error")
    faults = [f" [[{fault}]]" for fault in (*lost, *passing, *failing)]
    faults[-1] += " [[generate seconds=1]]"  # it fails six times, one after the other
    dag_id = "chaos" if SOAK else "chaos_clips"
    clips = stage.begin("every fault of fal's", *faults, each=len(faults), dag_id=dag_id).end("failed")
    good = len(lost) + len(passing)
    assert sum(clip.delivered for clip in clips) == (2 + 2 * good if SOAK else good)
    refused, broken = clips[len(faults) - 2], clips[len(faults) - 1]
    # that a refusal ends at its first attempt is another test's affair: a busy machine may lose an attempt's heartbeats
    assert len(refused.requests) == 1
    assert broken.task["try_number"] == 6
    assert len(broken.requests) in (5, 6)  # each failed before the next was submitted


def a_worker_dies_between_fals_acceptance_and_its_reply(stage: Stage) -> None:
    scenario = stage.begin("worker killed before the reply", dag_id="chaos_clips")
    for number in (0, 1):
        stage.emulator.fault("stall", match=scenario.prompt(number))
    scenario.kill_workers_once_accepted(0, 1)
    scenario.end()
    assert "Found it: request" in "\n".join(stage.airflow.logs(scenario.dag_id, scenario.run_id, "clip", 0))


def a_worker_dies_between_the_record_and_the_deferral(stage: Stage) -> None:
    scenario = stage.begin("worker killed before it defers", dag_id="chaos_clips")
    for number in (0, 1):
        stage.emulator.fault("stall", on="status", match=scenario.prompt(number))
    scenario.kill_workers_once_accepted(0, 1, after=1.0)  # the record is written, and the first poll stalls
    scenario.end()
    assert "Picking up request" in "\n".join(stage.airflow.logs(scenario.dag_id, scenario.run_id, "clip", 0))


def a_worker_that_was_taken_for_dead_wakes_up_and_cancels_nothing(stage: Stage) -> None:
    scenario = stage.begin("worker stopped for 30 s", dag_id="chaos_held")
    with scenario.kept_waiting(f"{scenario.name}: held 0;"):
        worker = scenario.worker_that_holds()
        send(signal.SIGSTOP, worker)
        time.sleep(30)  # after 20 s its task has another worker, which takes the request up
        send(signal.SIGCONT, worker)
        until(lambda: scenario.has_logged("Told to stop", Fate.GOES_ON.value), "the worker to be told to stop", 60)
    scenario.end()
    assert scenario.cancelled() == []


def a_person_marks_a_task_failed_that_holds_its_worker(stage: Stage) -> None:
    scenario = stage.begin("running task marked failed", dag_id="chaos_held")
    prompt = f"{scenario.name}: held 0;"
    scenario.worker_that_holds()
    stage.airflow.set_state(scenario.dag_id, scenario.run_id, "held", "failed", 0)
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
