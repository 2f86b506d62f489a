"""Many prompts at once: each is a mapped task of its own, with retries of its own, and two of them run at a time.

From Airflow 3.2 on ``max_active_tis_per_dag`` counts deferred tasks, too, so that no more than two are at fal. A pool
does so on any Airflow, and for several Dags together: ``airflow pools set clips 2 "Clips at fal" --include-deferred``,
and ``pool="clips"`` below. On 3.1 and 3.2 a retry pays for its clip again.
"""

from __future__ import annotations

from airflow.sdk import Param, dag
from clips import FOLDER

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator

PRODUCTS = ["a copper kettle", "a folding bicycle"]
VIEWS = ["slowly turning", "in falling snow"]


@dag(
    schedule=None,
    catchup=False,
    tags=["pika"],
    params={"resolution": Param("480p", enum=["480p", "720p", "1080p"]), "folder": FOLDER},
)
def example_pika_many_prompts():
    video = PikaTextToVideoOperator.partial(
        task_id="video",
        resolution="{{ params.resolution }}",
        wait_for_completion=True,
        timeout=60 * 60,
        retries=3,
        max_active_tis_per_dag=2,
        map_index_template="{{ task.prompt }}",
    ).expand(
        prompt=[f"{product}, {view}" for product in PRODUCTS for view in VIEWS],
    )
    PikaVideoToObjectStorageOperator.partial(
        task_id="save", path="{{ params.folder }}/{{ task.video.request_id }}.mp4", retries=3
    ).expand(video=video.output)


example_pika_many_prompts()
