"""A request, and the tasks that wait for it, as most tests make them."""

from __future__ import annotations

import time
from typing import Any

from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.hooks.pika import PikaHook
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor

#: A prompt whose request runs until it is cancelled.
ENDLESS = "endless [[never_finish]]"


def submit(prompt: str = ENDLESS, resolution: str = "480p") -> str:
    """Submit over the default connection."""
    return PikaHook().submit(TEXT_TO_VIDEO, {"prompt": prompt, "resolution": resolution})


def finished(request_id: str) -> str:
    """Return the same id once its request has ended."""
    while PikaHook().status(TEXT_TO_VIDEO, request_id).status != "COMPLETED":
        time.sleep(0.02)
    return request_id


def operator(**arguments: Any) -> PikaTextToVideoOperator:
    """Make an operator that submits and waits, impatiently."""
    arguments = {"prompt": ENDLESS, "wait_for_completion": True, "poll_interval": 0.1, "timeout": 20, **arguments}
    return PikaTextToVideoOperator(task_id="generate", **arguments)


def sensor(request_id: str, **arguments: Any) -> PikaVideoSensor:
    """Make a sensor, as impatient."""
    arguments = {"poll_interval": 0.1, "timeout": 20, **arguments}
    return PikaVideoSensor(task_id="video", request_id=request_id, **arguments)
