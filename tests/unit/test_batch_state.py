from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.batch_state import PAGE, BatchState
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.batch import Item
from airflow_provider_pika.fal.models import Video
from airflow_provider_pika.fal.record import Record
from airflow_provider_pika.fal.resuming import Wanted
from tests.support.airflow import StateStore
from tests.support.records import submitted_for

RECORD = submitted_for(Wanted(TEXT_TO_VIDEO, {"prompt": "a fox"}, "https://queue.fal.run", generation=3, attempt=2))
VIDEO = Video(
    url="https://v3b.fal.media/files/b/0a1b2c3d/" + "x" * 120 + ".mp4",
    content_type="video/mp4",
    file_name="x" * 40 + ".mp4",
    file_size=123_456_789,
    request_id="019e1951-c778-7120-9c82-16efcf40ec82",
    endpoint=TEXT_TO_VIDEO,
    inference_time=126.701406955719,
)
FAILED = errors.InputRejected("no " * 300, request_id="019e1951-c778-7120-9c82-16efcf40ec82", status_code=422)


def test_ten_thousand_items_fit_into_values_of_airflows_task_state() -> None:
    store = StateStore()
    state = BatchState(store)
    for index in range(10_000):
        outcome = VIDEO if index % 2 else FAILED
        state[index] = Item(record_of(index)).ended(outcome, 2)
    state.save_now()
    assert len(store.values) == 10_000 / PAGE
    assert max(len(value.encode()) for value in store.values.values()) < 65_535
    kept = BatchState(store)
    assert kept[9_999].outcome == VIDEO
    assert kept[9_998].record == record_of(9_998)
    assert kept[10_000] == Item()


def record_of(index: int) -> Record:
    return RECORD.accepted(f"019e1951-c778-7120-9c82-{index:012d}", seed=index, fingerprint=f"{index:064d}")


def test_a_page_has_the_records_of_several_attempts_and_of_several_queues() -> None:
    state = BatchState(store := StateStore())
    for index in range(6):
        record = RECORD.accepted(
            "r", attempt=index % 3, queue_url=f"https://{index % 2}.example", replaced=["old"] * index
        )
        state[index] = Item(record, attempt=index)
    state[6] = Item(outcome=FAILED, attempt=1)
    state.save_now()
    kept = BatchState(store)
    assert [kept[index] for index in range(6)] == [state[index] for index in range(6)]
    assert isinstance(kept[6].outcome, errors.InputRejected)


NEWER: dict[str, Any] = {"common": {}, "items": {"0": {"attempt": 1, "record": {"version": 2}}}}
HALF: dict[str, Any] = {"common": {}, "items": {"0": {}}}


@pytest.mark.parametrize("value", [{}, [], "x", HALF, {"common": {}, "items": {"x": 1}}, NEWER])
def test_a_page_that_cannot_be_read_is_never_taken_for_an_empty_one(value: object) -> None:
    store = StateStore()
    store.set("pika_batch_0000", value)
    with pytest.raises(errors.RecordUnreadable):
        BatchState(store)[0]


def test_what_many_change_at_once_is_saved_at_once() -> None:
    class CountingStore(StateStore):
        writes = 0

        def set(self, key: str, value: Any, **more: Any) -> None:
            self.writes += 1
            super().set(key, value, **more)

    async def change_all() -> None:
        async def change(index: int) -> None:
            state[index] = Item(record_of(index), attempt=1)
            await state.save()

        await asyncio.gather(*map(change, range(PAGE)))

    state = BatchState(store := CountingStore())
    asyncio.run(change_all())
    assert store.writes == 1
    assert BatchState(store)[PAGE - 1].record == record_of(PAGE - 1)
