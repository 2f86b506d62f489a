"""A person sees what a batch will cost before anything is submitted, and it can never cost more.

`approve` waits in Airflow's page "Required Actions". "Reject" skips the batch. It needs Airflow 3.3, as every batch.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param, dag, task
from clips import FOLDER

from airflow_provider_pika.hooks.pika import PikaHook
from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from airflow_provider_pika.transfers.batch_to_object_storage import PikaBatchToObjectStorageOperator

#: A folder for each run.
FOLDER_OF_RUN = "{{ params.folder }}/{{ run_id | replace(':', '-') }}"


@dag(
    schedule=None,
    catchup=False,
    tags=["pika"],
    params={
        "prompts": Param(["An owl in fresh snow", "A fox in fresh snow"], type="array", items={"type": "string"}),
        "folder": FOLDER,
    },
)
def example_pika_budget():
    @task
    def estimate(params) -> dict:
        """Ask what the clips will cost. Nothing is submitted, and nothing is paid."""
        found = PikaHook().estimate([{"prompt": prompt, "resolution": "480p"} for prompt in params["prompts"]])
        if found["unknown"] or found["amount"] is None:
            raise AirflowFailException(f"The cost is not known: {found['reasons']}")
        return found

    estimated = estimate()
    approve = ApprovalOperator(
        task_id="approve",
        subject="Generate these clips?",
        body="{{ params.prompts | length }} clips for about {{ ti.xcom_pull('estimate')['amount'] }} "
        "{{ ti.xcom_pull('estimate')['currency'] }}",
        response_timeout=timedelta(days=2),
        defaults="Reject",  # nobody answered
    )
    batch = PikaTextToVideoBatchOperator(
        task_id="batch",
        inputs="{{ params.prompts | tojson }}",
        defaults={"resolution": "480p"},
        max_cost="{{ ti.xcom_pull('estimate')['amount'] }}",  # what was approved
        manifest_path=f"{FOLDER_OF_RUN}/batch.jsonl",
        retries=3,
    )
    save = PikaBatchToObjectStorageOperator(
        task_id="save", batch=batch.output, path=f"{FOLDER_OF_RUN}/{{index:05d}}.mp4", retries=3
    )

    @task
    def report(saved) -> str:
        """Say what it did cost."""
        said = f"{saved['saved']} clips for {saved['cost']['amount']} {saved['cost']['currency']}"
        print(said)
        return said

    estimated >> approve >> batch
    report(save.output)


example_pika_budget()
