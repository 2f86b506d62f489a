"""One clip for each way to wait for it, and a task that takes what came of it."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor

#: Way: the parameters of the sensor that waits for what another task submitted.
SENSORS: dict[str, dict[str, Any]] = {"sensor": {}}

#: Way: the parameters of the operator that submits, and waits itself.
OPERATORS: dict[str, dict[str, Any]] = {
    "operator": {},
    "operator_that_holds": {"deferrable": False},
}


@task
def use(video: Any) -> list[Any]:
    return [type(video).__name__, video["url"], sorted(video)]


with DAG("waits", schedule=None, catchup=False, max_active_tasks=64, default_args={"pika_conn_id": "slow"}):
    for way, options in SENSORS.items():
        submit = PikaTextToVideoOperator(task_id=f"{way}_submits", prompt=way, resolution="480p")
        wait = PikaVideoSensor(task_id=way, request_id=submit.output, timeout=300, **options)
        use.override(task_id=f"{way}_used")(wait.output)
    for way, options in OPERATORS.items():
        clip = PikaTextToVideoOperator(
            task_id=way, prompt=way, resolution="480p", wait_for_completion=True, timeout=300, **options
        )
        use.override(task_id=f"{way}_used")(clip.output)
