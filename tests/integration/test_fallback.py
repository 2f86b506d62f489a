"""The example that falls back to another prompt, run by Airflow: it reads why a task failed."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.emulator import RunningEmulator

pytestmark = pytest.mark.drawn

EXAMPLES = Path(__file__).parents[2] / "example_dags"

#: Where Airflow finds the Dag: ``dag.test`` parses it anew.
BUNDLE = {
    "name": "examples",
    "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
    "kwargs": {"path": str(EXAMPLES)},
}


@pytest.fixture
def dag(airflow_db: None, emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([BUNDLE]))
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(EXAMPLES))
    monkeypatch.syspath_prepend(str(EXAMPLES))
    module = importlib.import_module("example_pika_refused_prompt")
    yield module.example_pika_refused_prompt()
    for name in ("example_pika_refused_prompt", "clips"):
        sys.modules.pop(name, None)


def run(dag: Any, folder: Path, **conf: str) -> tuple[str, dict[str, str]]:
    """Run the Dag; give the run's state, and that of each of its tasks."""
    made: Any = dag.test(run_conf={"folder": str(folder), **conf})
    return str(made.state), {ti.task_id: str(ti.state) for ti in made.get_task_instances()}


def test_a_refused_prompt_falls_back_to_another_one(dag: Any, emulator: RunningEmulator, tmp_path: Path) -> None:
    state, tasks = run(dag, tmp_path, instead="A boat instead")
    assert (state, tasks["first"], tasks["another_prompt"]) == ("success", "failed", "success")
    assert [request["input"]["prompt"] for request in emulator.requests("A boat instead")] == ["A boat instead"]
    assert len(list(tmp_path.glob("*.mp4"))) == 1


def test_an_exhausted_balance_does_not_fall_back(dag: Any, emulator: RunningEmulator, tmp_path: Path) -> None:
    state, tasks = run(dag, tmp_path, prompt="A fox [[locked]]", instead="A boat that nobody pays")
    assert (state, tasks["first"], tasks["another_prompt"]) == ("failed", "failed", "skipped")
    assert tasks["save"] == "upstream_failed"
    assert emulator.requests("A boat that nobody pays") == []


def test_a_prompt_that_is_taken_needs_no_other(dag: Any, emulator: RunningEmulator, tmp_path: Path) -> None:
    state, tasks = run(dag, tmp_path, prompt="A fox in snow", instead="A boat that nobody needs")
    assert (state, tasks["first"], tasks["another_prompt"]) == ("success", "success", "skipped")
    assert emulator.requests("A boat that nobody needs") == []
    assert len(list(tmp_path.glob("*.mp4"))) == 1


def test_without_a_reason_it_does_not_fall_back(dag: Any) -> None:
    """A person failed the task, or its worker died: it pushed nothing."""
    fall_back = dag.get_task("fall_back").python_callable
    assert fall_back(SimpleNamespace(xcom_pull=lambda *_, **__: None)) is False
