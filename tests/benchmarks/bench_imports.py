"""What a Dag file pays for the import of an operator and a sensor: ours, and those of other providers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from statistics import median
from typing import Any

ROUNDS = 7

#: What every Dag file has.
SDK = "airflow.sdk"


@dataclass(frozen=True)
class Shape:
    """A Dag file: its imports, and the tasks that it makes of them."""

    imports: str
    tasks: str


SHAPES = {
    SDK: Shape("", "first = BaseOperator(task_id='first')\nfirst.output >> BaseOperator(task_id='second')"),
    "pika": Shape(
        "from airflow_provider_pika.operators.pika import PikaTextToVideoOperator\n"
        "from airflow_provider_pika.sensors.pika import PikaVideoSensor",
        "first = PikaTextToVideoOperator(task_id='first', prompt='a fox', duration=5)\n"
        "PikaVideoSensor(task_id='second', request_id=first.output)",
    ),
    "a plugin of Airflow's, empty": Shape(
        "from airflow.providers.common.compat.sdk import AirflowPlugin, conf", "pass"
    ),
    "pika's plugin": Shape("import airflow_provider_pika.plugins.pika", "pass"),
    "openai (it has no sensor)": Shape(
        "from airflow.providers.openai.operators.openai import OpenAIEmbeddingOperator, OpenAITriggerBatchOperator",
        "first = OpenAIEmbeddingOperator(task_id='first', conn_id='openai_default', input_text='a fox')\n"
        "OpenAITriggerBatchOperator(task_id='second', file_id=first.output, endpoint='/v1/embeddings')",
    ),
    "dbt-cloud": Shape(
        "from airflow.providers.dbt.cloud.operators.dbt import DbtCloudRunJobOperator\n"
        "from airflow.providers.dbt.cloud.sensors.dbt import DbtCloudJobRunSensor",
        "first = DbtCloudRunJobOperator(task_id='first', job_id=1)\n"
        "DbtCloudJobRunSensor(task_id='second', run_id=first.output)",
    ),
    "databricks": Shape(
        "from airflow.providers.databricks.operators.databricks import DatabricksSubmitRunOperator\n"
        "from airflow.providers.databricks.sensors.databricks import DatabricksSQLStatementsSensor",
        "first = DatabricksSubmitRunOperator(task_id='first', notebook_task={'notebook_path': '/a'})\n"
        "DatabricksSQLStatementsSensor(task_id='second', warehouse_id='w-1', statement_id=first.output)",
    ),
}

#: Runs a Dag file, and says after the imports that each has, after its own, and at its end, what it has cost so far.
PROGRAM = """
import json, sys, time
marks = []
for part in sys.argv[1:]:
    exec(part)
    marks.append([time.process_time() * 1000, sorted(sys.modules)])
print("measured:" + json.dumps(marks))
"""

#: What is measured, in the order in which a Dag file comes to it.
SIZES = ("operator + sensor, imported", "operator + sensor, in a Dag")


@dataclass
class Cost:
    """What a shape has cost at one point, over all rounds, in milliseconds of CPU.

    :param own: of it, what came after the imports that each Dag file has. They take seconds, and differ by more than
        what is looked for.
    """

    cpu: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    modules: set[str] = field(default_factory=set)


def run() -> dict[str, dict[str, dict[str, Any]]]:
    """Measure all shapes in turn, each in a process of its own, with a base line in every round.

    Return shape -> size -> CPU milliseconds (median) and modules, in all and over ``airflow.sdk`` alone.
    """
    costs = {shape: {size: Cost() for size in SIZES} for shape in SHAPES}
    with tempfile.TemporaryDirectory(prefix="airflow-home-") as home:
        _parse(SHAPES[SDK], home)  # the first one writes Airflow's configuration
        for _ in range(ROUNDS):
            for name, shape in SHAPES.items():
                (before, _), *marks = _parse(shape, home)
                for size, (cpu, modules) in zip(SIZES, marks, strict=True):
                    costs[name][size].cpu.append(cpu)
                    costs[name][size].own.append(cpu - before)
                    costs[name][size].modules.update(modules)
    return {
        name: {size: _row(cost, costs[SDK][size]) for size, cost in by_size.items()} for name, by_size in costs.items()
    }


def _row(cost: Cost, base: Cost) -> dict[str, Any]:
    return {
        "cpu_ms_over_sdk": round(median(mine - its for mine, its in zip(cost.own, base.own, strict=True)), 1),
        "modules_over_sdk": len(cost.modules - base.modules),
        "cpu_ms": round(median(cost.cpu), 1),
        "modules": len(cost.modules),
    }


def _parse(shape: Shape, home: str) -> list[tuple[float, list[str]]]:
    each = "from airflow.sdk import DAG, BaseOperator, task"
    tasks = "with DAG('clips'):\n" + "\n".join(f"    {line}" for line in shape.tasks.splitlines())
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, each, shape.imports, tasks],
        env={**kept, "AIRFLOW_HOME": home},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"This Dag file cannot be parsed:\n{shape.imports}\n{tasks}\n{done.stderr}")
    marks: list[tuple[float, list[str]]] = json.loads(done.stdout.split("measured:")[1])
    return marks


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
