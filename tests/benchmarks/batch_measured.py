"""The process that is measured: ``python -m tests.benchmarks.batch_measured SHAPE QUEUE_URL SIZE REPORT``."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks import budget
from tests.benchmarks.wait_shapes import arguments
from tests.support.airflow import StateStore, TaskInstance

#: Submits so many prompts, and returns once all are accepted.
Submit = Callable[[list[str]], None]


def _our_operator(queue_url: str) -> Submit:
    """Return the operator's ``execute``, from the check of the inputs until it defers; its task state is in memory."""
    from airflow.providers.common.compat.sdk import TaskDeferred

    from airflow_provider_pika.batch import attempt, submitter  # noqa: F401 (imported before the base line)
    from airflow_provider_pika.fal import async_client  # noqa: F401
    from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
    from airflow_provider_pika.triggers import batch  # noqa: F401

    manifest = tempfile.NamedTemporaryFile(suffix=".jsonl")  # noqa: SIM115 (as long as this process)

    def submit(prompts: list[str]) -> None:
        operator = PikaTextToVideoBatchOperator(
            task_id="batch",
            inputs=[arguments(prompt) for prompt in prompts],
            manifest_path=f"file://{manifest.name}",
        )
        operator.max_in_flight = len(prompts)  # more than a user may ask for: all are to be accepted at once
        context: Any = {"ti": TaskInstance(), "task_state_store": StateStore()}
        with contextlib.suppress(TaskDeferred):
            operator.execute(context)
            raise RuntimeError("It did not defer.")

    return submit


def _fal_client(queue_url: str) -> Submit:
    """Return a loop of ``fal_client.submit``, as users write it."""
    import fal_client.client

    fal_client.client.QUEUE_URL_FORMAT = f"{queue_url}/"  # as in wait_shapes.py

    def submit(prompts: list[str]) -> None:
        ids = [fal_client.submit(budget.ENDPOINT, arguments(prompt)).request_id for prompt in prompts]
        assert len(set(ids)) == len(prompts)

    return submit


#: Shape: makes what submits, and imports what that needs.
SHAPES: dict[str, Callable[[str], Submit]] = {
    "pika batch, state in memory": _our_operator,
    "loop of fal_client.submit": _fal_client,
}


def main(shape: str, queue_url: str, size: str, report: str) -> None:
    """Measure, and write the report."""
    budget.take_the_core()
    submit = SHAPES[shape](queue_url)
    prompts = [f"clip {number}" for number in range(int(size))]
    before, cpu, begun = budget.peak_from_now(), time.process_time(), time.monotonic()
    submit(prompts)
    took = time.monotonic() - begun
    found = {
        "wall_s": round(took, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
        "peak_mb": round((budget.peak() - before) / 1024, 1),
        "posts_per_s": round(len(prompts) / took, 1),
    }
    Path(report).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
