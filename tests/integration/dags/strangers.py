"""A Dag whose prompts a stranger wrote. The other ways to a task are in ``tests/unit/task/test_rendering.py``."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_pika.decorators.pika import pika_text_to_video_task
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from tests.support.rendering import HOSTILE


@task
def row(prompt: str) -> dict[str, str]:
    return {"prompt": prompt + HOSTILE}


def written(prompt: str, run: Any) -> dict[str, Any]:
    return {"prompt": prompt, "negative_prompt": f"by function in {run}"}


with DAG("strangers", schedule=None) as dag:
    rows = row.expand(prompt=["a fox and "])
    operator = PikaTextToVideoOperator.partial(task_id="by_operator", negative_prompt="by operator in {{ run_id }}")
    operator.expand_kwargs(rows)
    function: Any = pika_text_to_video_task(task_id="by_function")(written)
    function.partial(run="{{ run_id }}").expand_kwargs(rows)
