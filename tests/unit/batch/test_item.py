from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.batch.item import (
    KEPT_FOR,
    MOST_IN_AN_EVENT,
    TOP_UP_AFTER,
    TOP_UP_EVERY,
    Item,
    is_failure,
    is_of_one_clip,
    is_time_to_top_up,
    slots_of,
)
from airflow_provider_pika.batch.manifest import line_of
from airflow_provider_pika.batch.progress import Carried, Tally, ids_by_name
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.models import Video
from airflow_provider_pika.fal.recovery import Wanted
from tests.support.records import submitted_for

WANTED = Wanted(TEXT_TO_VIDEO, {"prompt": "a fox"}, "https://queue.fal.run", generation=3, attempt=2, on_clear="reuse")
RECORD = submitted_for(WANTED)
VIDEO = Video(url="https://v3b.fal.media/a.mp4", request_id="r-1", endpoint=TEXT_TO_VIDEO)
FAILED = errors.InputRejected("no", status_code=422)
TALLY = Tally(done=1, failed=1, in_flight=2, queued=6, began=1000.0, at_first=0)


@pytest.mark.parametrize("units", [None, 0.0, 5.0])
def test_what_fal_charges_for_is_kept_and_stands_in_the_line(units: float | None) -> None:
    video = VIDEO.model_copy(update={"billable_units": units})
    kept = Item.from_json(json.loads(json.dumps(Item(RECORD, video, attempt=1).as_json())))
    assert kept.outcome == video
    assert line_of(0, kept)["billable_units"] == units


def test_what_has_its_video_is_left_alone_unless_a_person_wants_all_anew() -> None:
    done = Item(RECORD, VIDEO, attempt=1)
    assert not done.is_to_be_dealt_with(WANTED)
    assert not done.is_to_be_dealt_with(replace(WANTED, generation=4))
    assert done.is_to_be_dealt_with(replace(WANTED, generation=4, on_clear="resubmit"))


def test_what_is_missing_or_failed_or_under_way_is_dealt_with_once_in_each_attempt() -> None:
    for item in (Item(), Item(RECORD, attempt=1), Item(RECORD, FAILED, attempt=1)):
        assert item.is_to_be_dealt_with(WANTED)
        assert item.state_for(WANTED) == "queued"
        assert not replace(item, attempt=2).is_to_be_dealt_with(WANTED)
    assert Item(RECORD, attempt=2).state_for(WANTED) == "in flight"


COUNTS = st.integers(min_value=0, max_value=20_000)


SECONDS = st.floats(min_value=0, max_value=1e6)


@given(COUNTS, COUNTS, COUNTS, st.integers(min_value=1, max_value=10_000), SECONDS, SECONDS)
def test_a_worker_is_started_only_for_something_and_never_kept_waiting_for_long(
    finished: int, waiting: int, queued: int, max_in_flight: int, oldest: float, watched: float
) -> None:
    now = is_time_to_top_up(finished, waiting, queued, max_in_flight, oldest, watched)
    if not waiting:
        assert now
    elif not finished:
        assert not now
    elif oldest >= KEPT_FOR or finished >= MOST_IN_AN_EVENT or (queued and oldest >= TOP_UP_AFTER):
        assert now
    elif not queued:
        assert not now
    else:
        assert now == (finished >= max_in_flight / 4 and watched >= TOP_UP_EVERY)


def test_the_time_left_follows_from_the_pace_of_this_attempt() -> None:
    tally = Tally(done=50, failed=10, in_flight=20, queued=120, began=1000.0, at_first=30)
    assert tally.in_words(1300.0) == (
        "50 done, 10 failed, 20 in flight, 120 queued of 200; about 23 minutes 20 seconds left"
    )
    assert replace(tally, at_first=60).in_words(1300.0).endswith("of 200")
    assert TALLY.moved("in flight", "done").done == 2


CARRIED = Carried(TALLY, 5000.0, "https://q", "d", False, ("r-3", "r-7"), ("r-9",), 8, ("r-1",))


def test_what_is_carried_survives_the_way_through_airflows_database() -> None:
    carried = replace(CARRIED, stopped=errors.ExhaustedBalance("spent"))
    again = Carried.from_json(json.loads(json.dumps(carried.as_json())))
    assert replace(again, stopped=None) == CARRIED
    assert isinstance(again.stopped, errors.ExhaustedBalance)
    assert not again.may_submit(1000.0)
    assert replace(again, stopped=None).may_submit(1000.0)
    assert not replace(again, stopped=None).may_submit(5000.0)


