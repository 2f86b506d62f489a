"""A run of a Dag of ``chaos/dags/chaos.py``, from its first submit to the count of what came of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

from tests.support.components import Process
from tests.support.emulator import RunningEmulator
from tests.support.ledger import Clip, Row, clips_of, row
from tests.support.running_airflow import RunningAirflow, until
from tests.support.sizes import SOAK, size

#: Clips that one task makes, and as many that two tasks make.
EACH = size(4, 9)
CLIPS = 2 * EACH + 2

#: The same, where several scenarios share the machine.
FEW = size(2, 4)

#: Seconds that fal takes for a clip: long enough for all of a run's to be in flight at once.
GENERATION_TIME = "9-15" if SOAK else "6-10"

#: Seconds: where six scenarios begin at once, their tasks wait for each other's workers.
SUBMITTED_WITHIN = 400.0

KEY = "chaos-key-id:chaos-key-secret"
DAGS = Path(__file__).parent.parent / "chaos" / "dags"


@dataclass
class Scenario:
    """One run of the Dag, while something happens to it."""

    airflow: RunningAirflow
    emulator: RunningEmulator
    name: str
    rows: list[Row]
    each: int
    dag_id: str
    run_id: str
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def begin(
        cls,
        airflow: RunningAirflow,
        emulator: RunningEmulator,
        name: str,
        rows: list[Row],
        faults: Sequence[str] = ("",),
        each: int = EACH,
        dag_id: str = "chaos",
    ) -> Self:
        """
        Start a run; what comes of it is added to ``rows``.

        :param faults: the prompts end with these in turn.
        :param each: the clips of each way to make one.
        :param dag_id: which of the Dags: all ways to make clips, or one of them.
        """
        run_id = airflow.start_run(dag_id, name=name, each=each, faults=faults)
        return cls(airflow, emulator, name, rows, each, dag_id, run_id)

    def in_flight(self, number: int) -> None:
        """Wait until so many requests are at the emulator."""
        until(lambda: len(self.emulator.requests(f"{self.name}:")) >= number, f"{number} requests", SUBMITTED_WITHIN)

    @contextlib.contextmanager
    def replies_held(self, workers: int) -> Iterator[None]:
        """
        Hold the reply to each submit until the block ends, which begins once all workers wait for one.

        None is then in the middle of a submit that fal does not have yet: of one that is cut there, a retry can find
        nothing, and rather fails than submit again.
        """
        self.emulator.fault("stall", match=f"{self.name}:", seconds=600, times=10_000)
        self.in_flight(workers)
        yield
        self.emulator.clear_faults(f"{self.name}:")

    def prompt(self, number: int) -> str:
        """Return the prompt of a clip that one task makes."""
        return f"{self.name}: clip {number};"

    def kill_workers_once_accepted(self, *numbers: int, after: float = 0.0) -> None:
        """SIGKILL the worker of each of these clips, some seconds after fal has accepted its request."""
        waiting = set(numbers)

        def accepted() -> set[int]:
            return {number for number in waiting if self.requests(number)}

        while waiting:
            found = until(accepted, "a submit to be accepted", SUBMITTED_WITHIN, every=0.2)
            time.sleep(after)
            for number in sorted(found):
                self.airflow.kill_worker(self.dag_id, self.run_id, "clip", number)
            waiting -= found

    def worker_that_holds(self, number: int = 0) -> list[Process]:
        """Return the processes of the worker that waits for that clip itself, once fal has accepted its request."""
        prompt = f"{self.name}: held {number};"
        until(lambda: self.emulator.requests(prompt), "the submit to be accepted", SUBMITTED_WITHIN)
        time.sleep(1.0)
        return self.airflow.worker_of(self.dag_id, self.run_id, "held", number)

    def watched(self, number: int) -> None:
        """Wait until a trigger watches that clip: before, nobody is told of a kill (Airflow 3.3.2)."""
        until(partial(self.requests, number), "the request", SUBMITTED_WITHIN)

        def has_trigger() -> bool:
            deferred = self.airflow.instance(self.dag_id, self.run_id, "clip", number)["triggerer"] is not None
            return deferred and "trigger" in self.airflow.log(self.dag_id, self.run_id, "clip", map_index=number)

        until(has_trigger, f"a trigger for clip {number}", 180)
        time.sleep(2.0)

    @contextlib.contextmanager
    def kept_waiting(self, prompt: str) -> Iterator[None]:
        """Let no poll of a request with this in its prompt bring anything: it is waited for until the block ends."""
        self.emulator.fault("http_503", on="status", match=prompt, times=10_000)
        yield
        self.emulator.clear_faults(prompt)

    def has_logged(self, *words: str) -> bool:
        """Return whether one of the run's log files has all of these words."""
        logs = self.airflow.home.folder.rglob("attempt=*.log*")
        texts = [path.read_text() for path in logs if self.run_id in str(path)]
        return any(all(word.lower() in text.lower() for word in words) for text in texts)

    def cancelled(self) -> list[dict[str, Any]]:
        """Return the requests of this run that were cancelled."""
        return [request for request in self.emulator.requests(f"{self.name}:") if request["status_code"] == 499]

    def requests(self, number: int) -> list[dict[str, Any]]:
        """Return what was asked for that clip."""
        return self.emulator.requests(self.prompt(number))

    def end(self, state: str = "success", **by_a_person: str) -> list[Clip]:
        """Wait for the run's end, and add up what came of it."""
        self.airflow.until_healthy()
        ended = self.airflow.end_of_run(self.dag_id, self.run_id, within=600)
        assert ended == state, self.airflow.story(self.dag_id, self.run_id)
        clips = clips_of(self.airflow, self.emulator, self.dag_id, self.run_id, self.name, self.each)
        self.rows.append(found := row(self.name, clips, time.monotonic() - self.started, **by_a_person))
        assert (found.double, found.lost) == (0, 0), [clip for clip in clips if not clip.delivered]
        return clips
