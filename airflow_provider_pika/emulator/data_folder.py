"""The data folder: the SQLite file of every fact that outlives the process, and files for its user alone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: The tables of the emulator's database; times are unix seconds. Units and prices are decimal numbers, as text.
SCHEMA = """
CREATE TABLE IF NOT EXISTS requests (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    endpoint TEXT NOT NULL,
    origin TEXT NOT NULL,
    body BLOB NOT NULL,
    prompt TEXT NOT NULL,
    via TEXT NOT NULL,
    low_priority INTEGER NOT NULL,
    keep_io INTEGER NOT NULL,
    no_retry INTEGER NOT NULL DEFAULT 0,
    tags TEXT NOT NULL DEFAULT '{}',
    webhook TEXT,
    state TEXT NOT NULL,
    sent_at REAL NOT NULL,
    start_by REAL,
    not_before REAL NOT NULL DEFAULT 0,
    started_at REAL,
    ended_at REAL,
    attempts INTEGER NOT NULL DEFAULT 0,
    faults TEXT NOT NULL DEFAULT '[]',
    outcome TEXT,
    status_code INTEGER,
    file TEXT
);
CREATE INDEX IF NOT EXISTS requests_by_state ON requests (state, low_priority, seq);
CREATE INDEX IF NOT EXISTS requests_by_deadline ON requests (start_by)
    WHERE state = 'IN_QUEUE' AND start_by IS NOT NULL;
CREATE INDEX IF NOT EXISTS requests_by_file ON requests (file);
CREATE TABLE IF NOT EXISTS logs (
    request_id TEXT NOT NULL, at REAL NOT NULL, level TEXT NOT NULL, message TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS logs_by_request ON logs (request_id, at);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS faults (id INTEGER PRIMARY KEY AUTOINCREMENT, spec TEXT NOT NULL, left INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS fault_uses (
    subject TEXT NOT NULL, directive INTEGER NOT NULL, uses INTEGER NOT NULL, PRIMARY KEY (subject, directive)
);
CREATE TABLE IF NOT EXISTS charges (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    request_id TEXT NOT NULL UNIQUE,
    endpoint TEXT NOT NULL,
    at REAL NOT NULL,
    units TEXT NOT NULL,
    unit TEXT NOT NULL,
    unit_price TEXT NOT NULL,
    nano_usd INTEGER NOT NULL,
    tags TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS charges_by_time ON charges (at);
CREATE TABLE IF NOT EXISTS deliveries (
    request_id TEXT PRIMARY KEY, url TEXT NOT NULL, body BLOB NOT NULL, attempts INTEGER NOT NULL,
    due REAL NOT NULL, expires REAL NOT NULL
);
"""

#: Columns of ``requests`` that the first versions did not have.
ADDED = {"no_retry": "INTEGER NOT NULL DEFAULT 0", "tags": "TEXT NOT NULL DEFAULT '{}'"}

#: Prompts, webhook URLs and signing keys are for the user who runs the emulator alone.
PRIVATE = 0o600


def make_private(path: Path) -> None:
    """Make an empty file if there is none, and narrow the mode of one that an earlier version made.

    A file of another user is left as it is. Raises `OSError` if the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    try:
        with contextlib.suppress(PermissionError):
            os.fchmod(descriptor, PRIVATE)
    finally:
        os.close(descriptor)


class DataFolderBusyError(Exception):
    """Another emulator already works in this data folder. Two would serve the same requests twice."""


class Database:
    """One connection, used from the event loop's thread only.

    Statements run in the loop itself, since each takes well under a millisecond. They are synchronous and so cannot
    interleave: to read and then write needs no lock. The file is in WAL mode, which survives a ``kill -9``.
    """

    def __init__(self, folder: Path) -> None:
        """Open or make ``folder``.

        Raises `OSError` if it cannot be written, and `DataFolderBusyError` if another emulator has it.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = (folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataFolderBusyError(str(folder)) from None
        file = folder / "emulator.sqlite3"
        make_private(file)  # SQLite gives the files that it makes beside it the same mode
        for beside in (folder / f"{file.name}{suffix}" for suffix in ("-wal", "-shm")):
            if beside.exists():
                make_private(beside)
        self._connection = sqlite3.connect(file, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(SCHEMA)
        self._add_what_earlier_versions_lack()

    def _add_what_earlier_versions_lack(self) -> None:
        columns = {row["name"] for row in self.rows("PRAGMA table_info(requests)")}
        for name, kind in ADDED.items():
            if name not in columns:
                self.execute(f"ALTER TABLE requests ADD COLUMN {name} {kind}")

    def execute(self, sql: str, *values: Any) -> int:
        """Run one statement, and return the number of rows it changed."""
        return self._connection.execute(sql, values).rowcount

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """Return all rows of a query."""
        return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> sqlite3.Row | None:
        """Return the first row of a query, or None."""
        row: sqlite3.Row | None = self._connection.execute(sql, values).fetchone()
        return row

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all statements inside, or none of them."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def close(self) -> None:
        """Close the file and let the next emulator have the folder."""
        self._connection.close()
        self._lock.close()
