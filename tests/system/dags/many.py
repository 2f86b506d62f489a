"""More clips than may be at fal at once: held back by Airflow's own limit of a task, and by a batch."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator

#: Clips that may be at fal at once.
MOST = 2

with DAG("limited", schedule=None, catchup=False):
    PikaTextToVideoOperator.partial(
        task_id="video", resolution="480p", wait_for_completion=True, timeout=300, max_active_tis_per_dag=MOST
    ).expand(prompt=[f"limited {n}" for n in range(5)])

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
