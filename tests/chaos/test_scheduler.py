"""Kill the scheduler with the workers of LocalExecutor, and without them, with clips in flight."""

from __future__ import annotations

import time

from tests.chaos.conftest import AT_ONCE, Stage
from tests.support.components import Component
from tests.support.running_airflow import until
from tests.support.scenario import EACH


def test_the_scheduler_dies_with_its_workers_and_then_alone(stage: Stage) -> None:
    scenario = stage.begin("scheduler killed with its workers, then alone", each=EACH)
    with scenario.replies_held(AT_ONCE):
        stage.airflow.kill("scheduler")
    time.sleep(3)
    stage.airflow.start("scheduler")
    until(lambda: runs_a_task(stage.airflow.components["scheduler"]), "a task in a worker", 180, every=0.2)
    stage.airflow.kill("scheduler", alone=True)
    time.sleep(3)
    stage.airflow.start("scheduler")
    scenario.end()


def runs_a_task(scheduler: Component) -> bool:
    """Return whether one of its workers has a task; an idle one calls itself LocalExecutor's."""
    titles = [process.title for process in scheduler.processes]
    return any(title.startswith("airflow worker -- ") and "LocalExecutor" not in title for title in titles)
