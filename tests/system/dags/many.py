"""More clips than may be at fal at once, held back by a batch."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator

with DAG("batched", schedule=None, catchup=False, params={"slow": ""}):
    PikaTextToVideoBatchOperator(
        task_id="batch",
        inputs="[{% for n in range(9) %}{{ ',' if n }}\"batched {{ n }} {{ params.slow }}\"{% endfor %}]",
        defaults={"resolution": "480p"},
        max_in_flight=3,
        timeout=300,
        retries=1,
        retry_delay=timedelta(seconds=1),
    )
