"""Twenty clips: nine by one task each, nine by two, one that submits and one that waits; two hold a worker."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag, task

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor

PATIENT = {"retries": 5, "retry_delay": timedelta(seconds=1)}
WAITING = {"poll_interval": 1.0, "timeout": 300}


@dag(schedule=None, catchup=False, max_active_tasks=64, params={"name": "nothing happens", "each": 9, "faults": [""]})
def chaos():
    @task(**PATIENT)
    def prompts(kind: str, number: int, params: dict) -> list[str]:
        faults = params["faults"]
        return [f"{params['name']}: {kind} {n};{faults[n % len(faults)]}" for n in range(number or params["each"])]

    PikaTextToVideoOperator.partial(
        task_id="clip", resolution="480p", wait_for_completion=True, **PATIENT, **WAITING
    ).expand(prompt=prompts.override(task_id="clip_prompts")("clip", 0))
    PikaTextToVideoOperator.partial(
        task_id="held", resolution="480p", wait_for_completion=True, deferrable=False, **PATIENT, **WAITING
    ).expand(prompt=prompts.override(task_id="held_prompts")("held", 2))

    generate = PikaTextToVideoOperator.partial(task_id="generate", resolution="480p", **PATIENT).expand(
        prompt=prompts.override(task_id="generate_prompts")("generate", 0)
    )
    PikaVideoSensor.partial(task_id="video", **PATIENT, **WAITING).expand(request_id=generate.output)


chaos()
