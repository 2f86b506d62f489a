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

DECORATED = """
from airflow_provider_pika.decorators.pika import pika_text_to_video_task
@pika_text_to_video_task(resolution="480p", wait_for_completion=True)
def clip(subject):
    return {"prompt": f"{subject} in fresh snow"}
with DAG("pika"):
    clip("a fox")
    clip.override(task_id="many").expand(subject=["a fox", "an owl"])
"""

#: Runs Airflow's own part, and each Dag file in a fork of that process. It notes what a Dag file loads, and what our
#: own modules ask for, whether or not Airflow has it loaded already.
RUN = """
import builtins, json, os, sys
really = builtins.__import__
def noting(name, globals=None, locals=None, fromlist=(), level=0):
    module = really(name, globals, locals, fromlist, level)
    if str((globals or {}).get("__name__")).startswith("airflow_provider_pika") and level == 0:
        asked.add(name)
        asked.update(f"{name}.{part}" for part in fromlist or ())
    return module
exec(sys.argv[1])
before = set(sys.modules)
for dag_file in sys.argv[2:]:
    if pid := os.fork():
        status = os.waitpid(pid, 0)[1]
        if status:
            sys.exit(f"{status}: {dag_file}")
        continue
    asked = set()
    builtins.__import__ = noting
    exec(dag_file)
    builtins.__import__ = really
    print("parsed:" + json.dumps([sorted(set(sys.modules) - before), sorted(asked)]), flush=True)
    sys.exit()
"""


@cache
def parsed() -> dict[str, tuple[set[str], set[str]]]:
    """Return the modules that a Dag file brings over Airflow's own, and those that ours asked for, by Dag file."""
    files = (OURS, DECORATED)
    done = subprocess.run([sys.executable, "-c", RUN, SDK, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line.split("parsed:")[1]) for line in done.stdout.splitlines() if line.startswith("parsed:")]
    return {file: (set(brought), set(asked)) for file, (brought, asked) in zip(files, told, strict=True)}


def below(modules: set[str], *roots: str) -> set[str]:
    return {name for name in modules if any(name == root or name.startswith(f"{root}.") for root in roots)}


def test_a_dag_file_brings_no_package_that_airflow_has_not_loaded_itself() -> None:
    roots = {name.partition(".")[0] for name in parsed()[OURS][0]} - set(sys.stdlib_module_names)
    assert roots <= {"airflow", "airflow_provider_pika"}


def test_a_dag_file_brings_nothing_of_airflow_that_only_a_running_task_needs() -> None:
    assert not below(parsed()[OURS][0], "airflow.triggers", "airflow.models", "airflow.api_fastapi")
    assert not below(parsed()[OURS][0], "airflow.sdk.execution_time", "airflow.sdk.definitions.connection")


@pytest.mark.parametrize("root", ["asyncio", "fal_client", "httpx", "pydantic", "airflow.triggers", "airflow.models"])
def test_no_module_that_a_dag_file_imports_asks_for(root: str) -> None:
    assert not below(parsed()[OURS][1], root)


def test_a_dag_file_imports_only_what_checks_its_values() -> None:
    package = "airflow_provider_pika"
    assert below(parsed()[OURS][0], f"{package}.fal") == {
        f"{package}.fal",
        f"{package}.fal.ids",
        f"{package}.fal.inputs",
        f"{package}.fal.tags",
    }
    assert below(parsed()[OURS][0], f"{package}.hooks", f"{package}.triggers") == {f"{package}.hooks"}


def test_a_dag_file_pays_for_the_decorator_no_more_than_for_the_operator() -> None:
    package = "airflow_provider_pika"
    brought, asked = parsed()[DECORATED]
    assert not below(brought, "fal_client", "httpx", "pydantic", "airflow.triggers", "airflow.models")
    assert below(brought, f"{package}.fal") == below(parsed()[OURS][0], f"{package}.fal")
    assert not below(asked, "asyncio", "fal_client", "httpx", "pydantic", "airflow.triggers", "airflow.models")
