"""A clip for each row of a table, named after its row, in a folder of its own for each run.

The grid shows each row's name. A row that fails holds no other row back.
"""

from __future__ import annotations

import csv
from pathlib import Path

from airflow.sdk import Param, dag, task, task_group
from clips import FOLDER

from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator


@task
def rows(params) -> list[dict[str, str]]:
    """Read the table. Each row has a name, a prompt and a duration."""
    # in a bucket: ObjectStoragePath("s3://connection@bucket/table.csv")
    table = Path(__file__).parent / params["table"]
    with table.open(newline="", encoding="utf-8-sig") as file:  # as Excel writes it, too
        return list(csv.DictReader(file))


@task
def paths(rows, params, run_id) -> list[str]:
    """Return a path for each row. Two rows of one name fail here, before anything is paid for."""
    names = [row["name"] for row in rows]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"These names stand in more than one row: {sorted(twice)}")
    folder = f"{params['folder']}/{run_id.replace(':', '-')}"
    return [f"{folder}/{name}.mp4" for name in names]


@task.pika_text_to_video(
    resolution="480p",
    wait_for_completion=True,
    timeout=30 * 60,
    retries=3,
    map_index_template="{{ task.op_kwargs['name'] }}",
)
def video(name, prompt, duration) -> dict[str, str]:
    return {"prompt": prompt, "duration": duration}


@task_group
def clip(name, prompt, duration, path):
    """Make and save the clip of one row."""
    PikaVideoToObjectStorageOperator(
        task_id="save",
        video=video(name=name, prompt=prompt, duration=duration),
        path=path,
        retries=3,
        map_index_template="{{ task.path.rpartition('/')[2] }}",
    )


@dag(
    schedule=None,
    catchup=False,
    tags=["pika"],
    params={"table": Param("products.csv", type="string", description="A CSV file"), "folder": FOLDER},
)
def example_pika_table_rows():
    table = rows()
    clip.expand_kwargs(table.zip(paths(table)).map(lambda pair: {**pair[0], "path": pair[1]}))


example_pika_table_rows()
