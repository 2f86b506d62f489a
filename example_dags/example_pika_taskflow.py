"""The same in TaskFlow style: a function writes the prompt, and the next one takes the file."""

from __future__ import annotations

from airflow.sdk import Param, dag, task
from clips import FOLDER

from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator


@dag(
    schedule=None,
    catchup=False,
    tags=["pika"],
    params={"city": Param("Lisbon", type="string"), "folder": FOLDER},
)
def example_pika_taskflow():
    @task.pika_text_to_video(resolution="480p", wait_for_completion=True, timeout=30 * 60, retries=3)
    def video(params: dict) -> dict:
        return {"prompt": f"A tram climbs a steep street in {params['city']} at golden hour", "seed": 7}

    @task
    def announce(saved: dict) -> str:
        message = f"Fresh from Pika: {saved['path']}, {saved['seconds']:g} s"
        print(message)
        return message

    save = PikaVideoToObjectStorageOperator(
        task_id="save", video=video(), path="{{ params.folder }}/{{ task.video.request_id }}.mp4", retries=3
    )
    announce(save.output)


example_pika_taskflow()
