"""As many prompts as you like in one task, and as many files in the next.

It needs Airflow 3.3. A retry pays only for what is missing, and fetches only what is missing. One clip in twenty may
fail, and the tasks still succeed.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, task
from clips import FOLDER

from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator, read_manifest
from airflow_provider_pika.transfers.batch_to_object_storage import PikaBatchToObjectStorageOperator

#: Where each clip goes. The batch saves clips there while it runs, and the task after it saves what is missing.
CLIPS = "{{ params.folder }}/{request_id}.mp4"


@task
def prompts(number: int) -> list[dict[str, object]]:
    """Stand for a query of yours: a dict for each clip, with any input that the endpoint takes, and a name of yours."""
    return [
        {"prompt": f"Lighthouse number {n + 1} in a storm", "seed": n, "name": f"lighthouse-{n + 1}"}
        for n in range(int(number))
    ]


@task
def publish(saved: dict[str, object]) -> None:
    """Read the manifest, a line for each prompt in their order."""
    for line in read_manifest(str(saved["manifest"])):
        print(f"{line['index']}, {line['name']}: {line['path'] or line['error']}")


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
        save_to=CLIPS,
        timeout=6 * 60 * 60,
        retries=3,
    )
    save = PikaBatchToObjectStorageOperator(
        task_id="save",
        batch=batch.output,
        path=CLIPS,
        fail_on=0.05,
        manifest_path="{{ params.folder }}/{{ run_id | replace(':', '-') }}-saved.jsonl",
        retries=3,
    )
    publish(save.output)


example_pika_batch()
