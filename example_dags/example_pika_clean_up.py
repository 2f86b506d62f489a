"""A clean-up task: whatever fails, or is stopped by a person, nobody pays for a clip that nobody waits for.

`clean_up` and `saved` are teardowns. Airflow runs them after the others, whatever became of them, and also where a
person marks the whole run as failed. A clip that is there by then costs nothing more: fal answers ALREADY_COMPLETED.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, task
from clips import FOLDER

from airflow_provider_pika.operators.cancel import PikaCancelOperator
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator


@dag(
    schedule=None,
    catchup=False,
    tags=["pika"],
    params={
        "prompt": Param("A paper plane circles a lighthouse, slowly", type="string"),
        "folder": FOLDER,
    },
)
def example_pika_clean_up():
    generate = PikaTextToVideoOperator(task_id="generate", prompt="{{ params.prompt }}", resolution="480p")
    video = PikaVideoSensor(task_id="video", request_id=generate.output, timeout=30 * 60, cancel_on_kill=True)
    save = PikaVideoToObjectStorageOperator(
        task_id="save", video=video.output, path="{{ params.folder }}/{{ task.video.request_id }}.mp4", retries=3
    )

    clean_up = PikaCancelOperator(
        task_id="clean_up",
        # the XCom that is pushed with fal's reply: None if nothing was submitted, and then there is nothing to cancel
        request_id="{{ ti.xcom_pull('generate', key='request_id') }}",
        retries=3,
    )

    @task
    def saved(ti) -> None:
        """Fail the run that has saved no clip: Airflow takes a stopped run for successful where it has a teardown."""
        if ti.xcom_pull("save") is None:
            raise RuntimeError("No clip was saved.")

    # no `setups=generate`: a clear of `save` would clear its setup, too, and pay for another clip
    save >> [clean_up.as_teardown(), saved().as_teardown(on_failure_fail_dagrun=True)]


example_pika_clean_up()
