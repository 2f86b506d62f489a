"""From a prompt to a file: submit, wait without a worker, save. `make demo` runs this Dag."""

from __future__ import annotations

from airflow.sdk import Param, dag
from clips import FOLDER

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator


@dag(
    schedule=None,  # "@daily", say
    catchup=False,
    tags=["pika"],
    params={
        "prompt": Param("A red fox runs through fresh snow at dawn, the camera follows low", type="string"),
        "resolution": Param("720p", enum=["480p", "720p", "1080p"]),
        "duration": Param(5, enum=[5, 10]),
        "folder": FOLDER,
    },
)
def example_pika_text_to_video():
    generate = PikaTextToVideoOperator(
        task_id="generate",
        prompt="{{ params.prompt }}",
        resolution="{{ params.resolution }}",
        duration="{{ params.duration }}",
    )
    video = PikaVideoSensor(task_id="video", request_id=generate.output, timeout=30 * 60)
    PikaVideoToObjectStorageOperator(
        task_id="save", video=video.output, path="{{ params.folder }}/{{ task.video.request_id }}.mp4", retries=3
    )


example_pika_text_to_video()
