"""What all system tests share, started once: an Airflow, the emulators behind its connections, and an S3 server.

pytest-xdist runs the tests in several processes. The one that starts them starts this, and tells them where it is.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.airflow_home import EXAMPLE_DAGS, AirflowHome, pika_connection
from dev.pages import dags as snippets
from tests.support.emulator import RunningEmulator
from tests.support.running_airflow import IMPATIENT, RunningAirflow, free_port, running_airflow
from tests.support.s3 import RunningS3
from tests.support.statsd import statsd_settings

try:
    from tests.support.postgres import RunningPostgres
except ModuleNotFoundError:  # pip has no PostgreSQL for this machine
    RunningPostgres = None  # type: ignore[assignment,misc]

KEY = "system-key-id:system-key-secret"

#: An endpoint of which one test alone asks for clips: it knows their metrics by it.
TOLD_ENDPOINT = "fal-ai/pika/v2.2/text-to-video"

#: What a clip costs at the emulator behind ``pika_default``.
PRICE = [f"--price={endpoint}=videos:0.30" for endpoint in ("fal-ai/pika/v2.5/text-to-video", TOLD_ENDPOINT)]

#: A bucket of the S3 server whose clips the pages may show.
SHOWN = "shown"

#: Seconds that a clip takes at the emulator ``slow``. A worker's start is much shorter, even on a busy machine.
SLOW = 25.0


@dataclass(frozen=True)
class Stage:
    """
    What runs.

    :param airflow: with the examples, the pages' Dags and these tests'; it notices within seconds what has died.
    :param emulator: takes a few seconds for a clip, draws it, and bills 0.30 USD; connection ``pika_default``.
    :param slow: takes :data:`SLOW`, keeps nobody waiting in its queue, and draws nothing; connection ``slow``.
    :param busy: has one runner: a request waits in its queue behind one that never ends; connection ``busy``.
    :param s3: behind the connection ``clips_store``.
    :param clips: a folder; the pages may show the clips in it, and those in the bucket :data:`SHOWN`.
    :param lineage: where OpenLineage writes its events, one a line, of the Dags that ask for it.
    :param statsd: the port to which Airflow sends our metrics; a test may listen there.
    """

    airflow: RunningAirflow
    emulator: RunningEmulator
    slow: RunningEmulator
    busy: RunningEmulator
    s3: RunningS3
    clips: Path
    lineage: Path
    statsd: int

    def told(self) -> dict[str, Any]:
        """Return as JSON what another process needs to use it."""
        return {
            "airflow": self.airflow.told(),
            "emulators": [each.queue_url for each in (self.emulator, self.slow, self.busy)],
            "s3": [self.s3.url, self.s3.pid],
            "clips": str(self.clips),
            "lineage": str(self.lineage),
            "statsd": self.statsd,
        }

    @classmethod
    def attached(cls, told: dict[str, Any]) -> Stage:
        """Return the one that another process has started."""
        emulator, slow, busy = map(RunningEmulator.attached, told["emulators"])
        airflow, s3 = RunningAirflow.attached(told["airflow"]), RunningS3.attached(*told["s3"])
        clips, lineage = Path(told["clips"]), Path(told["lineage"])
        return cls(airflow, emulator, slow, busy, s3, clips, lineage, told["statsd"])


@contextlib.contextmanager
def running_stage(folder: Path) -> Iterator[Stage]:
    """Start all of it, and leave nothing behind."""
    dags = folder / "dags"
    for source in (EXAMPLE_DAGS, Path(__file__).parent / "dags"):
        shutil.copytree(source, dags, dirs_exist_ok=True)
    for dag_id, snippet in snippets().items():
        (dags / f"snippet_{dag_id}.py").write_text(snippet)
    off, started = ["--render", "off"], RunningEmulator.start
    with (
        _database(folder) as database,
        RunningEmulator.start(
            folder / "emulator", runners=16, generation_time="4", keys=[KEY], extra=PRICE
        ) as emulator,
        RunningEmulator.start(folder / "slow", runners=30, generation_time=str(SLOW), keys=[KEY], extra=off) as slow,
        started(folder / "busy", runners=1, generation_time="1", keys=[KEY], extra=off) as busy,
        RunningS3() as s3,
    ):
        settings = {
            **pika_connection(emulator.queue_url, KEY),
            "AIRFLOW_CONN_SLOW": pika_connection(slow.queue_url, KEY)["AIRFLOW_CONN_PIKA_DEFAULT"],
            "AIRFLOW_CONN_BUSY": pika_connection(busy.queue_url, KEY)["AIRFLOW_CONN_PIKA_DEFAULT"],
            **s3.connection,
            **database,
            **IMPATIENT,
            # no test here loses a task that waits for a worker; a busy machine may let one wait for long
            "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "300",
            "AIRFLOW__CORE__PARALLELISM": "8",  # several tests run at once
            "AIRFLOW__PIKA__CLIP_ROOTS": f"{folder / 'clips'}, s3://clips_store@{SHOWN}",
            **_lineage(folder / "lineage.jsonl"),
            **statsd_settings(statsd := free_port()),
        }
        with running_airflow(AirflowHome(folder / "airflow", dags, settings)) as airflow:
            airflow.pool("pika", 2, include_deferred=True)
            yield Stage(airflow, emulator, slow, busy, s3, folder / "clips", folder / "lineage.jsonl", statsd)


def _lineage(events: Path) -> dict[str, str]:
    """Return the settings of OpenLineage: a process more for each task, so only of Dags with ``enable_lineage``."""
    transport = {"type": "file", "log_file_path": str(events), "append": True}
    return {
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
        "AIRFLOW__OPENLINEAGE__SELECTIVE_ENABLE": "True",
    }


@contextlib.contextmanager
def _database(folder: Path) -> Iterator[dict[str, str]]:
    """
    Start PostgreSQL, and yield the settings that lead to it; none, for SQLite, where there is no PostgreSQL.

    Two writes through an API server on SQLite wait for each other until one fails with 500 (Airflow 3.3.2: it writes
    its audit log on the event loop, which the other write needs to end). On SQLite, run these tests one at a time.
    """
    if RunningPostgres is None:
        yield {}
    else:
        with RunningPostgres.start(folder / "postgres") as postgres:
            yield postgres.settings
