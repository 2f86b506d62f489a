"""An Airflow of our own under the working tree: its folder, its settings, its processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE_DAGS = ROOT / "example_dags"

#: Where the examples save, if nobody says otherwise.
EXAMPLES_SAVE_TO = Path(tempfile.gettempdir()) / "pika-videos"

#: `airflow`, for a command that soon ends.
SHORT_AIRFLOW = (sys.executable, str(ROOT / "dev" / "short_airflow.py"))

#: Where the commands keep their Airflows; one database is of no use to two versions.
HOMES = ROOT / ".airflow" / version("apache-airflow")


@dataclass(frozen=True)
class AirflowHome:
    """Where one Airflow lives, and the settings that make it ours alone.

    :param folder: its AIRFLOW_HOME, with an SQLite database.
    :param dags: the Dags folder.
    :param settings: further environment variables.
    """

    folder: Path
    dags: Path = EXAMPLE_DAGS
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its processes; nothing of an Airflow around us leaks in."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        ours = {
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__API__HOST": "127.0.0.1",  # everybody is an admin here
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__PIKA__CLIP_ROOTS": f"{EXAMPLES_SAVE_TO}, {self.folder / 'videos'}",
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), inherited.get("PATH", ""))),
            "PYTHONUNBUFFERED": "1",
        }
        return {**inherited, **ours, **self.settings}

    def migrate(self, log: Path) -> None:
        """Make the database, once per Airflow version.

        :raises RuntimeError: it failed; ``log`` says why.
        """
        done = self.folder / f"migrated-{version('apache-airflow')}"
        if done.exists():
            return
        print("Making Airflow's database, once (5 to 15 seconds) ...", flush=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.run([*SHORT_AIRFLOW, "db", "migrate"], log) != 0:
            raise RuntimeError(f"airflow db migrate failed; its output is in {log}")
        done.touch()

    def run(self, command: Sequence[str], log: Path) -> int:
        """Run a command to its end, its output into ``log``; give its exit code."""
        with log.open("ab") as output, self.started(command, output.fileno()) as process:
            return process.wait()

    @contextlib.contextmanager
    def started(self, command: Sequence[str], output: int, grace: float = 10.0) -> Iterator[subprocess.Popen[str]]:
        """Run a command in the background; at the end of the block nothing of it is left.

        :param grace: seconds between SIGTERM and SIGKILL.
        """
        process = self.spawn(command, output)
        try:
            yield process
        finally:
            end_group(process, grace)

    def spawn(self, command: Sequence[str], output: int) -> subprocess.Popen[str]:
        """Run a command in the background, in a session of its own, whose number is the pid."""
        return subprocess.Popen(
            command,
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def end_group(process: subprocess.Popen[str], grace: float) -> None:
    """End a process and all that it started: Airflow's commands swallow a signal to the leader, or orphan the rest."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        until = time.monotonic() + grace
        while time.monotonic() < until:
            process.poll()  # a zombie would count as alive
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.05)


def pika_connection(queue_url: str, key: str = "demo-key-id:demo-key-secret", **extra: object) -> dict[str, str]:
    """Return the environment variable of a connection to the emulator."""
    connection = {"conn_type": "pika", "host": queue_url, "password": key, "extra": extra}
    return {"AIRFLOW_CONN_PIKA_DEFAULT": json.dumps(connection)}
