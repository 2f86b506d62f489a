"""A batch of small clips with a manifest, and all of them as files in the next task."""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import dag, task

from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from airflow_provider_pika.transfers.batch_to_object_storage import PikaBatchToObjectStorageOperator

PATIENT = {"retries": 8, "retry_delay": timedelta(seconds=1)}
QUEUE = {"pika_conn_id": "files_queue"}

#: Ten thousand take ten workers, one after the other; two hundred take one, for the sake of time.
IN_FLIGHT = 1000 if os.environ.get("SOAK") == "1" else 200


@dag(
    schedule=None,
    catchup=False,
    params={"name": "files", "clips": 200, "faults": [""], "folder": "/tmp/files"},
)
def batch_to_files():
    @task(**PATIENT)
    def items(params: dict) -> list[dict]:
        """Return the inputs: each clip is larger by a few bytes than the one before it, so that no two are the same."""
        name, faults = params["name"], params["faults"]
        return [
            {
                "prompt": f"{name}: {n:05d} [[large_file bytes={100_000 + 8 * n}]] {faults[n % len(faults)]}",
                "name": f"{name}-{n:05d}",
            }
            for n in range(params["clips"])
        ]

    batch = PikaTextToVideoBatchOperator(
        task_id="batch",
        inputs=items(),
        defaults={"resolution": "480p"},
        max_in_flight=IN_FLIGHT,
        manifest_path="{{ params.folder }}/batch.jsonl",
        on_unknown_submit="resubmit",  # of a submit that a kill cut, only where fal's history does not have it
        **QUEUE,
        **PATIENT,
    )
    PikaBatchToObjectStorageOperator(
        task_id="save",
        batch=batch.output,
        path="{{ params.folder }}/{name}.mp4",
        manifest_path="{{ params.folder }}/saved.jsonl",
        must_fit=False,  # the emulator has drawn none of them
        stall_timeout=3.0,
        fail_on=0.05,
        **QUEUE,
        **PATIENT,
    )


batch_to_files()
