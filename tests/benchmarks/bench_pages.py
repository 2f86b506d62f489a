"""The list of clips at 100,000 XComs, on SQLite and on PostgreSQL, and the API server's memory while ten people watch.

``BENCH_SIZES`` has other numbers of XComs, ``BENCH_BYTES`` the bytes of the clip that is watched.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SIZES = tuple(map(int, os.environ.get("BENCH_SIZES", "100000").split()))

#: The share of the XComs that are clips: all of them, or as in an Airflow that does much else.
SHARES = {"all are clips": 100, "4 % are clips": 4}


def run() -> dict[str, dict[str, dict[str, Any]]]:
    """Measure each database, size and share in a process of its own; ``pages_measured.py`` says what.

    It gives shape -> size -> figures: milliseconds of the queries (median), megabytes of the API server.
    """
    figures: dict[str, dict[str, dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-pages-") as name:
        folder = Path(name)
        for shape, share in SHARES.items():
            for size in SIZES:
                told = _measured(folder / f"sqlite-{share}-{size}", share, size, {})
                figures.setdefault(f"SQLite, {shape}", {})[f"{size} XComs"] = told
        for shape, told in _on_postgres(folder):
            figures.setdefault(shape, {}).update(told)
    return figures


def _on_postgres(folder: Path) -> list[tuple[str, dict[str, dict[str, Any]]]]:
    try:
        from tests.support.postgres import RunningPostgres
    except ModuleNotFoundError:  # pip has none for this machine
        return []
    found = []
    for shape, share in SHARES.items():
        for size in SIZES:
            with RunningPostgres.start(folder / f"server-{share}-{size}") as postgres:
                told = _measured(folder / f"postgres-{share}-{size}", share, size, postgres.settings)
            found.append((f"PostgreSQL, {shape}", {f"{size} XComs": told}))
    return found


def _measured(folder: Path, share: int, size: int, settings: dict[str, str]) -> dict[str, Any]:
    folder.mkdir(parents=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.pages_measured", str(folder), str(size), str(share)],
        env={**kept, "AIRFLOW_HOME": str(folder), "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR", **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"The pages could not be measured:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    told: dict[str, Any] = json.loads(done.stdout.split("measured:")[1])
    return told
