"""Functions that return prompts, through ``@task.pika_text_to_video``: mapped, and tried again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task


@task.pika_text_to_video(
    pika_conn_id="slow", resolution="1080p", wait_for_completion=True, timeout=300, poll_interval=1
)
def clip(subject: str, season: str, resolution: str = "480p") -> dict[str, Any]:
    return {"prompt": f"decorated {subject} in {season}", "resolution": resolution}


@task.pika_text_to_video(pika_conn_id="slow", resolution="480p", wait_for_completion=True, poll_interval=0.5)
def impatient() -> str:
    return "decorated and impatient"


@task.pika_text_to_video(pika_conn_id="slow", retries=3, retry_delay=timedelta(seconds=1))
def wrong() -> dict[str, Any]:
    return {"prompt": "decorated and wrong", "resolution": "4k"}


@task
def use(videos: Any) -> list[str]:
    return sorted(video["url"] for video in videos)


with DAG("decorated", schedule=None, catchup=False):
    use(clip.partial(season="winter").expand(subject=["fox", "owl"]))
    clip.override(task_id="clips_of_kwargs", max_active_tis_per_dag=2).expand_kwargs(
        [{"subject": "hare", "season": "spring"}, {"subject": "stag", "season": "autumn", "resolution": "720p"}]
    )
    impatient.override(timeout=8, retries=3, retry_delay=timedelta(seconds=1))()
    wrong()
