"""The same in TaskFlow style: a prompt that is computed, a video that the next function takes."""

from __future__ import annotations

from airflow.sdk import Param, dag, task
from saving import FOLDER, save

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor


@dag(
    schedule=None,
    catchup=False,
    tags=["pika"],
    params={"city": Param("Lisbon", type="string"), "folder": FOLDER},
)
def example_pika_taskflow():
    @task
    def write_prompt(params: dict) -> dict:
        return {"prompt": f"A tram climbs a steep street in {params['city']} at golden hour", "seed": 7}

    @task
    def announce(path: str, video: dict) -> str:
        message = f"Fresh from {video['endpoint']}: {path}"
        print(message)
        return message

    wanted = write_prompt()
    request_id = PikaTextToVideoOperator(
        task_id="generate", prompt=wanted["prompt"], seed=wanted["seed"], resolution="480p"
    ).output
    video = PikaVideoSensor(task_id="video", request_id=request_id, timeout=30 * 60).output
    announce(save(video, folder="{{ params.folder }}"), video)


example_pika_taskflow()
