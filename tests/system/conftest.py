"""One real Airflow, and one emulator, for all the system tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dev.airflow_home import AirflowHome, pika_connection
from tests.support.emulator import RunningEmulator
from tests.support.running_airflow import RunningAirflow, running_airflow

KEY = "system-key-id:system-key-secret"


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    """An emulator that takes a few seconds for a clip, so that sensors do wait."""
    with RunningEmulator.start(tmp_path_factory.mktemp("emulator"), generation_time="6", keys=[KEY]) as running:
        yield running


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory, emulator: RunningEmulator) -> Iterator[RunningAirflow]:
    """A scheduler, a dag-processor, a triggerer and an api-server over the example Dags."""
    folder = tmp_path_factory.mktemp("airflow")
    with running_airflow(AirflowHome(folder, settings=pika_connection(emulator.queue_url, KEY))) as running:
        yield running
