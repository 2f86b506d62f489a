"""What a Dag file pays for our operators and sensors: it is parsed every few seconds, in a fresh process each time."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache

import pytest

SDK = """
from airflow.sdk import DAG, BaseOperator, BaseSensorOperator, task
with DAG("clips"):
    BaseOperator(task_id="one") >> BaseOperator(task_id="two")
    BaseOperator(task_id="three").output
"""

OURS = """
from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from airflow_provider_pika.operators.cancel import PikaCancelOperator
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor
from airflow_provider_pika.transfers.batch_to_object_storage import PikaBatchToObjectStorageOperator
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator
with DAG("pika"):
    first = PikaTextToVideoOperator(task_id="first", prompt="a fox", duration="10", seed=7, priority="low")
    other = PikaTextToVideoOperator(
        task_id="other", prompt=first.output, endpoint="fal-ai/pika/v2.2/text-to-video", start_timeout=30,
        extra_arguments={"aspect_ratio": "9:16"}, wait_for_completion=True,
    )
    PikaTextToVideoOperator.partial(task_id="many", resolution="480p").expand(prompt=["a fox", "an owl"])
    PikaVideoSensor(task_id="later", request_id="{{ ti.xcom_pull('first') }}")
    PikaVideoSensor(task_id="known", request_id="019e1951-c778-7120-9c82-16efcf40ec82")
    PikaCancelOperator(task_id="cancel", request_id=other.output)
    PikaTextToVideoBatchOperator(task_id="batch", inputs=["a fox", {"prompt": "an owl", "duration": "10"}])
    PikaVideoToObjectStorageOperator(task_id="save", video=other.output, path="s3://bucket/{{ ds }}.mp4")
    PikaBatchToObjectStorageOperator(task_id="save_all", batch=other.output, path="s3://bucket/{{ ds }}/{index}.mp4")
    PikaTextToVideoBatchOperator(task_id="later_batch", inputs=first.output, manifest_path="s3://bucket/{{ ds }}.jsonl")
"""

#: Notes what our own modules ask for, whether or not Airflow has it loaded already; then runs a Dag file.
RUN = """
import builtins, json, sys
asked, really = set(), builtins.__import__
def noting(name, globals=None, locals=None, fromlist=(), level=0):
    module = really(name, globals, locals, fromlist, level)
    if str((globals or {}).get("__name__")).startswith("airflow_provider_pika") and level == 0:
        asked.add(name)
        asked.update(f"{name}.{part}" for part in fromlist or ())
    return module
builtins.__import__ = noting
exec(sys.argv[1])
builtins.__import__ = really
print("loaded:" + json.dumps([sorted(sys.modules), sorted(asked)]))
"""


@cache
def parsed(dag_file: str) -> tuple[set[str], set[str]]:
    """Return the modules that are loaded once a Dag file is parsed, and those that ours asked for."""
    done = subprocess.run([sys.executable, "-c", RUN, dag_file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded, asked = json.loads(done.stdout.split("loaded:")[1])
    return set(loaded), set(asked)


def brought_by_us() -> set[str]:
    return parsed(SDK + OURS)[0] - parsed(SDK)[0]


def below(modules: set[str], *roots: str) -> set[str]:
    return {name for name in modules if any(name == root or name.startswith(f"{root}.") for root in roots)}


def test_a_dag_file_brings_no_package_that_airflow_has_not_loaded_itself() -> None:
    roots = {name.partition(".")[0] for name in brought_by_us()} - set(sys.stdlib_module_names)
    assert roots <= {"airflow", "airflow_provider_pika"}


def test_a_dag_file_brings_nothing_of_airflow_that_only_a_running_task_needs() -> None:
    assert not below(brought_by_us(), "airflow.triggers", "airflow.models", "airflow.api_fastapi")
    assert not below(brought_by_us(), "airflow.sdk.execution_time", "airflow.sdk.definitions.connection")


@pytest.mark.parametrize("root", ["asyncio", "fal_client", "httpx", "pydantic", "airflow.triggers", "airflow.models"])
def test_no_module_that_a_dag_file_imports_asks_for(root: str) -> None:
    assert not below(parsed(SDK + OURS)[1], root)


def test_a_dag_file_imports_only_what_checks_its_values() -> None:
    package = "airflow_provider_pika"
    assert below(brought_by_us(), f"{package}.fal") == {
        f"{package}.fal",
        f"{package}.fal.ids",
        f"{package}.fal.inputs",
    }
    assert below(brought_by_us(), f"{package}.hooks", f"{package}.triggers") == {f"{package}.hooks"}
