"""One clip, saved where a test wants it: what the pages show."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator

with DAG("shown", schedule=None, catchup=False, params={"prompt": "a fox", "path": "/tmp/clips/fox.mp4"}):
    video = PikaTextToVideoOperator(
        task_id="video", prompt="{{ params.prompt }}", resolution="480p", wait_for_completion=True, timeout=300
    )
    PikaVideoToObjectStorageOperator(task_id="save", video=video.output, path="{{ params.path }}")
