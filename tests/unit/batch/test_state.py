from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.batch.item import Item
from airflow_provider_pika.batch.state import PAGE, PAGES, BatchState
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.models import Video
from airflow_provider_pika.fal.record import Record
from airflow_provider_pika.fal.recovery import Wanted
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
    state.make_room(10_000)
    assert len(store.values) == 10_000 / PAGE + 1
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


@pytest.mark.parametrize(
    "error", [{"message": ["x"]}, {"message": {}}, [], 5, {"error": "BatchFailed", "message": [1]}, {"error": ["x"]}]
)
@pytest.mark.parametrize("attempt", [1, float("inf"), None, "x", [1]])
def test_an_item_that_cannot_be_read_is_said_to_be_so_whatever_is_wrong_with_it(error: object, attempt: object) -> None:
    store = StateStore()
    store.set("pika_batch_0000", {"common": {}, "items": {"0": {"error": error, "attempt": attempt}}})
    with pytest.raises(errors.RecordUnreadable):
        BatchState(store).read_all()


@pytest.mark.parametrize("number", ["x", -1, 1.5, [], {}])
def test_a_number_of_pages_that_cannot_be_read_is_never_taken_for_none(number: object) -> None:
    store = StateStore()
    store.set(PAGES, number)
    with pytest.raises(errors.RecordUnreadable):
        BatchState(store).read_all()


class CountingStore(StateStore):
    """Counts what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = self.writes = 0

    def get(self, key: str, default: Any = None) -> Any:
        self.reads += 1
        return super().get(key, default)

    def set(self, key: str, value: Any, **more: Any) -> None:
        self.writes += 1
        super().set(key, value, **more)


def filled(slots: list[int]) -> CountingStore:
    state = BatchState(store := CountingStore())
    for slot in slots:
        state[slot] = Item(record_of(slot), attempt=1)
    state.save_now()
    state.make_room(max(slots) + 1)
    store.reads = 0
    return store


def test_pages_are_read_to_their_recorded_end_over_those_that_are_empty() -> None:
    slots = [0, 1, 20 * PAGE, 90 * PAGE + 3]
    store = filled(slots)
    assert list(BatchState(store).read_all()) == slots
    assert store.reads == 1 + 91
    del store.values[PAGES]  # as earlier versions left it
    assert list(BatchState(store).read_all()) == slots


def test_a_new_task_of_a_few_inputs_reads_no_more_pages_than_they_need() -> None:
    state = BatchState(store := CountingStore())
    assert state.read_all(expected=3) == {}
    state.make_room(3)
    assert (store.reads, store.writes) == (3, 1)
    state.make_room(PAGE)
    assert store.writes == 1


def test_a_request_is_found_without_reading_all_that_there_is() -> None:
    state = BatchState(store := filled(list(range(100 * PAGE))))
    wanted = [99 * PAGE, 98 * PAGE + 1]
    assert (
        sorted(state.in_flight([str(record_of(slot).request_id) for slot in wanted], near=100 * PAGE)) == wanted[::-1]
    )
    assert store.reads == 3
    assert state.in_flight([str(record_of(7).request_id)], near=0) == [7]
    assert state.in_flight([str(record_of(90 * PAGE).request_id)], near=0) == [90 * PAGE]
    assert state.in_flight(["a stranger"], near=0) == []


def test_what_many_change_at_once_is_saved_at_once() -> None:
    async def change_all() -> None:
        async def change(index: int) -> None:
            state[index] = Item(record_of(index), attempt=1)
            await state.save()

        await asyncio.gather(*map(change, range(PAGE)))

    state = BatchState(store := CountingStore())
    asyncio.run(change_all())
    assert store.writes == 1
    assert BatchState(store)[PAGE - 1].record == record_of(PAGE - 1)
