"""One Airflow with PostgreSQL, LocalExecutor and two triggerers for all the killing; the table of faults at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dev.airflow_home import AirflowHome, pika_connection
from tests.support.emulator import RunningEmulator
from tests.support.hostile import HostileServer
from tests.support.hostile_queue import KEY as HOSTILE_KEY
from tests.support.hostile_queue import hostile_queue
from tests.support.ledger import Row, table
from tests.support.postgres import RunningPostgres
from tests.support.running_airflow import IMPATIENT, RunningAirflow, running_airflow
from tests.support.scenario import DAGS, KEY

ROWS: list[Row] = []

#: Clips that the emulator generates at once: some of twenty have to wait in its queue.
RUNNERS = 14


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    """An emulator that takes long enough for twenty clips to be in flight at once; it draws none."""
    folder, extra = tmp_path_factory.mktemp("emulator"), ["--render", "off"]
    with RunningEmulator.start(folder, runners=RUNNERS, generation_time="9-15", keys=[KEY], extra=extra) as running:
        yield running


@pytest.fixture(scope="session")
def hostile() -> Iterator[HostileServer]:
    """A queue that answers what no honest one does, behind the connection ``hostile``."""
    with hostile_queue() as running:
        yield running


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPostgres]:
    """A database that stands a kill."""
    with RunningPostgres.start(tmp_path_factory.mktemp("postgres")) as running:
        yield running


@pytest.fixture(scope="session")
def home(
    tmp_path_factory: pytest.TempPathFactory,
    emulator: RunningEmulator,
    hostile: HostileServer,
    database: RunningPostgres,
) -> AirflowHome:
    """Where this Airflow lives: all that it writes is there, or in its database."""
    [hostile_connection] = pika_connection(hostile.url, HOSTILE_KEY, http_timeout=5).values()
    settings = {
        **IMPATIENT,
        **database.settings,
        **pika_connection(emulator.queue_url, KEY, http_timeout=20),
        "AIRFLOW_CONN_HOSTILE": hostile_connection,
        "AIRFLOW__CORE__PARALLELISM": "6",
    }
    return AirflowHome(tmp_path_factory.mktemp("chaos"), DAGS, settings)


@pytest.fixture(scope="session")
def airflow(home: AirflowHome) -> Iterator[RunningAirflow]:
    """All of it, up."""
    with running_airflow(home, triggerers=2) as running:
        yield running


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of faults."""
    terminalreporter.write_sep("=", "faults")
    for line in table(ROWS):
        terminalreporter.write_line(line)
