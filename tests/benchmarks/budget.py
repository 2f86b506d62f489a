"""The same budget for every peer: a core, open files, an Airflow of its own; and what it has used of it."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.emulator import RunningEmulator

ROOT = Path(__file__).resolve().parents[2]

#: Of the emulators, which take any.
KEY = "bench-key-id:bench-key-secret"

#: A generation of this endpoint is what all peers ask for.
ENDPOINT = "fal-ai/pika/v2.5/text-to-video"
APP = "fal-ai/pika"


@contextlib.contextmanager
def harness() -> Iterator[None]:
    """Leave a core to who is measured, and allow as many open files as this machine does."""
    cores, (soft, hard) = os.sched_getaffinity(0), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if len(cores) > 1:
        os.sched_setaffinity(0, cores - {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def take_the_core() -> None:
    """Run this process, which is measured, on the core that :func:`harness` has left."""
    with contextlib.suppress(OSError):  # there is but one
        os.sched_setaffinity(0, {max(range(os.cpu_count() or 1))})


@contextlib.contextmanager
def emulator(runners: int, generation_time: str) -> Iterator[RunningEmulator]:
    """Start one that has never seen a request and renders nothing."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        extra = ["--render", "off"]
        options: dict[str, Any] = {"runners": runners, "generation_time": generation_time, "extra": extra}
        with RunningEmulator.start(Path(folder), **options) as running:
            yield running


def measured(module: str, arguments: Sequence[str], home: str, more: Mapping[str, str], log: Path) -> Any:
    """Start a module in a process of its own, with a pipe to its stdin; nothing of an Airflow around us leaks in."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "FAL_"))}
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**kept, "AIRFLOW_HOME": home, "FAL_KEY": KEY, **more},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            text=True,
        )


def peak_from_now() -> int:
    """Forget the peak so far, which importing may have caused, and give the KiB that this process holds now."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def peak(process: int | str = "self") -> int:
    """Return the most KiB that this process held, or another; 0 where that has just ended.

    ``getrusage`` does not tell that of a child: there the memory of its parent counts, from before it became itself.
    """
    return _status("VmHWM", process)


def _status(name: str, process: int | str = "self") -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next((line.split()[1] for line in lines if line.startswith(f"{name}:")), 0))
