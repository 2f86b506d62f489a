"""Two Dags share what the account at fal may have in flight: a pool that counts deferred tasks.

Make the pool once: `airflow pools set pika 4 "Clips at fal" --include-deferred`. Without a pool of this name, Airflow
starts no task of these Dags.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, task
from clips import FOLDER

from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.transfers.batch_to_object_storage import PikaBatchToObjectStorageOperator
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator

#: Every task that has requests at fal names it. Tasks that save need no slot.
POOL = "pika"

#: How many of the pool's slots a batch takes, and how many clips it has in flight.
SHARE = 2


@dag(schedule=None, catchup=False, tags=["pika"], params={"folder": FOLDER})
def example_pika_pool_urgent():
    video = PikaTextToVideoOperator.partial(
        task_id="video",
        resolution="480p",
        wait_for_completion=True,  # one task from the submit to the clip: it holds its slot all the time
        timeout=60 * 60,
        retries=3,
        pool=POOL,
        priority_weight=10,  # before other tasks that wait for a slot
    ).expand(prompt=[f"Breaking news, picture {n + 1}: a fox on the ice" for n in range(4)])
    PikaVideoToObjectStorageOperator.partial(
        task_id="save", path="{{ params.folder }}/{{ task.video.request_id }}.mp4", retries=3
    ).expand(video=video.output)


@dag(
    schedule=None,
    catchup=False,
    tags=["pika"],
    params={"number": Param(6, type="integer", minimum=1), "folder": FOLDER},
)
def example_pika_pool_archive():
    """Needs Airflow 3.3, as every batch."""

    @task
    def prompts(params) -> list[str]:
        return [f"From the archive, picture {n + 1}: a lighthouse" for n in range(params["number"])]

    batch = PikaTextToVideoBatchOperator(
        task_id="batch",
        inputs=prompts(),
        defaults={"resolution": "480p"},
        max_in_flight=SHARE,
        pool=POOL,
        pool_slots=SHARE,  # a batch is one task: without this, it would take one slot for all its clips
        timeout=6 * 60 * 60,
        retries=3,
    )
    PikaBatchToObjectStorageOperator(
        task_id="save", batch=batch.output, path="{{ params.folder }}/{request_id}.mp4", retries=3
    )


example_pika_pool_urgent()
example_pika_pool_archive()
