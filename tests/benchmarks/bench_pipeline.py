"""From prompts to verified files on a disk: how long beside the queue's own time, and at what cost for each clip.

Beside ours: the ten lines that users write, for a hundred clips; and a bare asyncio script, the plain limit. Ours alone
keeps a record of each submission, verifies each file, and writes its metadata. For the files alone, curl fetches them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dev.airflow_home import pika_connection
from tests.benchmarks import budget, report
from tests.benchmarks.pipeline_measured import AT_ONCE, PIPELINES, SAVES
from tests.support.emulator import RunningEmulator

#: Clips; BENCH_SIZES names others.
SIZES = (1000, 10_000)

#: Bytes of a clip; BENCH_BYTES names others.
BYTES = 2_000_000

#: The most clips of a shape that holds a worker for each, and a third of all where they are few.
MOST = {"mapped fal_client.subscribe": 100}

#: Requests that the emulator runs at once, and the seconds that each takes.
RUNNERS, GENERATION = 100, 1.0

CURL = "curl --parallel"


def run() -> dict[str, dict[str, dict[str, Any]]]:
    """Measure each shape at each size; give shape -> size -> figures.

    ``beyond_s`` is the wall clock but for the queue's own time; ``worker_s`` is what a worker is held for, a clip.
    """
    sizes = [int(size) for size in os.environ.get("BENCH_SIZES", "").split(",") if size] or list(SIZES)
    figures: dict[str, dict[str, dict[str, Any]]] = {}
    report.FILE.parent.mkdir(parents=True, exist_ok=True)
    with budget.harness():
        for size in sizes:
            for name, found in _measure(size):
                figures.setdefault(name, {})[str(size)] = found
                print(f"  {size} x {name}: {found}", file=sys.stderr, flush=True)
    return figures


def _measure(size: int) -> Iterator[tuple[str, dict[str, Any]]]:
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=report.FILE.parent) as folder,
        budget.emulator(RUNNERS, f"{GENERATION:g}") as emulator,
    ):
        manifest = Path(folder) / "manifest.jsonl"
        for shape in PIPELINES:
            number = min(MOST[shape], -(-size // 3)) if shape in MOST else size
            yield shape, _one(shape, emulator, number, Path(folder), manifest)
        for shape in SAVES:
            yield shape, _one(shape, emulator, size, Path(folder), manifest)
        if _has_curl():
            yield CURL, _curl(manifest, Path(folder))


def _one(shape: str, emulator: RunningEmulator, number: int, folder: Path, manifest: Path) -> dict[str, Any]:
    emulator.reset_counts()
    os.sync()  # nobody is to write what others have left
    with tempfile.TemporaryDirectory(prefix="saved-", dir=folder) as saved:
        found, log = folder / "report.json", folder / "log"
        found.unlink(missing_ok=True)
        size = os.environ.get("BENCH_BYTES", str(BYTES))
        given = [shape, emulator.queue_url, str(number), size, saved, str(manifest), str(found)]
        more = pika_connection(emulator.queue_url, budget.KEY)
        with budget.measured("tests.benchmarks.pipeline_measured", given, str(folder / "home"), more, log) as process:
            process.communicate()
        if not found.exists():
            print(log.read_text()[-3000:], file=sys.stderr)
            return {"failed": number}
        files = len(list(Path(saved).glob("*.mp4")))
    figures: dict[str, Any] = json.loads(found.read_text())
    if shape in PIPELINES:
        figures["beyond_s"] = round(figures["wall_s"] - -(-number // RUNNERS) * GENERATION, 2)
        figures["polls"] = round(emulator.counts()["status"] / number, 1)
    return {**figures, "clips": number, "failed": number - files}


def _has_curl() -> bool:
    try:
        return subprocess.run(["curl", "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        print("  There is no curl here; its row is left out.", file=sys.stderr)
        return False


def _curl(manifest: Path, folder: Path) -> dict[str, Any]:
    urls = [json.loads(line)["url"] for line in manifest.read_text().splitlines()]
    os.sync()
    with tempfile.TemporaryDirectory(prefix="curl-", dir=folder) as saved:
        config = folder / "curl.txt"
        config.write_text("".join(f'url = "{url}"\noutput = "{saved}/{n}.mp4"\n' for n, url in enumerate(urls)))
        command = ["curl", "-sSf", "--parallel", "--parallel-max", str(AT_ONCE), "--config", str(config)]
        began, before = time.monotonic(), os.times()
        done = subprocess.run(command, check=False)
        took, after = time.monotonic() - began, os.times()
        size = sum(path.stat().st_size for path in Path(saved).iterdir())
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {
        "wall_s": round(took, 2),
        "cpu_ms": round(1000 * cpu / len(urls), 1),
        "mb_per_s": round(size / 1e6 / took, 1),
        "clips": len(urls),
        "failed": done.returncode,
    }
