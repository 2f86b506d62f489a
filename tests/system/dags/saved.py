"""A clip that is saved where a test says, by workers that it kills."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator


@dag(schedule=None, catchup=False, params={"prompt": "a fox", "path": "", "conn_id": ""})
def saved() -> None:
    video = PikaTextToVideoOperator(
        task_id="video", prompt="{{ params.prompt }}", resolution="480p", wait_for_completion=True
    )
    PikaVideoToObjectStorageOperator(
        task_id="save",
        video=video.output,
        path="{{ params.path }}",
        conn_id="{{ params.conn_id }}",
        retries=2,
        retry_delay=timedelta(seconds=1),
    )


saved()
