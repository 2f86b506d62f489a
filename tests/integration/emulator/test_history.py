"""The request history, where a submission whose reply was lost can be found (fal-protocol.md 6.4)."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.emulator.talk import ENDPOINT, Caller
from tests.support.emulator import RunningEmulator

PATH = "/v1/models/requests/by-endpoint"
OLDER = "fal-ai/pika/v2.1/text-to-video"


def history(caller: Caller, **query: Any) -> dict[str, Any]:
    reply = caller.http.get(PATH, params={"endpoint_id": ENDPOINT, **query})
    assert reply.status_code == 200, reply.text
    page: dict[str, Any] = reply.json()
    return page


def ids(page: dict[str, Any]) -> list[str]:
    return [item["request_id"] for item in page["items"]]


def now() -> str:
    return datetime.now(UTC).isoformat()


def test_a_lost_submission_is_found_by_what_it_asked_for(caller: Caller) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        caller.post("a cat [[lost_reply]]", seed=987654321)
    deadline = time.monotonic() + 10
    found: list[dict[str, Any]] = []
    while not found and time.monotonic() < deadline:
        items = history(caller, expand="payloads")["items"]
        found = [item for item in items if (item.get("json_input") or {}).get("seed") == 987654321]
    assert caller.outcome(found[0]["request_id"]).status_code == 200


def test_a_finished_request_has_its_times_code_and_duration(caller: Caller, finished: str) -> None:
    (item,) = history(caller, request_id=finished)["items"]
    assert (item["request_id"], item["endpoint_id"], item["status_code"]) == (finished, ENDPOINT, 200)
    assert item["sent_at"] <= item["started_at"] <= item["ended_at"]
    assert item["duration"] > 0.05
    assert "json_input" not in item


def test_payloads_come_when_asked_for(caller: Caller) -> None:
    request_id = caller.submit("a cat", seed=3)
    output = caller.outcome(request_id).json()
    (item,) = history(caller, request_id=request_id, expand="payloads")["items"]
    assert (item["json_input"]["seed"], item["json_output"]) == (3, output)


def test_payloads_are_not_kept_for_a_caller_who_forbids_it(caller: Caller) -> None:
    request_id = caller.submit("a secret", headers={"X-Fal-Store-IO": "0"})
    assert caller.outcome(request_id).status_code == 200
    (item,) = history(caller, request_id=request_id, expand="payloads")["items"]
    assert "json_input" not in item


def test_a_running_request_is_listed_and_a_queued_one_is_not(caller: Caller, busy: list[str]) -> None:
    queued = caller.submit("a cat")
    listed = ids(history(caller))
    assert set(busy) <= set(listed)
    assert queued not in listed
    (item,) = history(caller, request_id=busy[0])["items"]
    assert (item["ended_at"], item["status_code"], item["duration"]) == (None, None, None)


@pytest.mark.parametrize(
    ("prompt", "status"),
    [("a cat", "success"), ("a cat [[content_policy_violation]]", "user_error"), ("a cat [[runner_error]]", "error")],
)
def test_outcomes_are_of_three_kinds(caller: Caller, prompt: str, status: str) -> None:
    request_id = caller.submit(prompt)
    caller.until(request_id, "COMPLETED")
    listed = {
        kind: ids(history(caller, request_id=request_id, status=kind)) for kind in ("success", "user_error", "error")
    }
    assert [kind for kind, found in listed.items() if found] == [status]


def test_pages_follow_each_other_newest_first(caller: Caller) -> None:
    start = now()
    made = [caller.submit(str(number), endpoint=OLDER, resolution="720p", duration=1) for number in range(5)]
    for request_id in made:
        caller.until(request_id, "COMPLETED")
    pages = [history(caller, endpoint_id=OLDER, start=start, limit=2)]
    while pages[-1]["has_more"]:
        pages.append(history(caller, endpoint_id=OLDER, start=start, limit=2, cursor=pages[-1]["next_cursor"]))
    assert [len(page["items"]) for page in pages] == [2, 2, 1]
    assert pages[-1]["next_cursor"] is None
    ends = [item["ended_at"] for page in pages for item in page["items"]]
    assert ends == sorted(ends, reverse=True)
    assert sorted(request_id for page in pages for request_id in ids(page)) == sorted(made)


def test_a_span_of_time_excludes_its_end(caller: Caller) -> None:
    before = now()
    request_id = caller.submit("a cat")
    after = now()
    caller.until(request_id, "COMPLETED")
    assert request_id in ids(history(caller, start=before, end=after))
    assert request_id not in ids(history(caller, end=before))
    assert request_id not in ids(history(caller, start=after))


def ended_days_ago(emulator: RunningEmulator, request_id: str, days: float) -> None:
    """Put a finished request into the past, in the emulator's own file."""
    with contextlib.closing(sqlite3.connect(emulator.data / "emulator.sqlite3")) as database, database:
        past = "sent_at = sent_at - :s, started_at = started_at - :s, ended_at = ended_at - :s"
        database.execute(f"UPDATE requests SET {past} WHERE id = :id", {"s": days * 86400, "id": request_id})


