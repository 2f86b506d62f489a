"""How often each operation was called: what a test asks when it wants to know that nothing was posted twice."""

from __future__ import annotations

from typing import Any

from airflow_provider_pika.emulator.database import Database

PLAIN = ("status", "stream", "result", "cancel", "file", "history")
SPLIT = ("submit", "run")
PARTS = ("received", "accepted", "refused")


class Tally:
    """Counters that outlive the process, written at the moment of the event and so before a reply can be lost."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, name: str) -> None:
        """Count one: ``"status"``, or ``"submit.accepted"``."""
        self._db.execute("INSERT INTO counters VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1", name)

    def read(self) -> dict[str, Any]:
        """All counters, zeros included."""
        counts = {row["name"]: row["value"] for row in self._db.rows("SELECT * FROM counters")}
        split = {name: {part: counts.get(f"{name}.{part}", 0) for part in PARTS} for name in SPLIT}
        return {**split, **{name: counts.get(name, 0) for name in PLAIN}}

    def reset(self) -> None:
        """All counters to zero."""
        self._db.execute("DELETE FROM counters")
