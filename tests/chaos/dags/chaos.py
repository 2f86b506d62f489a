"""Twenty clips: ten by one task each, ten by a task that submits and one that waits."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag, task

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor

PATIENT = {"retries": 5, "retry_delay": timedelta(seconds=1)}
WAITING = {"poll_interval": 1.0, "timeout": 300}


@dag(schedule=None, catchup=False, max_active_tasks=64, params={"name": "nothing happens", "each": 10, "faults": [""]})
def chaos():
    @task(**PATIENT)
    def prompts(kind: str, params: dict) -> list[str]:
        faults = params["faults"]
        return [f"{params['name']}: {kind} {n};{faults[n % len(faults)]}" for n in range(params["each"])]

    PikaTextToVideoOperator.partial(
        task_id="clip", resolution="480p", wait_for_completion=True, **PATIENT, **WAITING
    ).expand(prompt=prompts.override(task_id="clip_prompts")("clip"))

    generate = PikaTextToVideoOperator.partial(task_id="generate", resolution="480p", **PATIENT).expand(
        prompt=prompts.override(task_id="generate_prompts")("generate")
    )
    PikaVideoSensor.partial(task_id="video", **PATIENT, **WAITING).expand(request_id=generate.output)


chaos()
