"""An Airflow with PostgreSQL, LocalExecutor and two triggerers for all the killing; the table of faults at the end.

Each process of pytest-xdist has one of its own: what is killed in one disturbs no test in another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, NamedTuple

import pytest

from dev.airflow_home import AirflowHome, pika_connection
from tests.support.distribution import Distribution, file_of, put_first
from tests.support.emulator import RunningEmulator
from tests.support.hostile import HostileServer
from tests.support.hostile_queue import KEY as HOSTILE_KEY
from tests.support.hostile_queue import hostile_queue
from tests.support.ledger import Row, table
from tests.support.postgres import RunningPostgres
from tests.support.running_airflow import IMPATIENT, RunningAirflow, running_airflow
from tests.support.scenario import DAGS, FEW, GENERATION_TIME, KEY, Scenario

ROWS: list[Row] = []

#: Clips that the emulator generates at once: some of twenty have to wait in its queue.
RUNNERS = 14


#: The files, in the order that keeps two processes busy to the end. The hostile queue's clips have seconds.
ORDER = ("test_batch_to_files", "test_components", "test_celery", "test_hostile_queue", "test_workers")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep to the order."""
    put_first(items, ORDER)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Distribution:
    """Share them out by files."""
    return Distribution(config, log, file_of)


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    """An emulator that takes long enough for twenty clips to be in flight at once; it draws none."""
    folder, extra = tmp_path_factory.mktemp("emulator"), ["--render", "off"]
    with RunningEmulator.start(
        folder, runners=RUNNERS, generation_time=GENERATION_TIME, keys=[KEY], extra=extra
    ) as running:
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
def airflow(home: AirflowHome, database: RunningPostgres) -> Iterator[RunningAirflow]:
    """All of it, up; and when all is over, the key is nowhere."""
    with running_airflow(home, triggerers=2) as running:
        yield running
        check_that_the_key_is_nowhere(home, database)


def check_that_the_key_is_nowhere(home: AirflowHome, database: RunningPostgres) -> None:
    """Look for the key in each file that Airflow wrote, and in each row of its database."""
    secret = KEY.partition(":")[2]
    dump = database.dump()
    assert "pika_" in dump  # it is the whole database, with what our tasks keep
    assert secret not in dump
    assert secret.encode().hex() not in dump
    for path in home.folder.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


class Stage(NamedTuple):
    """Where a scenario happens."""

    airflow: RunningAirflow
    emulator: RunningEmulator
    database: RunningPostgres

    def begin(self, name: str, *faults: str, each: int = FEW, dag_id: str = "chaos") -> Scenario:
        """Start a run of this name: `Scenario.begin`."""
        return Scenario.begin(self.airflow, self.emulator, name, ROWS, faults or ("",), each, dag_id)


@pytest.fixture(scope="session")
def stage(airflow: RunningAirflow, emulator: RunningEmulator, database: RunningPostgres) -> Stage:
    """All that a scenario needs."""
    return Stage(airflow, emulator, database)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that prints of this one's faults."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["rows"] = [asdict(row) for row in ROWS]


def pytest_testnodedown(node: Any) -> None:
    """Take in what another process tells."""
    ROWS.extend(Row(**row) for row in getattr(node, "workeroutput", {}).get("rows", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of faults."""
    terminalreporter.write_sep("=", "faults")
    for line in table(ROWS):
        terminalreporter.write_line(line)
