"""What ``PikaBatchToObjectStorageOperator`` refuses when the Dag is parsed, and what waits until it runs."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG

from airflow_provider_pika.media.download import Limits
from airflow_provider_pika.media.url_policy import Trust
from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from airflow_provider_pika.saving.batch import BatchSave, Terms
from airflow_provider_pika.saving.clip_paths import ClipPaths
from airflow_provider_pika.saving.object_store import Place
from airflow_provider_pika.transfers.batch_to_object_storage import PikaBatchToObjectStorageOperator
from tests.support.rendering import rendered


def saver(**arguments: Any) -> PikaBatchToObjectStorageOperator:
    options = {"task_id": "save", "batch": {"clips": []}, "path": "/clips/{index}.mp4", **arguments}
    return PikaBatchToObjectStorageOperator(**options)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("path", "/clips/x.mp4"),
        ("path", "/clips/{{ run_id }}/{ds}.mp4"),
        ("path", "/clips/{{ run_id }}/../{index}.mp4"),
        ("path", "clips/{index}.mp4"),
        ("path", None),
        ("path", 5),
        ("at_once", 0),
        ("at_once", 65),
        ("at_once", True),
        ("at_once", "16"),
        ("fail_on", 1),
        ("fail_on", "some"),
        ("max_bytes", 0),
        ("max_bytes", 1.5),
        ("manifest_path", "x.jsonl"),
        ("manifest_path", ""),
        ("manifest_path", "/clips/../x.jsonl"),
    ],
)
def test_a_wrong_argument_fails_when_the_dag_is_parsed(name: str, value: Any) -> None:
    with pytest.raises(AirflowFailException, match=f"{name}="):
        saver(**{name: value})


@pytest.mark.parametrize("name", ["timeout", "stall_timeout"])
def test_a_time_of_nothing_fails_when_the_dag_is_parsed(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}="):
        saver(**{name: 0})


def test_the_task_in_place_of_its_output_fails_when_the_dag_is_parsed() -> None:
    with DAG("clips"):
        batch = PikaTextToVideoBatchOperator(task_id="batch", inputs=["a fox"])
        with pytest.raises(AirflowFailException, match=r"batch=batch is not allowed.*output"):
            saver(batch=batch)
        saver(batch=batch.output, task_id="right")


def test_jinja_renders_its_part_of_the_path_and_leaves_the_fields() -> None:
    with DAG("clips"):
        task = rendered(saver(path="s3://clips/{{ ds }}/{index:05d}-{name}.mp4"))
    assert task.path == "s3://clips/2026-10-01/{index:05d}-{name}.mp4"


def test_a_batch_of_any_length_takes_little_memory_before_it_is_saved(tmp_path: Path) -> None:
    def no_word(*_: object) -> None: ...

    lines = (
        {
            "index": n,
            "state": "done",
            "request_id": f"r-{n}",
            "url": "https://v3.fal.media/x.mp4",
            "name": f"sku-{n}",
            "prompt": f"{n} " * 200,
            "input": {"prompt": f"{n} " * 200},
        }
        for n in range(5000)
    )
    limits = Limits(60, 5, 1 << 20)
    terms = Terms(
        conn_id=None,
        writer="",
        trust=Trust.of(None),
        account=None,
        limits=limits,
        overwrite=False,
        must_fit=True,
        poster=False,
        at_once=4,
        saved=dict,
        tell=no_word,
        warn=no_word,
        debug=no_word,
        check=no_word,
    )
    with BatchSave(terms, ClipPaths(f"{tmp_path}/{{name}}.mp4")) as saving:
        Place(f"{tmp_path}/x.mp4")  # what is imported is
        tracemalloc.start()
        saving.plan(lines)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert saving.totals.clips == 5000
    assert peak < 6_000_000  # of 11 MB of lines; Airflow 3.1 keeps 1 kB of a path until it is collected
