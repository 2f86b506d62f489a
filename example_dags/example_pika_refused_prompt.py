"""A fallback: where fal's content checker refuses a prompt, the Dag makes the clip of another one.

A task that fails pushes the XCom `pika_error`, which says why. `fall_back` reads it: a refused prompt is worth another
prompt, and an exhausted balance is not. Then `another_prompt` is skipped, and the run fails.
"""

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
        # the emulator refuses what asks for it like this, and [[locked]] is an exhausted balance; fal decides by itself
        "prompt": Param("What no content checker lets through [[content_policy_violation]]", type="string"),
        "instead": Param("A paper boat crosses a puddle in the rain", type="string"),
        "folder": FOLDER,
    },
)
def example_pika_refused_prompt():
    clip = {"resolution": "480p", "wait_for_completion": True, "timeout": 30 * 60, "retries": 3}
    first = PikaTextToVideoOperator(task_id="first", prompt="{{ params.prompt }}", **clip)
    another = PikaTextToVideoOperator(task_id="another_prompt", prompt="{{ params.instead }}", **clip)

    @task.short_circuit(trigger_rule="one_failed", ignore_downstream_trigger_rules=False)
    def fall_back(ti) -> bool:
        error = ti.xcom_pull("first", key="pika_error") or {}  # nothing, where a worker died or a person failed it
        print(f"No clip: {error.get('message')}")
        return error.get("class") == "ContentPolicyViolation"

    @task(trigger_rule="one_success")
    def video(first, another) -> dict:
        return first or another

    first >> fall_back() >> another
    PikaVideoToObjectStorageOperator(
        task_id="save",
        video=video(first.output, another.output),
        path="{{ params.folder }}/{{ task.video.request_id }}.mp4",
        retries=3,
    )


example_pika_refused_prompt()
