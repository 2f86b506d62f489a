"""Many waits in one event loop, as in a triggerer: what they cost, and how soon they know that a clip is there."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from typing import Any
from urllib.parse import urlsplit

from tests.benchmarks import budget
from tests.benchmarks.wait_shapes import SHAPES, SUBMITS, arguments
from tests.support.emulator import RunningEmulator
from tests.support.waiting import until

#: Seconds that a generation takes; the same prompt takes the same with every peer.
GENERATION = "25-35"

#: Seconds over which the clips are submitted.
SPREAD = 10.0

#: Both for fewer waits than the first of the sizes: such a run only shows that all still works.
QUICK_GENERATION, QUICK_SPREAD = "4-6", 2.0

#: What the issue's table asks for; all shapes have the sizes that BENCH_SIZES names, if it does.
SIZES = (100, 300, 1000, 3000)

#: To stay under a quarter of an hour, what is no wait of ours has fewer.
FEWER = {
    "pika trigger, polling, experienced": (1000,),
    "client per trigger, 5 s": (100, 1000),
    "client per trigger, same latency": (100, 1000),
    "fal_client.subscribe_async": (100, 1000),
    "http provider, deferrable sensor": (100, 1000),
}

OURS, SAME_LATENCY = "pika trigger, polling", "client per trigger, same latency"

#: Seconds between two polls: what the field has, and the deferrable sensor here.
INTERVAL = 5.0


def run() -> dict[str, dict[str, dict[str, Any]]]:
    """Measure each shape at each size; give shape -> size -> figures.

    ``kb_per_wait`` is the peak over what the process held before the first wait, with all that the waits share.
    """
    figures: dict[str, dict[str, dict[str, Any]]] = {shape: {} for shape in SHAPES}
    with budget.harness(), tempfile.TemporaryDirectory(prefix="bench-home-") as home:
        for size, shape in _plan():
            interval = INTERVAL
            if shape == SAME_LATENCY:  # on average, a fixed interval notices after half of it
                interval = max(1.0, round(2 * figures[OURS].get(str(size), {}).get("noticed_p50_s", INTERVAL / 2), 2))
            found = figures[shape][str(size)] = _measure(shape, size, interval, Path(home))
            print(f"  {size} x {shape}: {found}", file=sys.stderr, flush=True)
    return {shape: by_size for shape, by_size in figures.items() if by_size}


def _plan() -> Iterator[tuple[int, str]]:
    """Return sizes and shapes, in turn."""
    asked = [int(size) for size in os.environ.get("BENCH_SIZES", "").split(",") if size]
    only = os.environ.get("BENCH_SHAPES", "")  # while one is worked on
    for size in asked or SIZES:
        for shape in SHAPES:
            if shape.startswith(only) and (asked or size in FEWER.get(shape, SIZES)):
                yield size, shape


def _measure(shape: str, size: int, interval: float, home: Path) -> dict[str, Any]:
    report, ready, log = home / "report.json", home / "report.json.ready", home / "log"
    for earlier in (report, ready):
        earlier.unlink(missing_ok=True)
    with budget.emulator(size, QUICK_GENERATION if size < min(SIZES) else GENERATION) as emulator:
        address = urlsplit(emulator.queue_url)
        connections = {
            "AIRFLOW_CONN_PIKA_DEFAULT": {"conn_type": "pika", "host": emulator.queue_url, "password": budget.KEY},
            "AIRFLOW_CONN_HTTP_DEFAULT": {"conn_type": "http", "host": address.hostname, "port": address.port},
        }
        given = [shape, emulator.queue_url, str(interval), str(report)]
        more = {name: json.dumps(value) for name, value in connections.items()}
        process = budget.measured("tests.benchmarks.waits_in_one_loop", given, str(home), more, log)
        with process, process.stdin:
            until(lambda: process.poll() is not None or ready.exists(), "the imports", 60, every=0.05)
            _submit(emulator, size, shape, process.stdin)
        if not report.exists():
            print(log.read_text()[-3000:], file=sys.stderr)
            return {"failed": size}
        found = json.loads(report.read_text())
        return _figures(found, emulator, size) | ({"interval_s": interval} if "client per" in shape else {})


def _submit(emulator: RunningEmulator, size: int, shape: str, waits: Any) -> None:
    """Submit evenly over the spread, and have each wait begin right after its submission."""
    address = urlsplit(emulator.queue_url)
    queue = HTTPConnection(address.hostname or "", address.port)
    headers = {"Authorization": f"Key {budget.KEY}", "Content-Type": "application/json"}
    begun, spread = time.monotonic(), QUICK_SPREAD if size < min(SIZES) else SPREAD
    for number in range(size):
        time.sleep(max(0.0, begun + spread * number / size - time.monotonic()))
        line = {"prompt": f"clip {number}", "request_id": ""}
        if shape != SUBMITS:
            queue.request("POST", f"/{budget.ENDPOINT}", json.dumps(arguments(line["prompt"])), headers)
            line["request_id"] = json.loads(queue.getresponse().read())["request_id"]
        waits.write(json.dumps(line) + "\n")
        waits.flush()
    queue.close()


def _figures(found: dict[str, Any], emulator: RunningEmulator, size: int) -> dict[str, Any]:
    for error, times in found["errors"].items():
        print(f"    {times} x {error}", file=sys.stderr)
    ended = {request["request_id"]: request["ended_at"] for request in emulator.requests()}
    late = sorted(noticed - ended[name] for name, noticed in found["noticed"].items())
    counts = emulator.counts()
    figures = {
        "cpu_s": round(found["cpu_s"], 2),
        "cpu_ms_per_wait": round(1000 * found["cpu_s"] / size, 2),
        "kb_per_wait": round(found["grown_kb"] / size, 1),
        "worst_stall_s": round(found["worst_stall_s"], 3),
        "polls_per_clip": round(counts["status"] / size, 2),
        "streams_per_clip": round(counts["stream"] / size, 2),
        "results_per_clip": round(counts["result"] / size, 2),
        "failed": size - len(late),
    }
    if len(late) > 1:
        figures |= {"noticed_p50_s": round(median(late), 3), "noticed_p95_s": round(quantiles(late, n=20)[-1], 3)}
    return figures
