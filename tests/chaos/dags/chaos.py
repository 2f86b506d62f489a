"""Clips in each way that a task makes one. Most scenarios need only one way, and each task is a process or two."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import dag, task

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor

PATIENT = {"retries": 5, "retry_delay": timedelta(seconds=1)}
WAITING = {"poll_interval": 1.0, "timeout": 300}

CHAOS = {
    "schedule": None,
    "catchup": False,
    "max_active_tasks": 64,
    "params": {"name": "nothing happens", "each": 9, "faults": [""]},
}


@task(**PATIENT)
def prompts(params: dict) -> list[str]:
    faults = params["faults"]
    return [f"{params['name']}: KIND {n};{faults[n % len(faults)]}" for n in range(params["each"])]


def clips(each) -> None:
    """Each clip by one task."""
    PikaTextToVideoOperator.partial(
        task_id="clip", resolution="480p", wait_for_completion=True, **PATIENT, **WAITING
    ).expand(prompt=each.map(lambda prompt: prompt.replace("KIND", "clip")))


def held() -> None:
    """Two clips, each by a task that holds its worker."""
    PikaTextToVideoOperator.partial(
        task_id="held", resolution="480p", wait_for_completion=True, deferrable=False, **PATIENT, **WAITING
    ).expand(
        prompt=[
            "{{ params.name }}: held 0;{{ params.faults[0] }}",
            "{{ params.name }}: held 1;{{ params.faults[1 % params.faults | length] }}",
        ]
    )


def pairs(each) -> None:
    """Each clip by two tasks, one that submits and one that waits."""
    generate = PikaTextToVideoOperator.partial(task_id="generate", resolution="480p", **PATIENT).expand(
        prompt=each.map(lambda prompt: prompt.replace("KIND", "generate"))
    )
    PikaVideoSensor.partial(task_id="video", **PATIENT, **WAITING).expand(request_id=generate.output)


@dag(**CHAOS)
def chaos():
    each = prompts()
    clips(each)
    held()
    pairs(each)


@dag(**CHAOS)
def chaos_clips():
    clips(prompts())


@dag(**CHAOS)
def chaos_held():
    held()


chaos()
chaos_clips()
chaos_held()
