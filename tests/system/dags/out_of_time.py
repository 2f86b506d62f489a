"""Clips that never end, in each way that a task waits for one; and one that a person, or Airflow, interferes with."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor

RETRIED = {"retries": 1, "retry_delay": timedelta(seconds=1), "pika_conn_id": "busy"}

with DAG(
    "out_of_time",
    schedule=None,
    catchup=False,
    default_args={**RETRIED, "execution_timeout": timedelta(seconds=15)},
):
    PikaTextToVideoOperator(task_id="deferred", prompt="deferred [[never_finish]]", wait_for_completion=True)
    PikaTextToVideoOperator(
        task_id="held", prompt="held [[never_finish]]", wait_for_completion=True, deferrable=False, poll_interval=3
    )
    submit = PikaTextToVideoOperator(task_id="submit", prompt="waited for [[never_finish]]")
    PikaVideoSensor(task_id="sensor", request_id=submit.output)
    PikaTextToVideoBatchOperator(task_id="batch", inputs=["in a batch [[never_finish]]"])

# the retry comes so late that the triggerer asks about a task that is neither deferred nor ended
LATE = {**RETRIED, "retry_delay": timedelta(seconds=15)}

with DAG("interfered_with", schedule=None, catchup=False, default_args=LATE, params={"prompt": ""}):
    PikaTextToVideoOperator(task_id="clip", prompt="{{ params.prompt }}", wait_for_completion=True)
