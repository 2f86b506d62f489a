"""Clips of a hostile queue, deferred with polls or a stream, or holding a worker; and an honest one beside them."""

from __future__ import annotations

from airflow.sdk import dag, task

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator

WAITING = {"wait_for_completion": True, "poll_interval": 1.0, "retries": 0}


@dag(schedule=None, catchup=False, max_active_tasks=64, params={"polled": [""], "streamed": [""], "held": [""]})
def hostile():
    @task
    def cases(way: str, params: dict) -> list[str]:
        return params[way]

    def prompts(way: str):
        return cases.override(task_id=f"cases_{way}")(way)

    wrong = {**WAITING, "pika_conn_id": "hostile", "timeout": 12}
    PikaTextToVideoOperator.partial(task_id="polled", **wrong).expand(prompt=prompts("polled"))
    PikaTextToVideoOperator.partial(task_id="streamed", stream=True, **wrong).expand(prompt=prompts("streamed"))
    PikaTextToVideoOperator.partial(task_id="held", deferrable=False, **wrong).expand(prompt=prompts("held"))
    PikaTextToVideoOperator(
        task_id="honest", prompt="an honest fox [[generate seconds=25]]", resolution="480p", timeout=300, **WAITING
    )


hostile()
