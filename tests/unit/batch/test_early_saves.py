"""What a batch saves as it goes, for how long, and what it tries again: pure."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG, ObjectStoragePath
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.batch.early_saves import BEFORE_THE_DEADLINE, SAVES_FOR, left_over, seconds_for
from airflow_provider_pika.batch.inputs import batch_inputs_of, check_paths
from airflow_provider_pika.batch.item import Item
from airflow_provider_pika.batch.progress import MOST_UNSAVED, Carried, Tally
from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from airflow_provider_pika.task.terms import BatchTerms
from airflow_provider_pika.transfers.batch_to_object_storage import PikaBatchToObjectStorageOperator
from tests.support.rendering import rendered

CARRIED = Carried(Tally(2, 0, 3, 5, 0.0, 0), 5000.0, "https://q", "d", unsaved=(4, 2))


@given(st.floats(0, 6000), st.floats(0, 6000), st.lists(st.integers(0, 9), max_size=3))
def test_a_worker_saves_for_a_short_time_and_never_up_to_the_deadline(
    now: float, saves_from: float, unsaved: list[int]
) -> None:
    seconds = seconds_for(replace(CARRIED, unsaved=tuple(unsaved), saves_from=saves_from), now)
    assert 0 <= seconds <= SAVES_FOR
    assert seconds == 0 or now + seconds <= CARRIED.deadline - BEFORE_THE_DEADLINE + 1e-6
    assert seconds == 0 or (unsaved and now >= saves_from)
    if unsaved and saves_from <= now < CARRIED.deadline - BEFORE_THE_DEADLINE - SAVES_FOR:
        assert seconds == SAVES_FOR


def test_what_a_retry_may_help_is_tried_again_and_what_is_saved_or_refused_for_good_is_not() -> None:
    saved: Any = object()
    ended = {1: saved, 2: errors.StorageFailed("no"), 3: errors.VideoRejected("no"), 4: errors.PathTaken("no")}
    assert left_over([5, 1, 2, 3, 4], ended) == [5, 2]


def test_what_is_to_be_saved_is_carried_in_its_order_and_never_fills_the_triggers_row() -> None:
    carried = replace(CARRIED, saves_from=7.5)
    assert Carried.from_json(json.loads(json.dumps(carried.as_json()))) == carried
    many = replace(CARRIED, unsaved=tuple(range(20_000, 0, -1)))
    value = json.dumps(many.as_json())
    assert Carried.from_json(json.loads(value)).unsaved == many.unsaved[:MOST_UNSAVED]
    assert len(value) < 5000


def test_what_a_version_carried_that_saved_nothing_is_read() -> None:
    value = CARRIED.as_json()
    del value["unsaved"], value["saves_from"]
    assert Carried.from_json(value) == replace(CARRIED, unsaved=())


def test_terms_of_a_version_that_saved_nothing_hold_and_save_nothing() -> None:
    terms = BatchTerms(
        endpoint="e", pika_conn_id="c", cancel_on_kill=True, start_timeout=None, priority=None,
        on_unknown_submit="fail", on_clear="reuse", manifest_path=None, save_to="/clips/{index}.mp4",
    )  # fmt: skip
    assert BatchTerms.read(terms.carried()) == terms
    earlier = json.loads(terms.carried())
    del earlier["save_to"]
    assert BatchTerms.read(json.dumps(earlier)) == replace(terms, save_to=None)
    del earlier["manifest_path"]
    assert BatchTerms.read(json.dumps(earlier)) is None


def test_that_a_clip_is_saved_stays_on_record_and_an_earlier_record_says_no_word_of_it() -> None:
    item = Item(None, errors.InputRejected("no"), attempt=1)
    assert "saved" not in item.as_json()
    assert Item.from_json(replace(item, saved="5f2a").as_json()).saved == "5f2a"
    assert Item.from_json(item.as_json()).saved is None


@pytest.mark.parametrize("path", ["/clips/{index}.mp4", "/clips/{seed}.mp4", "s3://c@clips/{request_id}.mp4"])
def test_clips_are_told_apart_by_what_is_known_only_later(path: str) -> None:
    check_paths(path, batch_inputs_of(["a", "b", {"prompt": "c", "seed": 5}], None), None)


def test_a_clip_may_not_be_where_the_batchs_own_manifest_is() -> None:
    with pytest.raises(errors.InvalidInput, match="save_to="):
        check_paths("/clips/{index}.jsonl", batch_inputs_of(["a"], None), "/clips/0.jsonl")


def of_a_dag(**arguments: Any) -> PikaTextToVideoBatchOperator:
    return PikaTextToVideoBatchOperator(task_id="batch", **{"inputs": ["a fox", "a hen"], **arguments})


@pytest.mark.parametrize(
    "path",
    [
        "/clips/x.mp4", "clips/{index}.mp4", "/clips/../{index}.mp4", "/clips/{ds}.mp4", "s3://{name}/x.mp4", "", 5,
        "/clips/{{ run_id }}/{ds}.mp4", "/clips/{{ run_id }}/../{index}.mp4", "/clips/{index!r}.mp4",
        "/clips/{name}.mp4",
    ],
)  # fmt: skip
def test_a_wrong_path_fails_when_the_dag_is_parsed(path: Any) -> None:
    with pytest.raises(AirflowFailException, match="save_to=") as refused:
        of_a_dag(save_to=path)
    assert "No clip is lost" not in str(refused.value)  # there is none yet


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("s3://clips/{{ ds }}/{index:05d}.mp4", "s3://clips/2026-10-01/{index:05d}.mp4"),
        (ObjectStoragePath("s3://clips") / "{{ ds }}" / "{index}.mp4", "s3://clips/2026-10-01/{index}.mp4"),
        (Path("/clips/{{ ds }}/{index}.mp4"), "/clips/2026-10-01/{index}.mp4"),
    ],
    ids=str,
)
def test_both_operators_make_the_same_of_a_path(given: Any, path: str) -> None:
    with DAG("clips"):
        batch = rendered(of_a_dag(save_to=given))
        save = rendered(PikaBatchToObjectStorageOperator(task_id="save", batch={"clips": []}, path=given))
    assert batch.save_to == save.path == path