def test_a_thousand_requests_take_some_40_kb_of_the_triggers_row() -> None:
    ids = tuple(f"019e1951-c778-7120-9c82-{n:012d}" for n in range(1000))
    stopped = errors.ExhaustedBalance("spent " * 3000)
    for carried in (replace(CARRIED, in_flight=ids), replace(CARRIED, in_flight=ids[:500], gone=ids[500:])):
        assert len(json.dumps(replace(carried, stopped=stopped).as_json())) < 42_000


def test_what_an_earlier_version_carried_is_read_and_its_items_are_looked_for_anew() -> None:
    value = CARRIED.as_json() | {"slots": None, "in_flight": [[3, "r-3"], [7, "r-7"]], "late": [1]}
    del value["in_place"], value["gone"]
    again = Carried.from_json(json.loads(json.dumps(value)))
    assert again.in_flight == ("r-3", "r-7")
    assert not again.in_place
    assert ids_by_name(value["in_flight"]) == {"3": "r-3", "7": "r-7"}


def test_a_place_is_waited_for_only_where_something_may_still_be_submitted_in_it() -> None:
    only_gone = replace(CARRIED, in_flight=())
    assert only_gone.waits(1000.0)
    assert not only_gone.waits(5000.0)
    assert not replace(only_gone, tally=replace(TALLY, queued=0)).waits(1000.0)
    assert replace(CARRIED, tally=replace(TALLY, queued=0)).waits(1000.0)


def of(fingerprint: str, state: str = "in flight") -> Item:
    record = RECORD.model_copy(update={"fingerprint": fingerprint})
    outcomes: dict[str, Video | errors.PikaError] = {"done": VIDEO, "failed": FAILED}
    return Item(record if state != "queued" else record.refused(), outcomes.get(state), attempt=1)


def test_an_input_finds_its_item_wherever_it_has_moved_and_takes_nobody_elses_slot() -> None:
    kept = {0: of("a"), 1: of("b"), 3: of("c")}
    assert slots_of(["a", "b", "x", "c"], kept) == [0, 1, 2, 3]
    assert slots_of(["x", "a", "b", "c"], kept) == [4, 0, 1, 3]  # slot 0 is taken
    assert slots_of(["c", "b", "a"], kept) == [3, 1, 0]
    assert slots_of(["y"], kept) == [4]
    assert slots_of(["a", "a", "a"], kept) == [0, 4, 2]


def test_of_equal_items_those_are_wanted_first_that_have_come_furthest() -> None:
    kept = {0: of("a", "failed"), 1: of("a", "queued"), 2: of("a"), 3: of("a", "done")}
    assert slots_of(["a"], kept) == [3]
    assert slots_of(["a", "a"], kept) == [2, 3]
    assert slots_of(["a"] * 4, kept) == [0, 1, 2, 3]


FINGERPRINTS = st.lists(st.sampled_from("abc"), min_size=1, max_size=8)


@given(FINGERPRINTS, st.dictionaries(st.integers(0, 12), st.sampled_from("abc")))
def test_every_input_has_a_slot_of_its_own_and_no_item_is_left_where_an_equal_input_has_none(
    wanted: list[str], fingerprints: dict[int, str]
) -> None:
    kept = {slot: of(fingerprint) for slot, fingerprint in fingerprints.items()}
    slots = slots_of(wanted, kept)
    assert len(set(slots)) == len(slots) == len(wanted)
    assert all(slot not in kept or fingerprints[slot] == wanted[place] for place, slot in enumerate(slots))
    for fingerprint, number in Counter(wanted).items():
        found = sum(fingerprints.get(slot) == fingerprint for slot in slots)
        assert found == min(number, Counter(fingerprints.values())[fingerprint])
    new = {slot: of(wanted[place]) for place, slot in enumerate(slots)}
    assert slots_of(wanted, kept | new) == slots or len(set(wanted)) < len(wanted)


def test_what_the_next_clip_would_meet_too_is_no_failure_of_one_clip() -> None:
    of_one = {
        errors.InputRejected,
        errors.SubmitUnknown,
        errors.UnknownRequest,
        errors.StartTimeout,
        errors.UnknownStatus,
    }
    of_all = {
        errors.InvalidKey,
        errors.ExhaustedBalance,
        errors.RateLimited,
        errors.RecordUnavailable,
        errors.OtherQueue,
    }
    assert all(is_of_one_clip(error("x")) for error in of_one)
    assert not any(is_of_one_clip(error("x")) for error in of_all)


def test_a_share_is_what_may_fail_and_not_what_must() -> None:
    assert not is_failure(5, 100, 0.05)
    assert is_failure(6, 100, 0.05)
    assert is_failure(1, 100, 0)
    assert not is_failure(0, 100, 0)
    assert not is_failure(0, 100, "all")
