"""A run of the Dag ``batch_to_files``: begun, killed in the middle, and held against what the emulator has made."""

from __future__ import annotations

import hashlib
import json
import signal
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.support.components import Process, processes, send
from tests.support.destinations import Destination, Watcher
from tests.support.emulator import RunningEmulator
from tests.support.ledger import Row
from tests.support.running_airflow import RunningAirflow, until

DAG = "batch_to_files"


class Made(NamedTuple):
    """A clip as the emulator has it."""

    request_id: str
    url_path: str
    content: bytes

    @property
    def sha256(self) -> str:
        """Return its SHA-256."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass
class FilesRun:
    """One run, and where its files go."""

    airflow: RunningAirflow
    emulator: RunningEmulator
    name: str
    clips: int
    destination: Destination
    watcher: Watcher
    run_id: str = ""
    #: For each kill of a worker that saved: the clips that were there, and how many downloads had begun.
    kills: list[tuple[set[str], int]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    def begin(self, faults: Sequence[str]) -> None:
        """Start it; the prompts end with these faults in turn."""
        conf = {"name": self.name, "clips": self.clips, "faults": list(faults), "folder": self.destination.folder}
        self.run_id = self.airflow.start_run(DAG, **conf)

    def prompt(self, number: int) -> str:
        """Return how the prompt of a clip begins."""
        return f"{self.name}: {number:05d} "

    def file(self, number: int) -> str:
        """Return the name of a clip's file."""
        return f"{self.name}-{number:05d}.mp4"

    def until_submitted(self, numbers: Iterable[int], within: float) -> None:
        """Wait until there is a request for each of these clips."""
        wanted = set(numbers)
        until(lambda: wanted <= {self.number(each) for each in self.requests()}, "the submits", within, every=0.2)

    def number(self, request: dict[str, Any]) -> int:
        """Return which clip a request is for."""
        return int(request["input"]["prompt"].removeprefix(f"{self.name}: ").partition(" ")[0])

    def worker(self, task_id: str, within: float = 240.0) -> list[Process]:
        """Wait for the worker of a task; give the supervisor, then the task itself."""

        def both() -> list[Process] | None:
            state = self.airflow.instance(DAG, self.run_id, task_id)["state"]
            assert state != "upstream_failed"
            found = self.airflow.worker_of(DAG, self.run_id, task_id) if state == "running" else []
            return found if len(found) >= 2 else None

        return until(both, f"a worker of {task_id}", within, every=0.25)

    def kill(self, worker: Sequence[Process], *, whole: bool) -> None:
        """SIGKILL it ``whole``, as when its machine dies; or the task's own process, as when memory runs out."""
        targets = worker if whole else worker[1:2]
        send(signal.SIGKILL, targets)
        until(lambda: not set(targets) & set(processes()), "the worker's end", 10, every=0.05)

    def kill_while_it_saves(self, files: int, *, whole: bool) -> None:
        """Kill the worker that saves, once so many clips are there."""
        worker = self.worker("save", within=60.0 + self.clips)
        until(lambda: len(self.complete()) >= files, f"{files} files", 60.0 + self.clips, every=0.25)
        self.kill(worker, whole=whole)
        self.kills.append((self.complete(), len(self.emulator.file_requests())))

    def complete(self) -> set[str]:
        """Return the clips that are there with their metadata, the last thing that is written."""
        return {name.removesuffix(".json") for name in self.destination.names() if name.endswith(".mp4.json")}

    def end(self, within: float) -> None:
        """Wait for its end."""
        assert self.airflow.end_of_run(DAG, self.run_id, within) == "success"
        self.seconds = time.monotonic() - self.started

    def requests(self) -> list[dict[str, Any]]:
        """Return all that was submitted for it."""
        return self.emulator.requests(f"{self.name}: ")

    def made(self) -> dict[int, Made]:
        """Return the clips that the emulator has made, by their number."""
        found = {}
        for request in self.requests():
            path = urlsplit(request["output"]["video"]["url"]).path
            content = (self.emulator.data / "files" / path.removeprefix("/files/b/")).read_bytes()
            found[self.number(request)] = Made(request["request_id"], path, content)
        return found

    def lines(self, manifest: str) -> list[dict[str, Any]]:
        """Return the lines of a manifest: ``batch.jsonl`` or ``saved.jsonl``."""
        return [json.loads(line) for line in self.destination.read(manifest).decode().splitlines()]

    def xcom(self, task_id: str) -> Any:
        """Return what a task returned."""
        return self.airflow.xcom(DAG, self.run_id, task_id)

    def downloads(self, after: int = 0) -> Counter[str]:
        """Return how often each file was sent from its first byte, for all or from a number of exchanges on."""
        return Counter(each["path"] for each in self.emulator.file_requests()[after:] if each["status"] == 200)

    def row(self) -> Row:
        """Add it up for the table of faults."""
        asked = Counter(request["input"]["prompt"] for request in self.requests())
        lines = self.lines("saved.jsonl")
        saved, failed = (sum(line["state"] == state for line in lines) for state in ("saved", "failed"))
        return Row(
            f"batch to files: {self.name}",
            clips=self.clips,
            delivered=saved,
            failed=failed,
            accepted=asked.total(),
            double=asked.total() - len(asked),
            lost=self.clips - saved - failed,
            seconds=self.seconds,
        )
