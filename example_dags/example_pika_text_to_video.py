"""From a prompt to a file: submit, wait without a worker, save. `make demo` runs this Dag."""

from __future__ import annotations

from airflow.sdk import Param, dag
from saving import FOLDER, save

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor


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
    save(video.output, folder="{{ params.folder }}")


example_pika_text_to_video()
