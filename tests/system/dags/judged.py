"""Reviews of three takes, which people decide on in a browser."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.operators.review import PikaReviewOperator
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator


@task
def publish(clips: Any) -> list[str]:
    return [clip["path"] for clip in clips]


with DAG("judged", schedule=None, catchup=False, params={"folder": ""}):
    take = PikaTextToVideoOperator.partial(
        task_id="take",
        prompt="a kite over the harbour",
        resolution="480p",
        wait_for_completion=True,
        timeout=300,
        retries=2,
    ).expand(seed=[1, 2, None])
    save = PikaVideoToObjectStorageOperator.partial(
        task_id="save", path="{{ params.folder }}/{{ run_id }}/{{ ti.map_index }}.mp4", overwrite=True
    ).expand(video=take.output)
    publish(PikaReviewOperator(task_id="one", clips=save.output, choose=1).output)
    for name in ("none", "two", "keys", "anew"):
        PikaReviewOperator(task_id=name, clips=save.output, choose=1, on_reject="empty")
    PikaReviewOperator(task_id="late", clips=save.output, choose="any", timeout=15, on_timeout="skip")
