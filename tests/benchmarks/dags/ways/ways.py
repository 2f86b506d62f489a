"""Each way to get a clip, mapped over as many prompts as BENCH_CLIPS says, by a Dag of its own."""

from __future__ import annotations

import os
from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor

PROMPTS = [f"clip {number}" for number in range(int(os.environ["BENCH_CLIPS"]))]

CLIP: dict[str, Any] = {"resolution": "480p"}

DAG_OPTIONS: dict[str, Any] = {"schedule": None, "catchup": False, "max_active_tasks": 64}

with DAG("sensor", **DAG_OPTIONS):
    submit = PikaTextToVideoOperator.partial(task_id="submit", **CLIP).expand(prompt=PROMPTS)
    PikaVideoSensor.partial(task_id="wait", timeout=600).expand(request_id=submit.output)

with DAG("operator", **DAG_OPTIONS):
    PikaTextToVideoOperator.partial(task_id="clip", wait_for_completion=True, timeout=600, **CLIP).expand(
        prompt=PROMPTS
    )


@task
def subscribe(prompt: str) -> Any:
    import fal_client.client

    # it speaks https only, at a host of its choice; its follow-ups go where the answer says (fal-protocol.md, 1.2)
    fal_client.client.QUEUE_URL_FORMAT = os.environ["BENCH_QUEUE_URL"] + "/"
    return fal_client.subscribe("fal-ai/pika/v2.5/text-to-video", {"prompt": prompt, **CLIP})


with DAG("fal_client", **DAG_OPTIONS):
    subscribe.expand(prompt=PROMPTS)
