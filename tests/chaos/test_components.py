"""Kill a component of an Airflow with CeleryExecutor, or the emulator: no clip in flight is lost or paid twice.

Ten clips are in flight, or twenty in a soak. What takes a whole component down runs by itself. Each run is hit twice.
"""

from __future__ import annotations

import os
import signal
import time

from airflow_provider_pika.task.kill import Fate
from tests.chaos.conftest import AT_ONCE, Stage
from tests.support.running_airflow import until
from tests.support.scenario import CLIPS, EACH


def test_a_worker_and_a_triggerer_die_and_every_clip_is_delivered_and_paid_for_once(stage: Stage) -> None:
    scenario = stage.begin("Celery worker and triggerer killed", each=EACH)
    with scenario.kept_waiting(scenario.prompt(1)):
        with scenario.replies_held(AT_ONCE):
            stage.airflow.kill("worker-1")
        time.sleep(10)
        stage.airflow.start("worker-1")
        scenario.watched(1)
        triggerer = str(stage.airflow.instance(scenario.dag_id, scenario.run_id, "clip", 1)["triggerer"])
        stage.airflow.kill(triggerer)
        time.sleep(10)
        stage.airflow.start(triggerer)
    scenario.end()


def test_a_triggerer_that_stood_still_cancels_nothing_and_the_one_that_polls_for_both_dies(stage: Stage) -> None:
    # Airflow 3.3.0 to 3.3.2 then call on_kill for triggers that are the other one's now (apache/airflow#73454)
    scenario = stage.begin("triggerer stands still, the other polls for both and dies", each=EACH)

    def triggerer() -> str | None:
        name: str | None = stage.airflow.instance(scenario.dag_id, scenario.run_id, "clip", 1)["triggerer"]
        return name

    def another() -> str | None:
        return None if (name := triggerer()) == stopped else name

    with scenario.kept_waiting(f"{scenario.name}:"):
        scenario.in_flight(CLIPS)
        scenario.watched(1)
        stopped = str(triggerer())
        stage.airflow.stop(stopped)
        polls_for_both = until(another, "the other triggerer to take the clip's trigger", 180)
        stage.airflow.cont(stopped)
        until(lambda: scenario.has_logged("trigger cancelled by user action", Fate.GOES_ON.value), "on_kill", 180)
        stage.airflow.kill(polls_for_both)
        time.sleep(2)
        stage.airflow.start(polls_for_both)
    scenario.end()
    assert scenario.cancelled() == []  # what had ended in the meantime may be asked to stop, to no effect


def test_the_queue_stands_still_for_half_a_minute_and_is_then_killed_and_restarted(stage: Stage) -> None:
    scenario = stage.begin("queue stopped for 30 s, then killed", each=EACH)
    scenario.in_flight(CLIPS * 2 // 5)
    os.kill(stage.emulator.pid, signal.SIGSTOP)
    time.sleep(30)
    os.kill(stage.emulator.pid, signal.SIGCONT)
    scenario.in_flight(CLIPS)  # of a submit that is cut before the queue had it, a retry finds nothing, and fails
    stage.emulator.kill()
    time.sleep(5)
    stage.emulator.restart()
    scenario.end()
