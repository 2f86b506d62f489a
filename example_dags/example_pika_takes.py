"""Several takes of one prompt: the same words with different seeds, saved side by side."""

from __future__ import annotations

from airflow.sdk import Param, dag, task
from clips import FOLDER

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator


@dag(
    schedule=None,
    catchup=False,
    tags=["pika"],
    params={
        "prompt": Param("A paper boat crosses a puddle in the rain", type="string"),
        "takes": Param(3, type="integer", minimum=1, maximum=20),
        "first_seed": Param(1, type="integer", description="The others count up from it"),
        "folder": FOLDER,
    },
)
def example_pika_takes():
    @task
    def seeds(params) -> list[int]:
        return list(range(params["first_seed"], params["first_seed"] + params["takes"]))

    @task
    def places(seeds, params, run_id) -> list[str]:
        folder = f"{params['folder']}/{run_id.replace(':', '-')}"
        return [f"{folder}/seed-{seed}.mp4" for seed in seeds]

    numbers = seeds()
    video = PikaTextToVideoOperator.partial(
        task_id="video",
        prompt="{{ params.prompt }}",
        resolution="480p",
        wait_for_completion=True,
        timeout=30 * 60,
        retries=3,
        map_index_template="seed {{ task.seed }}",
    ).expand(seed=numbers)
    PikaVideoToObjectStorageOperator.partial(task_id="save", retries=3).expand_kwargs(
        video.output.zip(places(numbers)).map(lambda take: {"video": take[0], "path": take[1]})
    )


example_pika_takes()