def test_without_a_start_a_search_goes_back_a_day_and_one_by_id_ninety(tmp_path: Path) -> None:
    with RunningEmulator.start(tmp_path, generation_time="0.1", extra=["--render", "off"]) as emulator:
        caller = Caller(emulator)
        request_id = caller.submit("a cat")
        caller.until(request_id, "COMPLETED")
        assert ids(history(caller)) == ids(history(caller, request_id=request_id)) == [request_id]
        ended_days_ago(emulator, request_id, 1.1)
        assert ids(history(caller)) == []
        assert ids(history(caller, request_id=request_id)) == [request_id]
        ended_days_ago(emulator, request_id, 88.8)
        assert ids(history(caller, request_id=request_id)) == [request_id]
        ended_days_ago(emulator, request_id, 0.2)
        assert ids(history(caller, request_id=request_id)) == []
        assert ids(history(caller, start="2020-01-01")) == [request_id]


def test_payloads_are_gone_after_thirty_days_and_the_row_is_not(tmp_path: Path) -> None:
    with RunningEmulator.start(tmp_path, generation_time="0.1", extra=["--render", "off"]) as emulator:
        caller = Caller(emulator)
        request_id = caller.submit("a cat")
        caller.until(request_id, "COMPLETED")
        ended_days_ago(emulator, request_id, 29.9)
        (item,) = history(caller, request_id=request_id, expand="payloads")["items"]
        assert item["json_input"]["prompt"] == "a cat"
        assert caller.result(request_id).status_code == 200
        ended_days_ago(emulator, request_id, 0.2)
        (item,) = history(caller, request_id=request_id, expand="payloads")["items"]
        assert {"json_input", "json_output"} & item.keys() == set()
        assert caller.result(request_id).status_code == 404


def test_a_page_has_a_number_so_that_rows_shift_when_a_request_ends_in_between(caller: Caller) -> None:
    start = now()
    made = [caller.submit(str(number), endpoint=OLDER, resolution="720p", duration=1) for number in range(3)]
    for request_id in made:
        caller.until(request_id, "COMPLETED")
    first = history(caller, endpoint_id=OLDER, start=start, limit=2)
    late = caller.submit("late", endpoint=OLDER, resolution="720p", duration=1)
    caller.until(late, "COMPLETED")
    second = history(caller, endpoint_id=OLDER, start=start, limit=2, cursor=first["next_cursor"])
    assert ids(second)[0] == ids(first)[-1]
    assert late not in ids(first) + ids(second)
    assert (len(second["items"]), second["has_more"], second["next_cursor"]) == (2, False, None)


@pytest.mark.parametrize("endpoints", [f"{ENDPOINT},{OLDER}", [OLDER, ENDPOINT]])
def test_several_endpoints_may_be_asked_for(caller: Caller, endpoints: object) -> None:
    made = {caller.submit("one"), caller.submit("two", endpoint=OLDER, resolution="720p", duration=1)}
    for request_id in made:
        caller.until(request_id, "COMPLETED")
    assert made <= set(ids(history(caller, endpoint_id=endpoints)))


def test_requests_can_be_sorted_by_duration(caller: Caller) -> None:
    for seconds in (1, 8):
        caller.generate("a cat", endpoint=OLDER, resolution="720p", duration=seconds)
    durations = [item["duration"] for item in history(caller, endpoint_id=OLDER, sort_by="duration")["items"]]
    assert durations == sorted(durations, reverse=True)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"endpoint_id": " "},
        {"endpoint_id": ENDPOINT, "limit": 0},
        {"endpoint_id": ENDPOINT, "cursor": "x"},
        {"endpoint_id": ENDPOINT, "cursor": "eyJwYWdlIjogLTF9"},  # page -1
        {"endpoint_id": ENDPOINT, "cursor": "eyJwYWdlIjogMWU5OX0="},  # page 1e99
        {"endpoint_id": ENDPOINT, "cursor": "W" * 20000},
        {"endpoint_id": ENDPOINT, "start": "yesterday"},
        {"endpoint_id": ENDPOINT, "status": "green"},
        {"endpoint_id": ",".join(["a/b"] * 51)},
    ],
)
def test_a_senseless_query_is_a_422(caller: Caller, query: dict[str, object]) -> None:
    assert caller.http.get(PATH, params=query).status_code == 422  # type: ignore[arg-type]


def test_the_history_needs_a_key(emulator: RunningEmulator) -> None:
    assert httpx.get(f"{emulator.queue_url}{PATH}?endpoint_id={ENDPOINT}").status_code == 401


def test_a_request_may_appear_late(tmp_path: Path) -> None:
    with RunningEmulator.start(
        tmp_path, generation_time="0", extra=["--render", "off", "--history-lag", "1.5"]
    ) as emulator:
        caller = Caller(emulator)
        request_id = caller.submit("a cat")
        caller.until(request_id, "COMPLETED")
        assert ids(history(caller)) == []
        time.sleep(1.5)
        assert ids(history(caller)) == [request_id]
