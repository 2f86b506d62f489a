"""As many prompts as you like in one task: it submits, waits without a worker, and submits more as clips are done.

It needs Airflow 3.3. A retry pays only for what is missing. One clip in twenty may fail, and the task still succeeds.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, task
from clips import FOLDER

from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator


@task
def prompts(number: int) -> list[dict[str, object]]:
    """Stand for a query of yours: a dict for each clip, with any input that the endpoint takes."""
    return [{"prompt": f"Lighthouse number {n + 1} in a storm", "seed": n} for n in range(int(number))]


@task
def done(batch: dict[str, object]) -> list[dict[str, object]]:
    """Read the manifest, a line for each prompt in their order, and give those that became a clip."""
    import json

    from airflow.sdk import ObjectStoragePath

    lines = [json.loads(line) for line in ObjectStoragePath(str(batch["manifest"])).read_text().splitlines()]
    for line in lines:
        print(f"{line['index']}: {line['url'] or line['error']}")
    return [line for line in lines if line["url"]]


@dag(
    schedule=None,
    catchup=False,
    tags=["pika"],
    params={"number": Param(12, type="integer", minimum=1), "folder": FOLDER},
)
def example_pika_batch():
    batch = PikaTextToVideoBatchOperator(
        task_id="batch",
        inputs=prompts("{{ params.number }}"),
        defaults={"resolution": "480p", "duration": 5},
        max_in_flight=4,
        fail_on=0.05,
        manifest_path="{{ params.folder }}/{{ run_id | replace(':', '-') }}.jsonl",
        timeout=6 * 60 * 60,
        retries=3,
    )
    PikaVideoToObjectStorageOperator.partial(
        task_id="save", path="{{ params.folder }}/{{ task.video.request_id }}.mp4", retries=3
    ).expand(video=done(batch.output))


example_pika_batch()
