"""A task instance through any sequence of faults, crashes, retries, clears and lags, by the emulator's own rules."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airflow_provider_pika.emulator.engine.records import Job
from airflow_provider_pika.exceptions import PikaError
from airflow_provider_pika.fal.account import Account
from airflow_provider_pika.fal.client import FalQueue
from airflow_provider_pika.hooks.pika import PikaHook
from airflow_provider_pika.operators import pika as operators
from airflow_provider_pika.task.state import KEY
from tests.support.airflow import StateStore, TaskInstance, WorkerCrash, context
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

FUSES = st.none() | st.none() | st.integers(0, 16)  # most tries live


class Fuse:
    """Burns down with everything that an attempt does to the world outside; then the worker is dead."""

    left: int | None = None

    def burn(self) -> None:
        """Count one step; the last one kills."""
        if self.left is not None:
            if self.left == 0:
                raise WorkerCrash
            self.left -= 1


class NeverTwice(RuleBasedStateMachine):
    """The protocol of ``PikaTextToVideoOperator`` with ``on_unknown_submit="fail"``."""

    waits = False

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.fal = HandRunEmulator(self.folder, self.wire)
        self.fuse, self.fault = Fuse(), "none"
        self.try_number, self.max_tries = 0, 3
        self.history_is_down = self.stubborn = False
        self.generation_of: dict[str, int] = {}  # at fal, by the order of acceptance
        self.recorded: dict[str, int] = {}
        self.delivered: list[str] = []
        self.forgotten: dict[str, str] = {}
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(
            PikaHook, "get_conn", lambda _: FalQueue(Account("Key a:b", URL), self.fal, self.time_passes)
        )
        self.patch.setattr(time, "sleep", self.time_passes)
        self.store = self.burning(StateStore())

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
        self.fuse.burn()
        fault, self.fault = (self.fault, "none") if request.method == "POST" else ("none", self.fault)
        if fault == "request lost":
            raise httpx.ReadError("reset", request=request)
        if fault == "refused":
            return httpx.Response(503, json={"detail": "busy"})
        if self.history_is_down and request.url.path.startswith("/v1/"):
            return httpx.Response(503, text="busy")
        answer = process()
        if request.method == "POST":
            self.generation_of[self.fal.jobs()[-1].id] = self.max_tries
        self.fuse.burn()
        if fault == "reply lost":
            raise httpx.RemoteProtocolError("closed", request=request)
        return httpx.Response(502, html="nginx") if fault == "gateway" else answer

    def burning(self, store: StateStore) -> StateStore:
        """Make every access to Airflow's state a moment to die at, before it and after it."""
        for name in ("get", "set"):
            self.patch.setattr(store, name, self.around(getattr(store, name)))
        return store

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def burning(*args: Any, **named: Any) -> Any:
            self.fuse.burn()
            answer = call(*args, **named)
            self.fuse.burn()
            return answer

        return burning

    def time_passes(self, _: float) -> None:
        """What a pause is for: the history catches up, and a request that is waited for ends one day."""
        self.fal.history_lags = self.fal.history_lags and self.stubborn
        self.history_is_down = self.history_is_down and self.stubborn
        if self.waits and not self.stubborn:
            for job in self.fal.jobs():
                if job.state != "COMPLETED":
                    self.fal.finish(job, VIDEO)

    # --- what may happen

    @initialize(waits=st.booleans())
    def mode(self, waits: bool) -> None:
        self.waits = waits

    @rule(fault=SUBMIT_FAULTS, fuse=FUSES, history=HISTORIES, stubborn=st.booleans())
    def attempt(self, fault: str, fuse: int | None, history: str, stubborn: bool) -> None:
        """Airflow starts a try: the first, or a retry, whatever made it think that one was due."""
        self.fault, self.fuse.left = fault, fuse
        self.fal.history_lags, self.history_is_down = history == "lags", history == "down"
        self.stubborn = stubborn and not self.waits
        try:
            self.run()
        except (WorkerCrash, PikaError, AirflowFailException):
            pass
        finally:
            self.fault, self.fuse.left, self.history_is_down = "none", None, False
        self.note_record()

    def run(self) -> None:
        self.try_number += 1
        ti = TaskInstance(try_number=self.try_number, max_tries=self.max_tries)
        ti.xcom_push = self.around(ti.xcom_push)  # type: ignore[method-assign]
        task = operators.PikaTextToVideoOperator(
            task_id="generate", prompt="a fox", wait_for_completion=self.waits, deferrable=False
        )
        brought = task.execute(context(ti=ti, task_state_store=self.store))
        self.delivered.append(brought["request_id"] if self.waits else brought)

    @precondition(lambda self: self.unfinished())
    @rule(data=st.data(), outcome=st.sampled_from(["started", *OUTCOMES]))
    def fal_goes_on(self, data: st.DataObject, outcome: str) -> None:
        job = data.draw(st.sampled_from(self.unfinished()), "job")
        self.fal.start(job) if outcome == "started" else self.fal.finish(job, OUTCOMES[outcome])

    @precondition(lambda self: self.unfinished())
    @rule(data=st.data(), outcome=st.sampled_from(list(OUTCOMES)))
    def a_request_ends_and_airflow_tries_again(self, data: st.DataObject, outcome: str) -> None:
        self.fal.finish(data.draw(st.sampled_from(self.unfinished()), "job"), OUTCOMES[outcome])
        self.attempt("none", None, "up", False)

    @precondition(lambda self: not self.forgotten and any(job.state == "COMPLETED" for job in self.fal.jobs()))
    @rule(data=st.data())
    def fal_forgets(self, data: st.DataObject) -> None:
        done = [job for job in self.fal.jobs() if job.state == "COMPLETED"]
        job = data.draw(st.sampled_from(done), "job")
        self.forgotten[job.id] = self.kind(job.id)
        self.fal.forget(job)

    @rule()
    def a_person_clears_the_task(self) -> None:
        self.max_tries = self.try_number + 3

    # --- what must hold

    @invariant()
    def fal_never_accepts_a_second_submission_while_the_first_may_bring_the_clip(self) -> None:
        accepted = list(self.generation_of)
        for later, earlier in zip(accepted[1:], accepted, strict=False):
            if self.generation_of[later] == self.generation_of[earlier]:
                assert self.kind(earlier) in MAY_BE_REPLACED, (earlier, later)

    def settle(self) -> None:
        """Let everything come to rest, without faults and without a person: nothing on record is forgotten."""
        self.fal.history_lags = self.stubborn = False
        for _ in range(3):
            for job in self.unfinished():
                self.fal.finish(job, VIDEO)
            reason = self.last_try()
        for request_id in (id for id, generation in self.recorded.items() if generation == self.max_tries):
            if request_id in self.delivered or self.kind(request_id) in MAY_BE_REPLACED:
                continue
            assert request_id in reason, (request_id, reason)
        self.fal_never_accepts_a_second_submission_while_the_first_may_bring_the_clip()

    def last_try(self) -> str:
        try:
            self.run()
        except (PikaError, AirflowFailException) as error:
            return str(error)
        finally:
            self.note_record()
        return ""

    # --- what a test can see

    def unfinished(self) -> list[Job]:
        return [job for job in self.fal.jobs() if job.state != "COMPLETED"]

    def note_record(self) -> None:
        record = self.store.get(KEY) or {}
        if record.get("request_id"):
            self.recorded.setdefault(record["request_id"], record["generation"])

    def kind(self, request_id: str) -> str:
        job = self.fal.store.find(request_id)
        if job is None or job.outcome is None:
            return self.forgotten[request_id] if job is None else "unfinished"
        known = {outcome.status_code: name for name, outcome in OUTCOMES.items()}
        return known[job.outcome.status_code]


NeverTwice.TestCase.settings = examples(20, 2000, stateful_step_count=20)
TestNeverTwice = pytest.mark.soak(NeverTwice.TestCase)
