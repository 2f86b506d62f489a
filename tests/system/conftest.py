"""One real Airflow for the system tests: the examples, README's Dags and the tests' own, at three emulators."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.airflow_home import EXAMPLE_DAGS, ROOT, AirflowHome, pika_connection
from tests.support.emulator import RunningEmulator
from tests.support.running_airflow import IMPATIENT, RunningAirflow, running_airflow
from tests.support.s3 import RunningS3

KEY = "system-key-id:system-key-secret"
README = (ROOT / "README.md").read_text()

#: Seconds that a clip takes at the emulator behind the connection ``slow``: a worker's start is much shorter.
SLOW = 14.0


def blocks(language: str) -> list[str]:
    """Return README's code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    """An emulator that takes a few seconds for a clip, so that sensors do wait; it draws what was asked for."""
    folder = tmp_path_factory.mktemp("emulator")
    with RunningEmulator.start(folder, runners=16, generation_time="4", keys=[KEY]) as running:
        yield running


@pytest.fixture(scope="session")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    """An emulator that takes its time, keeps nobody waiting in its queue, and draws nothing; connection ``slow``."""
    folder, extra = tmp_path_factory.mktemp("slow"), ["--render", "off"]
    with RunningEmulator.start(folder, runners=30, generation_time=str(SLOW), keys=[KEY], extra=extra) as running:
        yield running


@pytest.fixture(scope="session")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    """An emulator with one runner: a request waits in its queue behind one that never ends; connection ``busy``."""
    folder, extra = tmp_path_factory.mktemp("busy"), ["--render", "off"]
    with RunningEmulator.start(folder, runners=1, generation_time="1", keys=[KEY], extra=extra) as running:
        yield running


@pytest.fixture(scope="session")
def s3() -> Iterator[RunningS3]:
    """An S3 server, behind the connection ``clips_store``."""
    with RunningS3() as running:
        yield running


@pytest.fixture(scope="session")
def airflow(
    tmp_path_factory: pytest.TempPathFactory,
    emulator: RunningEmulator,
    slow: RunningEmulator,
    busy: RunningEmulator,
    s3: RunningS3,
) -> Iterator[RunningAirflow]:
    """A scheduler, a dag-processor, a triggerer and an api-server, which notice within seconds what has died."""
    dags = tmp_path_factory.mktemp("dags")
    for folder in (EXAMPLE_DAGS, Path(__file__).parent / "dags"):
        shutil.copytree(folder, dags, dirs_exist_ok=True)
    for number, snippet in enumerate(blocks("python")):
        (dags / f"readme_{number}.py").write_text(snippet)
    settings = {
        **pika_connection(emulator.queue_url, KEY),
        "AIRFLOW_CONN_SLOW": pika_connection(slow.queue_url, KEY)["AIRFLOW_CONN_PIKA_DEFAULT"],
        "AIRFLOW_CONN_BUSY": pika_connection(busy.queue_url, KEY)["AIRFLOW_CONN_PIKA_DEFAULT"],
        **s3.connection,
        **IMPATIENT,
    }
    with running_airflow(AirflowHome(tmp_path_factory.mktemp("airflow"), dags, settings)) as running:
        running.pool("clips", 2, include_deferred=True)
        yield running
