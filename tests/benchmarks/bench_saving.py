"""A large video saved: how long, with how much CPU and memory, beside a plain copy of the same bytes.

Ours alone computes a SHA-256, opens the file as a video, writes metadata, and (beside the second row of curl) has it
on the disk when it says so. To S3, the peer uploads a file that was fetched before; ours fetches it, too.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from dev.airflow_home import pika_connection
from tests.benchmarks import budget, report
from tests.support.emulator import RunningEmulator
from tests.support.s3 import RunningS3

#: Bytes; BENCH_BYTES names others.
SIZES = (1_000_000_000,)

#: Each shape has its turn so many times, and the medians count; BENCH_ROUNDS is another number.
ROUNDS = 3

#: Rounds before them, told as 0: a virtual machine's memory is slow for the first who puts a gigabyte into it.
UNCOUNTED = {"disk": 1, "S3": 0}

#: Bytes below which there are none of these: such a run only shows that all still works.
SMALL = 100_000_000

OURS = "pika operator"

#: Where to: the ways to get it there.
SHAPES = {
    "disk": ("curl -o", "curl -o, then fsync", OURS, "httpx.stream, unchecked"),
    "S3": ("s3fs put_file, of a file on disk", OURS),
}

#: Figure: its value.
Figures = dict[str, Any]


@dataclass(frozen=True)
class _Bench:
    """The servers that run, and the folder where all is: on the disk of the checkout, for a /tmp may be memory."""

    folder: Path
    emulator: RunningEmulator
    s3: RunningS3

    def process(self, module: str, *given: str) -> dict[str, Any] | None:
        """Run one to its end, with the path of its report as the last argument; give what it reports."""
        found, log = self.folder / "report.json", self.folder / "log"
        found.unlink(missing_ok=True)
        temporary = {"TMPDIR": str(self.folder), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        more = {**pika_connection(self.emulator.queue_url, budget.KEY), **self.s3.connection, **temporary}
        with budget.measured(module, [*given, str(found)], str(self.folder / "home"), more, log) as process:
            process.communicate()
        if not found.exists():
            print(log.read_text()[-3000:], file=sys.stderr)
            return None
        content: dict[str, Any] = json.loads(found.read_text())
        return content


def run() -> dict[str, dict[str, Figures]]:
    """Measure each shape at each size and place; give shape -> size and place -> figures.

    ``peak_mb`` is what a process held at most over what it held before, with all imported and a small clip saved; of
    curl, all that it held.
    """
    sizes = [int(size) for size in os.environ.get("BENCH_BYTES", "").split(",") if size] or list(SIZES)
    figures: dict[str, dict[str, Figures]] = {}
    report.FILE.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(budget.harness())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir=report.FILE.parent)))
        emulator = stack.enter_context(RunningEmulator.start(folder / "emulator", generation_time="0.1"))
        bench = _Bench(folder, emulator, stack.enter_context(RunningS3()))
        for size in sizes:
            for (shape, where), rounds in _rounds(bench, size).items():
                figures.setdefault(shape, {})[f"{size} to {where}"] = _medians(rounds, size)
    return figures


def _rounds(bench: _Bench, size: int) -> Mapping[tuple[str, str], Sequence[Figures | None]]:
    """Return what each shape took in each round; None where it failed. Each round begins with another shape."""
    kept = bench.folder / "sources.json"
    kept.write_text(json.dumps(bench.process("tests.benchmarks.saving_files", str(size), str(bench.folder))))
    rounds = int(os.environ.get("BENCH_ROUNDS", ROUNDS))
    found: dict[tuple[str, str], list[Figures | None]] = {}
    for where, measure in (("disk", _to_disk), ("S3", _to_s3)):
        shapes = _to_be_had(SHAPES[where])
        found |= {(shape, where): [] for shape in shapes}
        for number in range(1 - (UNCOUNTED[where] if size >= SMALL else 0), rounds + 1):
            first = number % len(shapes)
            for shape in (*shapes[first:], *shapes[:first]):
                took = measure(bench, shape, kept, size)
                print(f"  {number}: {size} to {where} x {shape}: {took}", file=sys.stderr, flush=True)
                if number > 0:
                    found[shape, where].append(took)
    return found


def _to_be_had(shapes: Sequence[str]) -> Sequence[str]:
    without = [shape for shape in shapes if not shape.startswith("curl")]
    if len(without) == len(shapes) or shutil.which("curl"):
        return shapes
    print("  There is no curl here; its rows are left out.", file=sys.stderr)
    return without


def _to_disk(bench: _Bench, shape: str, sources: Path, size: int) -> Figures | None:
    os.sync()  # nobody is to write what others have left
    with tempfile.TemporaryDirectory(prefix="saved-", dir=bench.folder) as folder:
        found = bench.process("tests.benchmarks.saving_measured", shape, str(sources), f"{folder}/clip")
        saved = Path(folder) / "clip-large.mp4"
        return found if found and saved.stat().st_size == size else None


def _to_s3(bench: _Bench, shape: str, sources: Path, size: int) -> Figures | None:
    os.sync()
    client, bucket = bench.s3.client, bench.s3.bucket
    target = f"s3://clips_store@{bucket}/clip"
    found = bench.process("tests.benchmarks.saving_measured", shape, str(sources), target)
    length = client.head_object(Bucket=bucket, Key="clip-large.mp4")["ContentLength"] if found else None
    for key in bench.s3.objects():
        client.delete_object(Bucket=bucket, Key=key)
    return found if length == size else None


def _medians(rounds: Sequence[Figures | None], size: int) -> Figures:
    good = [found for found in rounds if found]
    figures: Figures = {name: round(median(found[name] for found in good), 3) for name in (good[0] if good else ())}
    if good:
        figures["mb_per_s"] = round(size / 1e6 / figures["wall_s"], 1)
    return {**figures, "failed": len(rounds) - len(good)}
