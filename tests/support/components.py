"""The processes of an Airflow, one component at a time: started, stopped, continued, killed."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

from dev.airflow_home import AirflowHome
from tests.support.waiting import until

#: Seconds in which what was killed is gone, at the latest.
GONE_WITHIN = 5.0


class Process(NamedTuple):
    """A process that lives: no zombie."""

    started: int
    pid: int
    session: int

    @classmethod
    def read(cls, pid: int) -> Self | None:
        """Return the process with this id, or None if there is none."""
        with contextlib.suppress(OSError):
            # the name, in parentheses, may contain anything
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            if fields[0] != "Z":
                return cls(int(fields[19]), pid, int(fields[3]))
        return None

    @property
    def title(self) -> str:
        """What Airflow calls it: the executors put the task instance's id there."""
        with contextlib.suppress(OSError):
            return Path(f"/proc/{self.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return ""


def processes() -> list[Process]:
    """Return every process of this machine, parents before their children."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return sorted(process for pid in pids if (process := Process.read(pid)))


def send(number: signal.Signals, targets: Sequence[Process]) -> None:
    """Send a signal to each, in this order; who is gone already does not mind."""
    for process in targets:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


@dataclass(frozen=True)
class _Elsewhere:
    """A process that is another one's child: that one reaps it."""

    pid: int

    def poll(self) -> None:
        """Do nothing."""


class Component:
    """
    One of Airflow's commands with all that it starts.

    What belongs to it is known by its session: its process group is not enough, as each task has its own (3.3), nor
    are its children, as those of a killed process are somebody else's.
    """

    def __init__(self, home: AirflowHome, name: str, command: Sequence[str], settings: dict[str, str]) -> None:
        """Prepared, not started."""
        # Airflow writes down the user who runs a job or a task: so, in its API, they bear the component's name.
        self._home = replace(home, settings={**home.settings, **settings, "LOGNAME": name})
        self._command = ["airflow", *command]
        self._leaders: list[Any] = []  # Popen, or _Elsewhere
        self.name = name
        self.log = home.folder / f"{name}.log"
        self._logged_before = 0
        self.started: datetime | None = None  # None: it is not meant to run

    @property
    def sessions(self) -> list[int]:
        """Return the ids by which its processes are known: those of the processes that were started."""
        return [leader.pid for leader in self._leaders]

    def attach(self, sessions: Sequence[int]) -> None:
        """Know the processes of a component that another process has started."""
        self._leaders = [_Elsewhere(pid) for pid in sessions]

    def start(self) -> None:
        """Start it; what `kill` has spared may still run."""
        with self.log.open("ab") as output:
            self._logged_before = output.tell()
            self.started = datetime.now(UTC)
            self._leaders.append(self._home.spawn(self._command, output.fileno()))

    def said(self, words: str) -> bool:
        """Return whether its output has these words, since it was started."""
        return words.encode() in self.log.read_bytes()[self._logged_before :]

    @property
    def processes(self) -> list[Process]:
        """All that lives of it, parents first."""
        for leader in self._leaders:
            leader.poll()  # a zombie would hold its number
        sessions = {leader.pid for leader in self._leaders}
        living = [process for process in processes() if process.session in sessions]
        used = {process.session for process in living}
        self._leaders = [leader for leader in self._leaders if leader.pid in used]  # any other number is free again
        return living

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all that lives of it."""
        send(number, self.processes)

    def kill(self, *, alone: bool = False) -> None:
        """SIGKILL all of it, or ``alone`` the process that was started, as happens to it when memory runs out."""
        self.started = None
        if alone:
            leader = self._leaders[-1]
            leader.kill()
            leader.wait()
            return
        until(self._killed, f"{self.name} to be gone", GONE_WITHIN, every=0.02)

    def _killed(self) -> bool:
        send(signal.SIGKILL, living := self.processes)  # again, for what was started in between
        return not living
