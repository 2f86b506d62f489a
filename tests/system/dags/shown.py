"""Clips that the pages show: one, saved where a test wants it, and one that is saved at five places."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator

#: The places of the mapped task.
PLACES = [f"{{{{ params.paths[{number}] }}}}" for number in range(5)]


def video() -> PikaTextToVideoOperator:
    return PikaTextToVideoOperator(
        task_id="video", prompt="{{ params.prompt }}", resolution="480p", wait_for_completion=True, timeout=300
    )


with DAG("shown", schedule=None, catchup=False, params={"prompt": "a fox", "path": "/tmp/clips/fox.mp4"}):
    PikaVideoToObjectStorageOperator(task_id="save", video=video().output, path="{{ params.path }}")

with DAG("shown_mapped", schedule=None, catchup=False, params={"prompt": "a fox", "paths": []}):
    PikaVideoToObjectStorageOperator.partial(task_id="save", video=video().output).expand(path=PLACES)
