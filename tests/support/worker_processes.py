"""How many processes ran tasks, and for how long: counted from outside, in /proc."""

from __future__ import annotations

import os
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.support.running_airflow import RunningAirflow

#: What a task runner calls itself, from 3.1.8 to 3.3.2. A supervisor has more in its title; a fork has its parent's.
TITLE = re.compile(r"airflow worker -- ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\s*")

#: Seconds between two polls: a task runner parses its Dag file under its title, which takes several times that.
EVERY = 0.1


@dataclass
class WorkerProcess:
    """A task runner; times are seconds since the machine was booted."""

    pid: int
    instance_id: str
    started: float
    ended: float | None = None

    @property
    def seconds(self) -> float:
        """How long it has lived, wall clock, from its fork on; too long by at most the gap between two polls."""
        return (_now() if self.ended is None else self.ended) - self.started


class WorkerProcesses:
    """
    Counts the task runners of a running Airflow while it is entered; read it afterwards.

    A task runner is the process that a supervisor, LocalExecutor's or Celery's, forks for one stretch of a task's code:
    one for each try, and one more each time a deferred task is resumed in a worker. Neither the supervisors are
    counted, which outlive their tasks, nor what a task starts itself.

    Components that are started, or started anew, while it is entered are not seen.
    """

    def __init__(self, airflow: RunningAirflow) -> None:
        self.processes: list[WorkerProcess] = []
        self._airflow = airflow
        self._sessions: set[int] = set()
        self._others: set[int] = set()
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._count, name="worker processes")

    def __enter__(self) -> Self:
        components = self._airflow.components.values()
        self._sessions = {process.session for component in components for process in component.processes}
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._enough.set()
        self._thread.join()

    def of(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> list[WorkerProcess]:
        """Return those of a task instance's last try, oldest first: each try has an id of its own."""
        number = self._airflow.instance(dag_id, run_id, task_id, map_index)["id"]
        return [process for process in self.processes if process.instance_id == number]

    def _count(self) -> None:
        while not self._enough.is_set():
            self._poll()
            self._enough.wait(EVERY)

    def _poll(self) -> None:
        living = {process.pid: process for process in self.processes if process.ended is None}
        pids = {int(name) for name in os.listdir("/proc") if name.isdecimal()}
        self._others &= pids  # a number may be used again
        for pid in pids - self._others - set(living):
            if (stat := _Stat.read(pid)) is None or stat.session not in self._sessions:
                self._others.add(pid)
            elif (title := TITLE.fullmatch(_title(pid))) and stat.parent not in living:
                self.processes.append(WorkerProcess(pid, title[1], stat.started))
        for pid, process in living.items():
            stat = _Stat.read(pid)
            if stat is None or stat.started != process.started:
                process.ended = _now()


class _Stat(NamedTuple):
    parent: int
    session: int
    started: float

    @classmethod
    def read(cls, pid: int) -> Self | None:
        """Return what is known of a process that lives: no zombie."""
        try:
            # the name, in parentheses, may contain anything
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        if fields[0] == "Z":
            return None
        return cls(int(fields[1]), int(fields[3]), int(fields[19]) / os.sysconf("SC_CLK_TCK"))


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
