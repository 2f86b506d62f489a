"""Whatever a test run has started ends with it, even where it is killed and cleans up nothing itself."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

#: In the environment of all that a test run starts, wherever it goes: the run's process ID, and when that started.
MARK = "PIKA_TEST_RUN"


def end_what_outlives(pid: int) -> None:
    """Have a small process kill what this run has started once the process ``pid`` is gone, however it went."""
    os.environ[MARK] = f"{pid}-{time.monotonic_ns()}"
    command = [sys.executable, "-S", "-E", __file__, str(pid)]
    # A session of its own: what ends the run's group, a Ctrl-C say, spares it.
    subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)


def marked(mark: str) -> list[int]:
    """Return the processes that have the mark in their environment, but not this one."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:  # it has ended, or is another user's
            continue
    return [pid for pid in found if pid != os.getpid()]


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    for _ in range(3):  # again, for what was started in between
        for pid in marked(os.environ[MARK]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)


if __name__ == "__main__":
    _watch(int(sys.argv[1]))
