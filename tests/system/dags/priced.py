"""Two Dags with clips of different length, whose costs a test adds up."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator

#: The seconds of each clip, by Dag.
CLIPS = {"priced_recap": (5,), "priced_products": (5, 10)}

for dag_id, clips in CLIPS.items():
    with DAG(dag_id, schedule=None, catchup=False):
        PikaTextToVideoOperator.partial(
            task_id="clip",
            prompt=dag_id,
            resolution="480p",
            pika_conn_id="pika_priced",
            wait_for_completion=True,
            deferrable=False,
            timeout=300,
        ).expand(duration=clips)
