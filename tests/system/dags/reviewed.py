"""Reviews of three takes: answered by hand, by a script, by nobody."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.operators.review import PikaReviewOperator
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator

#: Not the deadline of a review, which waits for minutes.
SHORT = {"execution_timeout": timedelta(seconds=60)}


@task
def publish(clips: Any) -> list[str]:
    return [clip["path"] for clip in clips]


with DAG("reviewed", schedule=None, catchup=False, default_args=SHORT, params={"folder": "", "seeds": [1, 2, 3]}):
    take = PikaTextToVideoOperator.partial(
        task_id="take",
        prompt="a kite over the harbour",
        resolution="480p",
        wait_for_completion=True,
        timeout=300,
        retries=2,
    ).expand(seed=[1, 2, None])
    save = PikaVideoToObjectStorageOperator.partial(
        task_id="save", path="{{ params.folder }}/{{ run_id }}/{{ task.video.request_id }}.mp4"
    ).expand(video=take.output)
    publish(PikaReviewOperator(task_id="review", clips=save.output, choose=1).output)

    # not shorter: Airflow 3.3.2 fails a task that goes on before its scheduler has heard that the task waits
    silent: dict[str, Any] = {"clips": save.output, "timeout": 15}
    published = publish.override(task_id="published_without_answer")
    published(PikaReviewOperator(task_id="approved", choose="any", on_timeout="approve", **silent).output)
    published(PikaReviewOperator(task_id="skipped", choose="any", on_timeout="skip", **silent).output)
    PikaReviewOperator(task_id="failed", **silent)
    PikaReviewOperator.partial(task_id="each", on_reject="empty").expand(clips=save.output)
