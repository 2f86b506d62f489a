"""Airflow's own rendering of a task, mapped or not, with XComs and a connection that a stranger would like to read."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.sdk.execution_time.context import ConnectionAccessor

from tests.support.airflow import TaskInstance

#: A connection of the deployment's; its password must never be anywhere else.
CANARY = "the-canary-sings"
CANARY_CONNECTION = {"AIRFLOW_CONN_CANARY": json.dumps({"conn_type": "generic", "password": CANARY})}

#: What a stranger writes into a cell of a table.
HOSTILE = "{{ conn.canary.password }}"


class _Upstream(TaskInstance):
    """A task instance whose upstream tasks have ended."""

    def __init__(self, xcoms: dict[str, Any], map_index: int) -> None:
        super().__init__()
        self.pushed = {task_id: json.dumps(value) for task_id, value in xcoms.items()}
        self.map_index = map_index

    def xcom_pull(self, task_ids: Any, key: str = "return_value", *_: Any, **__: Any) -> Any:
        """Return what a task returned, each time anew, as Airflow's API does."""
        return json.loads(self.pushed[task_ids])


def rendered(task: Any, xcoms: dict[str, Any] | None = None, *, map_index: int = 0, **more: Any) -> Any:
    """Render a task of a Dag as a worker does, and give it: of a mapped one, the task of an index.

    :param xcoms: what the tasks before it returned, by their ids.
    :param more: of the context.
    """
    task = getattr(task, "operator", task)
    mapped = isinstance(task, MappedOperator)
    ti: Any = _Upstream(xcoms or {}, map_index if mapped or task.get_closest_mapped_task_group() else -1)
    context: Any = {
        "ti": ti,
        "dag": task.dag,
        "dag_run": SimpleNamespace(conf=more.pop("conf", {})),
        "conn": ConnectionAccessor(),
        "ds": "2026-10-01",
        "params": {},
        **more,
    }
    task = task.prepare_for_execution()
    context["task"] = ti.task = task
    task.render_template_fields(context)
    return ti.task
