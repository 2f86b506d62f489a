"""A Dag whose clip fails once and succeeds then, and a task that reads what it pushed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_pika.decorators.pika import pika_text_to_video_task

#: What was found after the first attempt, in the second, and by the next task.
SEEN: list[Any] = []


def written(ti: Any) -> str:
    if ti.try_number == 1:
        raise ValueError("there is no prompt yet")
    SEEN.append(ti.xcom_pull("clip", key="pika_error"))
    return "a fox in the second attempt"


def before_the_retry(context: Any) -> None:
    SEEN.append(context["ti"].xcom_pull("clip", key="pika_error"))


@task(trigger_rule="all_done")
def after(ti: Any) -> None:
    SEEN.append(ti.xcom_pull("clip", key="pika_error"))


with DAG("failing", schedule=None) as dag:
    day = "the morning of {{ dag_run.run_after | ds }}"
    again: Any = {
        "negative_prompt": day,
        "retries": 1,
        "retry_delay": timedelta(0),
        "on_retry_callback": before_the_retry,
    }
    clip: Any = pika_text_to_video_task(task_id="clip", **again)(written)
    last: Any = after
    clip() >> last()
