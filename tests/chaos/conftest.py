"""Two Airflows with PostgreSQL for all the killing, one with LocalExecutor and one with Celery's; the table of faults.

Each is in a process of pytest-xdist of its own: what is killed in one disturbs no test in another.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from dev.airflow_home import AirflowHome, pika_connection
from tests.support.distribution import Distribution, put_first
from tests.support.emulator import RunningEmulator
from tests.support.hostile import HostileServer
from tests.support.hostile_queue import KEY as HOSTILE_KEY
from tests.support.hostile_queue import hostile_queue
from tests.support.ledger import Row, table
from tests.support.postgres import RunningPostgres
from tests.support.redis import RunningRedis
from tests.support.running_airflow import IMPATIENT, RunningAirflow, running_airflow
from tests.support.scenario import DAGS, FEW, GENERATION_TIME, KEY, Scenario

ROWS: list[Row] = []

#: Clips that the emulator generates at once: some of twenty have to wait in its queue.
RUNNERS = 14


#: Tasks that run at once.
AT_ONCE = 6

#: The files, what takes longest first.
ORDER = (
    "test_batch_to_files",
    "test_components",
    "test_workers",
    "test_scheduler",
    "test_people",
    "test_hostile_queue",
)

#: The files whose tests run with CeleryExecutor.
WITH_CELERY = ("test_components", "test_people", "test_hostile_queue")


def is_for_celery(nodeid: str) -> bool:
    """Return whether a test, or a file, runs with CeleryExecutor."""
    return any(name in nodeid for name in WITH_CELERY)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep to the order."""
    put_first(items, ORDER)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Distribution:
    """Share them out by executors."""
    return Distribution(config, log, lambda nodeid: "celery" if is_for_celery(nodeid) else "local")


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


@contextlib.contextmanager
def running_stage(
    folder: Path, emulator: RunningEmulator, hostile: HostileServer, *, workers: int = 0
) -> Iterator[Stage]:
    """
    Start an Airflow with two triggerers, and a database that stands a kill; when all is over, the key is nowhere.

    :param workers: Celery's; none is LocalExecutor.
    """
    [hostile_connection] = pika_connection(hostile.url, HOSTILE_KEY, http_timeout=5).values()
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(RunningPostgres.start(folder / "postgres"))
        broker = stack.enter_context(RunningRedis.start(folder)).settings(database) if workers else {}
        settings = {
            **IMPATIENT,
            **database.settings,
            **broker,
            **pika_connection(emulator.queue_url, KEY, http_timeout=20),
            "AIRFLOW_CONN_HOSTILE": hostile_connection,
            "AIRFLOW__CORE__PARALLELISM": str(AT_ONCE),
        }
        home = AirflowHome(folder / "airflow", DAGS, settings)
        with running_airflow(home, triggerers=2, workers=workers) as airflow:
            yield Stage(airflow, emulator, database)
            check_that_the_key_is_nowhere(home, database)


@pytest.fixture(scope="session")
def local_stage(
    tmp_path_factory: pytest.TempPathFactory, emulator: RunningEmulator, hostile: HostileServer
) -> Iterator[Stage]:
    """All that a scenario needs, with LocalExecutor: its workers are the scheduler's."""
    with running_stage(tmp_path_factory.mktemp("local"), emulator, hostile) as running:
        yield running


@pytest.fixture(scope="session")
def celery_stage(
    tmp_path_factory: pytest.TempPathFactory, emulator: RunningEmulator, hostile: HostileServer
) -> Iterator[Stage]:
    """All that a scenario needs, with CeleryExecutor, a broker and two workers: where users outgrow one machine."""
    with running_stage(tmp_path_factory.mktemp("celery"), emulator, hostile, workers=2) as running:
        yield running


@pytest.fixture(scope="module")
def stage(request: pytest.FixtureRequest) -> Stage:
    """The one that a file's tests need."""
    wanted: Stage = request.getfixturevalue("celery_stage" if is_for_celery(request.node.nodeid) else "local_stage")
    return wanted


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
