"""Rows that a stranger wrote, in a Dag that Airflow runs: no template of theirs is rendered on the way to fal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.dags import strangers
from tests.support.emulator import RunningEmulator
from tests.support.rendering import CANARY, CANARY_CONNECTION, HOSTILE

#: Where Airflow finds the Dag: ``dag.test`` parses it anew.
BUNDLE = {
    "name": "strangers",
    "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
    "kwargs": {"path": str(Path(strangers.__file__).parent)},
}


def test_no_template_of_a_strangers_is_rendered_on_the_way_to_fal(
    airflow_db: None, quick_emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CANARY_CONNECTION.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([BUNDLE]))
    run: Any = strangers.dag.test()
    assert str(run.state) == "success"
    sent = {
        request["input"].get("negative_prompt"): request["input"]["prompt"] for request in quick_emulator.requests()
    }
    assert sent[f"by operator in {run.run_id}"] == f"a fox and {HOSTILE}"
    assert sent[f"by function in {run.run_id}"] == f"a fox and {HOSTILE}"
    assert CANARY not in json.dumps(quick_emulator.requests())
