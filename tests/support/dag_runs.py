"""Runs of the example Dags in this process: ``dag.test``, against an emulator."""

from __future__ import annotations

import functools
import importlib
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.execution_time import supervisor

EXAMPLES = Path(__file__).parents[2] / "example_dags"

#: Where Airflow finds the Dags: ``dag.test`` parses them anew.
BUNDLE = {
    "name": "examples",
    "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
    "kwargs": {"path": str(EXAMPLES)},
}

#: Airflow 3.1 builds its API anew for each task, which takes more than a second of CPU; 3.3 keeps it.
_API = functools.cache(supervisor.in_process_api_server)


@dataclass(frozen=True)
class DagRun:
    """What came of a run.

    :param tasks: each task's state; of a mapped task, by its index as in ``save[0]``.
    :param names: what the grid shows of each mapped task.
    """

    state: str
    tasks: dict[str, str] = field(default_factory=dict)
    names: dict[str, str | None] = field(default_factory=dict)


class Examples:
    """The example Dags, as Airflow finds them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([BUNDLE]))
        monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", str(EXAMPLES))
        monkeypatch.syspath_prepend(str(EXAMPLES))
        monkeypatch.setattr(supervisor, "in_process_api_server", _API)

    def module(self, name: str) -> Any:
        """Import an example's file."""
        return importlib.import_module(name)

    def dag(self, dag_id: str, file: str = "") -> Any:
        """Return a Dag. ``file`` is its module where the name is another one."""
        return getattr(self.module(file or dag_id), dag_id)()

    def run(self, dag_id: str, file: str = "", **conf: Any) -> DagRun:
        """Run a Dag to its end."""
        made: Any = self.dag(dag_id, file).test(run_conf=conf)
        instances = {f"{ti.task_id}[{ti.map_index}]": ti for ti in made.get_task_instances()}
        instances = {key.removesuffix("[-1]"): ti for key, ti in instances.items()}
        return DagRun(
            str(made.state),
            {key: str(ti.state) for key, ti in instances.items()},
            {key: ti.rendered_map_index for key, ti in instances.items() if ti.map_index >= 0},
        )

    def forget(self) -> None:
        """Have the next test import the files anew."""
        for path in EXAMPLES.glob("*.py"):
            sys.modules.pop(path.stem, None)
