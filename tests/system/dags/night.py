"""Three Dags that share a night, a key and a price: two batches, and a mapped task that reuses what it has paid for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator

PATIENT: dict[str, Any] = {"retries": 2, "retry_delay": timedelta(seconds=1)}
QUEUE: dict[str, Any] = {"pika_conn_id": "night"}

#: Clips of each Dag: sixty in all, of which the second run of the last one reuses some.
CATALOGUE, RECAP, TEASERS = 34, 20, 3

with DAG("night_catalogue", schedule=None, catchup=False):
    PikaTextToVideoBatchOperator(
        task_id="batch",
        inputs=[f"catalogue {n:02d}" for n in range(CATALOGUE)],
        defaults={"resolution": "480p"},
        fail_on=0.1,
        **QUEUE,
        **PATIENT,
    )

with DAG("night_recap", schedule=None, catchup=False):
    PikaTextToVideoBatchOperator(
        task_id="batch",
        inputs=[{"prompt": f"recap {n:02d}", "duration": 5 + 5 * (n % 2)} for n in range(RECAP)],
        defaults={"resolution": "480p"},
        **QUEUE,
        **PATIENT,
    )

with DAG("night_teasers", schedule=None, catchup=False):
    PikaTextToVideoOperator.partial(
        task_id="clip",
        resolution="480p",
        reuse_within=timedelta(hours=1),
        wait_for_completion=True,
        **QUEUE,
        **PATIENT,
    ).expand_kwargs([{"prompt": f"teaser {n}", "seed": n} for n in range(TEASERS)])
