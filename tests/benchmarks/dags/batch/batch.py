"""A batch of as many prompts as BENCH_PROMPTS says, all of them in flight at once."""

from __future__ import annotations

import os

from airflow.sdk import DAG

from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator

if prompts := int(os.environ.get("BENCH_PROMPTS", "0")):
    with DAG("batch", schedule=None, catchup=False):
        PikaTextToVideoBatchOperator(
            task_id="batch",
            inputs=[f"clip {number}" for number in range(prompts)],
            defaults={"resolution": "480p", "duration": 5},
            max_in_flight=prompts,
            manifest_path=os.environ["BENCH_MANIFEST"],
            timeout=3600,
        )
