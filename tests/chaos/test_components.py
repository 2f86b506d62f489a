"""Kill a component of a running Airflow, or the emulator, with clips in flight: none is paid twice, or lost.

Ten clips are in flight, or twenty in a soak. What takes a whole component down runs by itself.
"""

from __future__ import annotations

import os
import signal
import time

import pytest

from airflow_provider_pika.task.kill import Fate
from tests.chaos.conftest import Stage
from tests.support.ledger import DAG
from tests.support.running_airflow import until
from tests.support.scenario import CLIPS, EACH


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
