"""The process that is measured: ``python -m tests.benchmarks.waits_in_one_loop SHAPE QUEUE_URL INTERVAL REPORT``.

It begins a wait for each line on stdin, ``{"prompt": ..., "request_id": ...}``, and writes its report once all have
ended, or a time after the last line. ``REPORT.ready`` is there once it reads.
"""

from __future__ import annotations

import asyncio
import cProfile
import json
import os
import selectors
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.benchmarks import budget
from tests.benchmarks.wait_shapes import SHAPES, Job, Wait

#: Seconds after the last line at which what has not ended counts as failed.
PATIENCE = 120.0


class Stalls(selectors.DefaultSelector):
    """The selector of an event loop that notes how long the loop has stood still at most; it causes no wake-ups."""

    worst = 0.0
    _working_since: float | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for events; whatever became due since it was called the last time has waited until now."""
        if self._working_since is not None:
            self.worst = max(self.worst, time.perf_counter() - self._working_since)
        events = super().select(timeout)
        self._working_since = time.perf_counter()
        return events


class Waits:
    """The waits of one shape, and when each has ended."""

    def __init__(self, wait: Wait, queue_url: str, interval: float) -> None:
        self.noticed: dict[str, float] = {}
        self.errors: Counter[str] = Counter()
        self._wait = wait
        self._queue_url = queue_url
        self._interval = interval
        self._tasks: set[asyncio.Task[None]] = set()

    async def all(self) -> None:
        """Begin one for each line, and wait for all."""
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            task = asyncio.create_task(self._one(Job(self._queue_url, self._interval, **json.loads(line))))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)  # one that has ended costs a triggerer nothing either
        if left := set(self._tasks):
            _, late = await asyncio.wait(left, timeout=PATIENCE)
            self.errors.update({"had not ended": len(late)} if late else {})
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _one(self, job: Job) -> None:
        try:
            request_id = await self._wait(job)
        except Exception as error:
            self.errors[f"{type(error).__name__}: {error}"[:200]] += 1
        else:
            self.noticed[request_id] = time.time()


def measure(wait: Wait, queue_url: str, interval: float) -> dict[str, Any]:
    """Return what the waits have cost, over what this process has cost before."""
    waits, stalls = Waits(wait, queue_url, interval), Stalls()
    before, cpu = budget.peak_from_now(), time.process_time()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(stalls)) as runner:
        runner.run(waits.all())
    return {
        "cpu_s": time.process_time() - cpu,
        "grown_kb": budget.peak() - before,
        "worst_stall_s": stalls.worst,
        "noticed": waits.noticed,
        "errors": waits.errors,
    }


def main(shape: str, queue_url: str, interval: str, report: str) -> None:
    """Measure, and write the report; with ``BENCH_PROFILE``, a file for ``pstats``, too."""
    budget.take_the_core()
    wait = SHAPES[shape]()
    Path(f"{report}.ready").touch()
    profile = cProfile.Profile() if (into := os.environ.get("BENCH_PROFILE")) else None
    if profile:
        profile.enable()
    found = measure(wait, queue_url, float(interval))
    if profile and into:
        profile.disable()
        profile.dump_stats(into)
    Path(report).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
