"""Reviews of three takes: answered by a script, by nobody, and, in the Dag ``judged``, by people in a browser."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.operators.review import PikaReviewOperator
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator

#: Not the deadline of a review, which waits for minutes.
SHORT = {"execution_timeout": timedelta(seconds=60)}

PARAMS = {"folder": ""}


@task
def publish(clips: Any) -> list[str]:
    return [clip["path"] for clip in clips]


def saved_takes(name: str, **options: Any) -> Any:
    """Generate three takes, of which the last has no seed, so that another attempt makes another clip.

    :param name: of the file, without its suffix.
    :param options: of the task that saves.
    """
    take = PikaTextToVideoOperator.partial(
        task_id="take",
        prompt="a kite over the harbour",
        resolution="480p",
        wait_for_completion=True,
        timeout=300,
        retries=2,
    ).expand(seed=[1, 2, None])
    path = f"{{{{ params.folder }}}}/{{{{ run_id }}}}/{name}.mp4"
    save = PikaVideoToObjectStorageOperator.partial(task_id="save", path=path, **options).expand(video=take.output)
    return save.output


with DAG("reviewed", schedule=None, catchup=False, default_args=SHORT, params=PARAMS):
    clips = saved_takes("{{ task.video.request_id }}")
    publish(PikaReviewOperator(task_id="review", clips=clips, choose=1).output)

    # not shorter: Airflow 3.3.2 fails a task that goes on before its scheduler has heard that the task waits
    silent: dict[str, Any] = {"clips": clips, "timeout": 15}
    published = publish.override(task_id="published_without_answer")
    published(PikaReviewOperator(task_id="approved", choose="any", on_timeout="approve", **silent).output)
    published(PikaReviewOperator(task_id="skipped", choose="any", on_timeout="skip", **silent).output)
    PikaReviewOperator(task_id="failed", **silent)
    PikaReviewOperator.partial(task_id="each", on_reject="empty").expand(clips=clips)

with DAG("judged", schedule=None, catchup=False, params=PARAMS):
    clips = saved_takes("{{ ti.map_index }}", overwrite=True)
    publish(PikaReviewOperator(task_id="one", clips=clips, choose=1).output)
    for name in ("none", "two", "keys", "anew"):
        PikaReviewOperator(task_id=name, clips=clips, choose=1, on_reject="empty")
    PikaReviewOperator(task_id="late", clips=clips, choose="any", timeout=15, on_timeout="skip")
