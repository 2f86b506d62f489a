"""Many prompts at once: each is a task of its own to submit, to wait for and to save, with retries of its own."""

from __future__ import annotations

from airflow.sdk import Param, dag
from saving import FOLDER, save

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor

PRODUCTS = ["a copper kettle", "a folding bicycle", "a woollen scarf"]


@dag(
    schedule=None,
    catchup=False,
    tags=["pika"],
    params={"resolution": Param("480p", enum=["480p", "720p", "1080p"]), "folder": FOLDER},
)
def example_pika_many_prompts():
    generate = PikaTextToVideoOperator.partial(task_id="generate", resolution="{{ params.resolution }}").expand(
        prompt=[f"A studio shot of {product}, slowly turning, soft light" for product in PRODUCTS]
    )
    video = PikaVideoSensor.partial(task_id="video", timeout=60 * 60).expand(request_id=generate.output)
    save.partial(folder="{{ params.folder }}").expand(video=video.output)


example_pika_many_prompts()
