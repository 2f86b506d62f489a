"""An error branch: fal's content checker refuses one prompt of two, and the Dag goes on without that clip.

The refused clip's sensor fails at once, without using up its retries, and its log ends with fal's own words:
`ContentPolicyViolation`, the request id, and that the same prompt is refused again. `note_failure` keeps those words,
`report_missing` runs only if a clip failed, and `publish` runs whatever happened, with the clips that are there.
"""

from __future__ import annotations

from airflow.sdk import dag, task
from clips import FOLDER

from airflow_provider_pika.exceptions import ContentPolicyViolation
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator

PROMPTS = {
    "boat": "A paper boat crosses a puddle in the rain",
    # the emulator refuses what asks for it like this; fal's checker decides by itself
    "refused": "What no content checker lets through [[content_policy_violation]]",
}


def note_failure(context) -> None:
    """Keep why a clip failed; Airflow's own exception wraps the provider's."""
    reason = context["exception"].__cause__
    kind = "refused" if isinstance(reason, ContentPolicyViolation) else "failed"
    context["ti"].xcom_push(key="failure", value=f"{kind}: {reason}")


@dag(schedule=None, catchup=False, tags=["pika"], params={"folder": FOLDER})
def example_pika_refused_prompt():
    @task(trigger_rule="one_failed")
    def report_missing(ti) -> None:
        for task_id, failure in zip(video_ids, ti.xcom_pull(task_ids=video_ids, key="failure"), strict=True):
            if failure:
                print(f"No clip from {task_id}, {failure}")

    @task(trigger_rule="all_done")
    def publish(clips: list[dict | None]) -> list[str]:
        there = [clip["path"] for clip in clips if clip]
        print(f"Publishing {len(there)} of {len(clips)} clips: {there}")
        return there

    videos, saved = [], []
    for name, prompt in PROMPTS.items():
        generate = PikaTextToVideoOperator(task_id=f"generate_{name}", prompt=prompt, resolution="480p")
        video = PikaVideoSensor(
            task_id=f"video_{name}", request_id=generate.output, retries=3, on_failure_callback=note_failure
        )
        videos.append(video)
        path = f"{{{{ params.folder }}}}/{{{{ run_id | replace(':', '-') }}}}/{name}.mp4"
        saved.append(
            PikaVideoToObjectStorageOperator(task_id=f"save_{name}", video=video.output, path=path, retries=3).output
        )
    video_ids = [video.task_id for video in videos]
    videos >> report_missing()
    publish(saved)


example_pika_refused_prompt()
