"""The example that falls back to another prompt, run by Airflow: it reads why a task failed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.dag_runs import Examples
from tests.support.emulator import RunningEmulator

pytestmark = pytest.mark.drawn

DAG = "example_pika_refused_prompt"


def test_a_refused_prompt_falls_back_to_another_one(
    examples: Examples, emulator: RunningEmulator, tmp_path: Path
) -> None:
    run = examples.run(DAG, folder=str(tmp_path), instead="A boat instead")
    assert (run.state, run.tasks["first"], run.tasks["another_prompt"]) == ("success", "failed", "success")
    assert [request["input"]["prompt"] for request in emulator.requests("A boat instead")] == ["A boat instead"]
    assert len(list(tmp_path.glob("*.mp4"))) == 1


def test_an_exhausted_balance_does_not_fall_back(examples: Examples, emulator: RunningEmulator, tmp_path: Path) -> None:
    run = examples.run(DAG, folder=str(tmp_path), prompt="A fox [[locked]]", instead="A boat that nobody pays")
    assert (run.state, run.tasks["first"], run.tasks["another_prompt"]) == ("failed", "failed", "skipped")
    assert run.tasks["save"] == "upstream_failed"
    assert emulator.requests("A boat that nobody pays") == []


def test_a_prompt_that_is_taken_needs_no_other(examples: Examples, emulator: RunningEmulator, tmp_path: Path) -> None:
    run = examples.run(DAG, folder=str(tmp_path), prompt="A fox in snow", instead="A boat that nobody needs")
    assert (run.state, run.tasks["first"], run.tasks["another_prompt"]) == ("success", "success", "skipped")
    assert emulator.requests("A boat that nobody needs") == []
    assert len(list(tmp_path.glob("*.mp4"))) == 1


def test_without_a_reason_it_does_not_fall_back(examples: Examples) -> None:
    """A person failed the task, or its worker died: it pushed nothing."""
    fall_back = examples.dag(DAG).get_task("fall_back").python_callable
    assert fall_back(SimpleNamespace(xcom_pull=lambda *_, **__: None)) is False
