"""Whatever a test run has started ends with it, even where it is killed and cleans up nothing itself."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

#: Seconds. What a run starts, and what then leaves it for a session of its own, lives longer.
EVERY = 4.0


class _Process(NamedTuple):
    parent: int
    session: int
    started: str


def end_what_outlives(pid: int) -> None:
    """Have a small process kill all that this run has started once the process ``pid`` is gone, however it went."""
    if not os.path.isdir("/proc"):  # macOS has none: there, the run cleans up alone
        return
    command = [sys.executable, "-S", "-E", __file__, str(pid)]
    # A session of its own: what ends the run's group, a Ctrl-C say, spares it.
    subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)


def _watch(run: int) -> None:
    known: dict[int, str] = {}
    while os.getppid() == run:
        _learn(known, run)
        time.sleep(EVERY)
    for _ in range(3):  # again, for what was started in between
        _learn(known, run)
        for pid in known:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)


def _learn(known: dict[int, str], run: int) -> None:
    """Know what descends from the run, or is in a session that one of these leads, as long as it lives."""
    living = _living()
    for pid, started in list(known.items()):
        if pid not in living or living[pid].started != started:  # the number may be another's by now
            del known[pid]
    before = -1
    while before != len(known):
        before = len(known)
        for pid, process in living.items():
            if pid not in (run, os.getpid()) and (process.parent in (run, *known) or process.session in known):
                known[pid] = process.started


def _living() -> dict[int, _Process]:
    found = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with contextlib.suppress(OSError):  # it has ended
                # the name, in parentheses, may contain anything
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
                found[int(name)] = _Process(int(fields[1]), int(fields[3]), fields[19])
    return found


if __name__ == "__main__":
    _watch(int(sys.argv[1]))
