"""Clips that are saved where a test says: by workers that it kills, and for those who watch Airflow from outside."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.openlineage.utils.selective_enable import enable_lineage
from airflow.sdk import dag

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator

#: Nobody else asks for clips of this endpoint: their metrics are known by it.
TOLD_ENDPOINT = "fal-ai/pika/v2.2/text-to-video"


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


@dag(schedule=None, catchup=False, params={"prompt": "a heron", "path": ""})
def told() -> None:
    video = PikaTextToVideoOperator(
        task_id="video", prompt="{{ params.prompt }}", endpoint=TOLD_ENDPOINT, wait_for_completion=True
    )
    PikaVideoToObjectStorageOperator(task_id="save", video=video.output, path="{{ params.path }}")


saved()
enable_lineage(told())
