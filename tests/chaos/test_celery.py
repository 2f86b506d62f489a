"""Where users outgrow one machine: CeleryExecutor, a broker, two workers and two triggerers; and a worker dies."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from dev.airflow_home import AirflowHome, pika_connection
from tests.chaos.conftest import ROWS, check_that_the_key_is_nowhere
from tests.support.emulator import RunningEmulator
from tests.support.postgres import RunningPostgres
from tests.support.redis import RunningRedis
from tests.support.running_airflow import IMPATIENT, RunningAirflow, running_airflow
from tests.support.scenario import CLIPS, DAGS, GENERATION_TIME, KEY, Scenario


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    folder, extra = tmp_path_factory.mktemp("emulator"), ["--render", "off"]
    with RunningEmulator.start(folder, runners=14, generation_time=GENERATION_TIME, keys=[KEY], extra=extra) as running:
        yield running


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory, emulator: RunningEmulator) -> Iterator[RunningAirflow]:
    folder = tmp_path_factory.mktemp("distributed")
    with RunningPostgres.start(folder) as postgres, RunningRedis.start(folder) as redis:
        connection = pika_connection(emulator.queue_url, KEY, http_timeout=20)
        home = AirflowHome(folder, DAGS, {**IMPATIENT, **postgres.settings, **redis.settings(postgres), **connection})
        with running_airflow(home, triggerers=2, workers=2) as running:
            yield running
            check_that_the_key_is_nowhere(home, postgres)


def test_a_worker_and_a_triggerer_die_and_every_clip_is_delivered_and_paid_for_once(
    airflow: RunningAirflow, emulator: RunningEmulator
) -> None:
    scenario = Scenario.begin(airflow, emulator, "Celery worker and triggerer killed", ROWS)
    emulator.fault("stall", match=scenario.prompt(3))  # somebody is between fal's acceptance and its reply
    scenario.in_flight(CLIPS // 2)
    airflow.kill("worker-1")
    airflow.kill("triggerer-1")
    time.sleep(10)
    airflow.start("worker-1")
    airflow.start("triggerer-1")
    scenario.end()
