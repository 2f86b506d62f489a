"""A person watches the clip before it is published.

`approve` waits in Airflow's page "Required Actions". "Reject" skips `publish`. Airflow's own ApprovalOperator does
this, from Airflow 3.1 on.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param, dag, task
from clips import FOLDER

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator

#: One path for each run. A clear replaces the clip there, so what the person reads stays true.
PATH = "{{ params.folder }}/{{ run_id | replace(':', '-') }}.mp4"


@dag(
    schedule=None,
    catchup=False,
    tags=["pika"],
    params={"prompt": Param("A lighthouse in a storm, seen from the sea", type="string"), "folder": FOLDER},
)
def example_pika_approval():
    video = PikaTextToVideoOperator(
        task_id="video",
        prompt="{{ params.prompt }}",
        resolution="480p",
        wait_for_completion=True,
        timeout=30 * 60,
        retries=3,
    )
    save = PikaVideoToObjectStorageOperator(
        task_id="save", video=video.output, path=PATH, overwrite=True, retries=3, retry_delay=timedelta(seconds=30)
    )
    approve = ApprovalOperator(
        task_id="approve",
        subject="Publish this clip?",
        # the same text in every try: after a clear, Airflow shows that of the first
        body=f"Prompt: {{{{ params.prompt }}}}\n\nWatch it first: {PATH}",
        response_timeout=timedelta(days=2),
        defaults="Reject",  # nobody answered
    )

    @task
    def publish(saved) -> str:
        """Stand for what you do with it."""
        print(f"Published {saved['path']}, SHA-256 {saved['sha256']}")
        return saved["path"]

    save >> approve >> publish(save.output)


example_pika_approval()
