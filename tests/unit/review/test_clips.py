"""Which clips a review shows, of what saving tasks return."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from airflow.sdk import DAG, task

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.review.clips import MOST, clips_of, known_number
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator


def clip(name: str, **more: Any) -> dict[str, Any]:
    return {"path": f"/clips/{name}.mp4", "sha256": hashlib.sha256(name.encode()).hexdigest(), "bytes": 9, **more}


A, B, C = clip("a"), clip("b"), clip("c")
FAILED = {"index": 1, "state": "failed", "path": None, "sha256": None}
LINES = [{**A, "index": 0, "state": "saved"}, FAILED, {**C, "index": 2, "state": "saved"}]
BATCH = {"total": 3, "saved": 2, "clips": LINES, "manifest": None}


def no_manifest(path: str) -> Iterable[Mapping[str, Any]]:
    raise AssertionError(path)


def of_manifest(path: str) -> Iterable[Mapping[str, Any]]:
    assert path == "s3://clips/run.jsonl"
    return iter(LINES)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        pytest.param(A, "a", id="one clip"),
        pytest.param([A, B], "ab", id="a mapped task's"),
        pytest.param((B, A), "ba", id="in their order"),
        pytest.param([A, None, B], "ab", id="one task was skipped"),
        pytest.param([[A, B], C], "abc", id="several tasks'"),
        pytest.param(json.dumps([A, B]), "ab", id="a template's text"),
        pytest.param([json.dumps(A), B], "ab", id="a text in a list"),
        pytest.param(BATCH, "ac", id="a batch's"),
        pytest.param([BATCH, B], "acb", id="a batch's and a clip"),
    ],
)
def test_clips_are_shown_in_the_order_in_which_they_were_saved(value: Any, names: str) -> None:
    assert [clip["path"][7] for clip in clips_of(value, no_manifest)] == list(names)


def test_the_clips_of_a_large_batch_are_read_of_its_manifest() -> None:
    batch = {**BATCH, "clips": None, "manifest": "s3://clips/run.jsonl"}
    assert [clip["index"] for clip in clips_of(batch, of_manifest)] == [0, 2]


@pytest.mark.parametrize(
    "value",
    [
        "s3://clips/a.mp4",
        7,
        {"url": "https://v3.fal.media/a.mp4", "request_id": "r-1"},
        {**A, "sha256": "abc"},
        {**A, "path": ""},
        [A, "text"],
        None,
        [],
        [None],
        {**BATCH, "clips": [FAILED]},
        [A] * (MOST + 1),
    ],
    ids=["path", "number", "video", "no hash", "no path", "text", "nothing", "empty", "skipped", "failed", "too many"],
)
def test_what_is_no_saved_clip_is_refused_by_name(value: Any) -> None:
    with pytest.raises(InvalidInput, match="clips") as refused:
        clips_of(value, no_manifest)
    assert "not sent to fal" not in str(refused.value)


def test_how_many_clips_there_are_is_known_when_a_dag_is_parsed_where_its_file_says_so() -> None:
    @task
    def videos() -> list[dict[str, Any]]:
        return []

    with DAG("known"):
        one = PikaVideoToObjectStorageOperator(task_id="one", video=A, path="/clips/{{ run_id }}.mp4")
        mapped = PikaVideoToObjectStorageOperator.partial(task_id="mapped", path="/clips/{{ run_id }}.mp4")
        several = mapped.expand(video=videos())
        assert known_number(one.output) == 1
        assert known_number([one.output, A, A]) == 3
        assert known_number(several.output) is None
        assert known_number([one.output, several.output]) is None
        assert known_number(videos()) is None
        assert known_number("{{ ti.xcom_pull('one') }}") is None
