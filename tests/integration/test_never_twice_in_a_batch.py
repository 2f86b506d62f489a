"""A batch through any sequence of edits, faults, crashes, retries and clears, by the emulator's own rules."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from airflow.triggers.base import BaseTrigger
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airflow_provider_pika.batch import item, state
from airflow_provider_pika.emulator.engine.records import Job
from airflow_provider_pika.exceptions import PikaError
from airflow_provider_pika.fal import async_client
from airflow_provider_pika.fal.account import Account
from airflow_provider_pika.fal.client import FalQueue
from airflow_provider_pika.fal.requests import Call
from airflow_provider_pika.hooks.pika import PikaHook
from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from tests.support.airflow import StateStore, TaskInstance, WorkerCrash, context, event_of
from tests.support.hand_run_emulator import (
    HISTORIES,
    MAY_BE_REPLACED,
    OUTCOMES,
    SUBMIT_FAULTS,
    URL,
    VIDEO,
    HandRunEmulator,
)
from tests.support.sizes import examples
from tests.support.versions import KEEPS_TASK_STATE

T = TypeVar("T")

FUSES = st.none() | st.none() | st.integers(0, 25)  # most workers live

#: Few prompts, so that the same one is often there twice.
PROMPTS = ["a", "b", "c", "d"]

#: The lists are short, so the pages are shorter.
PAGE = 2


@contextmanager
def no_running_loop() -> Iterator[None]:
    """Let the emulator's event loop run inside of the worker's: everything has one order, and a failure repeats."""
    running = asyncio.get_running_loop()
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(running)


class NeverTwiceInABatch(RuleBasedStateMachine):
    """The protocol of ``PikaTextToVideoBatchOperator`` with its defaults."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.fal = HandRunEmulator(self.folder, self.wire)
        self.left: int | None = None  # what a worker still does before it dies
        self.fault = "none"
        self.history_is_down = self.stubborn = False
        self.try_number, self.max_tries = 0, 3
        self.inputs: list[str] = []
        self.most: Counter[str] = Counter()  # how often each prompt was in the list at once
        self.generation_of: dict[str, int] = {}  # at fal, by the order of acceptance
        self.recorded: set[str] = set()
        self.twice: list[str] = []
        self.trigger: BaseTrigger | None = None
        self.patch = pytest.MonkeyPatch()
        self.replace_the_world()
        self.store = StateStore()
        for name in ("get", "set"):
            self.patch.setattr(self.store, name, self.around(getattr(self.store, name)))

    def replace_the_world(self) -> None:
        """Have all clients talk to the emulator of this test, and no time pass but in :meth:`time_passes`."""
        account, machine = Account("Key a:b", URL), self

        class HandRunQueue(async_client.AsyncFalQueue):
            def __init__(self, account: Account = account) -> None:
                self.account, self.closed, self._sessions = account, False, {}
                self._blocking = FalQueue(account, machine.fal)

            async def _sleep(self, seconds: float) -> None:
                machine.time_passes(seconds)

            async def _send(self, call: Call[T]) -> T:
                with no_running_loop():
                    return self._blocking._send(call)

        async def queue(_: object) -> HandRunQueue:
            return HandRunQueue()

        self.patch.setattr(async_client, "AsyncFalQueue", HandRunQueue)
        self.patch.setattr(PikaHook, "get_conn", lambda _: FalQueue(account, self.fal))
        self.patch.setattr(PikaHook, "aget_conn", queue)
        self.patch.setattr(time, "sleep", self.time_passes)
        self.patch.setattr(state, "PAGE", PAGE)
        self.patch.setattr(state, "GATHERED", 0)
        self.patch.setattr(item, "KEPT_FOR", 0.0)  # a worker is told of each ending

    def teardown(self) -> None:
        try:
            self.settle()
        finally:
            self.patch.undo()
            self.fal.end()
            shutil.rmtree(self.folder)

    # --- the world

    def wire(self, request: httpx.Request, process: Callable[[], httpx.Response]) -> httpx.Response:
        """What befalls a call, and the worker that makes it."""
        self.burn()
        fault, self.fault = (self.fault, "none") if request.method == "POST" else ("none", self.fault)
        if fault == "request lost":
            raise httpx.ReadError("reset", request=request)
        if fault == "refused":
            return httpx.Response(503, json={"detail": "busy"})
        if self.history_is_down and request.url.path.startswith("/v1/"):
            return httpx.Response(503, text="busy")
        answer = process()
        if request.method == "POST":
            self.note_acceptance()
        self.burn()
        if fault == "reply lost":
            raise httpx.RemoteProtocolError("closed", request=request)
        return httpx.Response(502, html="nginx") if fault == "gateway" else answer

    def burn(self) -> None:
        """Count one step of a worker's; the last one kills it."""
        if self.left is not None:
            if self.left == 0:
                raise WorkerCrash
            self.left -= 1

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Make an access to Airflow's state a moment to die at, before it and after it."""

        def burning(*args: Any, **named: Any) -> Any:
            self.burn()
            answer = call(*args, **named)
            self.note_records()
            self.burn()
            return answer

        return burning

    def time_passes(self, _: float) -> None:
        """What a pause is for: the history catches up."""
        self.fal.history_lags = self.fal.history_lags and self.stubborn
        self.history_is_down = self.history_is_down and self.stubborn

    # --- what may happen

    @initialize(inputs=st.lists(st.sampled_from(PROMPTS), min_size=1, max_size=5))
    def begin(self, inputs: list[str]) -> None:
        self.change_to(inputs)

    @rule(new=st.lists(st.sampled_from(PROMPTS), min_size=1, max_size=2), data=st.data())
    def inputs_are_inserted(self, new: list[str], data: st.DataObject) -> None:
        place = data.draw(st.sampled_from([0, 0, len(self.inputs), len(self.inputs) // 2]), "place")
        if len(self.inputs) < 8:
            self.change_to([*self.inputs[:place], *new, *self.inputs[place:]])

    @precondition(lambda self: len(self.inputs) > 1)
    @rule(data=st.data())
    def inputs_are_removed(self, data: st.DataObject) -> None:
        kept = data.draw(st.lists(st.booleans(), min_size=len(self.inputs), max_size=len(self.inputs)), "kept")
        left = [prompt for prompt, stays in zip(self.inputs, kept, strict=True) if stays]
        self.change_to(left or self.inputs[-1:])

    @rule(data=st.data())
    def inputs_are_reordered(self, data: st.DataObject) -> None:
        self.change_to(data.draw(st.permutations(self.inputs), "order"))

    @rule(fault=SUBMIT_FAULTS, fuse=FUSES, history=HISTORIES, stubborn=st.booleans())
    def attempt(self, fault: str, fuse: int | None, history: str, stubborn: bool) -> None:
        """Airflow starts a try: the first, or a retry, whatever made it think that one was due."""
        self.try_number += 1
        self.suffer(fault, fuse, history, stubborn)
        self.work(lambda task, more: task.execute(more))

    @precondition(lambda self: self.watched())
    @rule(
        data=st.data(),
        outcome=st.sampled_from(list(OUTCOMES)),
        fault=SUBMIT_FAULTS,
        fuse=FUSES,
        history=HISTORIES,
        stubborn=st.booleans(),
    )
    def a_worker_resumes(
        self, data: st.DataObject, outcome: str, fault: str, fuse: int | None, history: str, stubborn: bool
    ) -> None:
        """A request ends, the trigger tells, and a worker goes on, with the list as it is by then."""
        job = data.draw(st.sampled_from(self.watched()), "job")
        if job.state != "COMPLETED":
            self.fal.finish(job, OUTCOMES[outcome])
        self.suffer(fault, fuse, history, stubborn)
        self.resume()

    @precondition(lambda self: self.unfinished())
    @rule(data=st.data(), outcome=st.sampled_from(["started", *OUTCOMES]))
    def fal_goes_on(self, data: st.DataObject, outcome: str) -> None:
        job = data.draw(st.sampled_from(self.unfinished()), "job")
        self.fal.start(job) if outcome == "started" else self.fal.finish(job, OUTCOMES[outcome])

    @rule()
    def a_person_clears_the_task(self) -> None:
        self.max_tries, self.trigger = self.try_number + 3, None

    # --- what must hold

    @invariant()
    def fal_accepts_no_second_submission_for_one_occurrence_of_an_input(self) -> None:
        assert not self.twice

    @invariant()
    def no_recorded_request_is_forgotten(self) -> None:
        on_record = "".join(self.store.values.values())
        assert not [request_id for request_id in self.recorded if request_id not in on_record]

    def note_acceptance(self) -> None:
        """Count what may still bring this prompt's clips, without what it takes a person to ask for."""
        job = self.fal.jobs()[-1]
        same = [other for other in self.fal.jobs()[:-1] if other.prompt == job.prompt]
        held = [other.id for other in same if self.holds(other)]
        if len(held) >= self.most[job.prompt]:
            self.twice.append(f"{job.prompt!r}: {job.id} beside {held}")
        self.generation_of[job.id] = self.max_tries

    def holds(self, job: Job) -> bool:
        """Return whether a request is the one for an occurrence of its input, which needs no other."""
        if self.generation_of[job.id] == self.max_tries:
            return self.kind(job) not in MAY_BE_REPLACED
        return job.id in self.recorded and self.kind(job) in ("video", "unfinished")

    def settle(self) -> None:
        """Let everything come to rest: what is on record is what the clips come from."""
        self.fal.history_lags = self.stubborn = False
        for _ in range(4):
            for job in self.unfinished():
                self.fal.finish(job, VIDEO)
            self.max_tries, self.try_number = self.try_number + 3, self.try_number + 1
            on_record = self.videos(self.recorded)
            brought = self.work(lambda task, more: task.execute(more))
            while self.trigger:
                for job in self.watched():
                    self.fal.finish(job, VIDEO)
                brought = self.resume()
            if brought:
                break
        assert brought, "the batch never ends"
        assert brought["done"] == len(self.inputs)
        used = [line["request_id"] for line in brought["clips"]]
        assert len(set(used)) == len(used)
        prompts = {job.id: job.prompt for job in self.fal.jobs()}
        assert [prompts[request_id] for request_id in used] == self.inputs
        for prompt, wanted in Counter(self.inputs).items():
            before = on_record[prompt]
            assert len(before & set(used)) >= min(wanted, len(before)), (prompt, before, used)
        self.fal_accepts_no_second_submission_for_one_occurrence_of_an_input()
        self.no_recorded_request_is_forgotten()

    # --- how it is done, and what a test can see

    def change_to(self, inputs: list[str]) -> None:
        self.inputs = list(inputs)
        for prompt, number in Counter(inputs).items():
            self.most[prompt] = max(self.most[prompt], number)

    def suffer(self, fault: str, fuse: int | None, history: str, stubborn: bool) -> None:
        self.fault, self.left, self.stubborn = fault, fuse, stubborn
        self.fal.history_lags, self.history_is_down = history == "lags", history == "down"

    def resume(self) -> Any:
        assert self.trigger
        left, self.left = self.left, None  # a fuse is a worker's: what dies in a triggerer is run again
        event, self.trigger = event_of(self.trigger), None
        self.left = left
        return self.work(lambda task, more: task.execute_complete(more, event))

    def work(self, part: Callable[[PikaTextToVideoBatchOperator, Any], Any]) -> Any:
        """Run a worker; give what the task returned, if it did."""
        task = PikaTextToVideoBatchOperator(
            task_id="batch", inputs=list(self.inputs), max_in_flight=3, poll_interval=0.001, timeout=3600
        )
        ti = TaskInstance(try_number=self.try_number, max_tries=self.max_tries)
        self.trigger = None
        try:
            return part(task, context(ti=ti, task_state_store=self.store))
        except TaskDeferred as deferred:
            self.trigger = deferred.trigger
        except (WorkerCrash, PikaError, AirflowFailException):
            pass
        finally:
            self.fault, self.left, self.history_is_down = "none", None, False
        return None

    def note_records(self) -> None:
        on_record = "".join(self.store.values.values())
        self.recorded |= {job.id for job in self.fal.jobs() if job.id in on_record}

    def watched(self) -> list[Job]:
        """Return the requests that the trigger waits for, if the task is deferred."""
        if self.trigger is None:
            return []
        carried = self.trigger.serialize()[1]["carried"]
        watched = f"{carried['in_flight']} {carried['gone']}"
        return [job for job in self.fal.jobs() if job.id in watched]

    def unfinished(self) -> list[Job]:
        return [job for job in self.fal.jobs() if job.state != "COMPLETED"]

    def videos(self, request_ids: set[str]) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {prompt: set() for prompt in PROMPTS}
        for job in self.fal.jobs():
            if job.id in request_ids and self.kind(job) == "video":
                found[job.prompt].add(job.id)
        return found

    def kind(self, job: Job) -> str:
        if job.outcome is None:
            return "unfinished"
        return {outcome.status_code: name for name, outcome in OUTCOMES.items()}[job.outcome.status_code]


NeverTwiceInABatch.TestCase.settings = examples(15, 1000, stateful_step_count=20)
TestNeverTwiceInABatch = pytest.mark.skipif(not KEEPS_TASK_STATE, reason="it needs the task state of Airflow 3.3")(
    pytest.mark.soak(NeverTwiceInABatch.TestCase)
)
