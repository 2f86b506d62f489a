"""What was charged: fal's billing events, usage and credits, for keys with the ADMIN right (N11, N14)."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.emulator.talk import ENDPOINT, Caller
from tests.support.emulator import RunningEmulator

EVENTS, USAGE, ACCOUNT = "/v1/models/billing-events", "/v1/models/usage", "/v1/account/billing"
V22 = "fal-ai/pika/v2.2/text-to-video"
V21 = "fal-ai/pika/v2.1/text-to-video"
SWAPS = "fal-ai/pika/v2/pikaswaps"
ADMIN, PLAIN = "admin-key", "plain-key"


@pytest.fixture(scope="module")
def paying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    """Yield an emulator with keys of both kinds, and an own price of v2.5: 0.08 USD a second."""
    extra = ["--render", "off", "--admin-key", ADMIN, "--price", f"{ENDPOINT}=seconds:0.08"]
    folder = tmp_path_factory.mktemp("paying")
    with RunningEmulator.start(folder, generation_time="0.05", keys=[PLAIN], extra=extra, runners=8) as running:
        yield running


@pytest.fixture
def admin(paying: RunningEmulator) -> Iterator[Caller]:
    paying.clear_faults()
    made = Caller(paying, ADMIN)
    yield made
    made.http.close()


def read(caller: Caller, path: str, **query: Any) -> dict[str, Any]:
    reply = caller.http.get(path, params=query)
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


def events(caller: Caller, **query: Any) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = read(caller, EVENTS, **query)["billing_events"]
    return listed


def made(caller: Caller, prompt: str = "a cat", **options: Any) -> str:
    """Submit in 720p, wait for the end, and return the request id."""
    request_id = caller.submit(prompt, **{"resolution": "720p", **options})
    caller.until(request_id, "COMPLETED")
    return request_id


def now() -> str:
    return datetime.now(UTC).isoformat()


def balance(caller: Caller) -> Decimal:
    return Decimal(repr(read(caller, ACCOUNT, expand="credits")["credits"]["current_balance"]))


def test_a_clip_is_charged_by_the_units_of_its_result(admin: Caller) -> None:
    request_id = made(admin, duration=10)
    (event,) = events(admin, request_id=request_id)
    ended = datetime.fromisoformat(event.pop("timestamp"))
    assert event == {
        "request_id": request_id,
        "endpoint_id": ENDPOINT,
        "output_units": 10,
        "unit_price": 0.08,
        "percent_discount": 0,
        "cost_subtotal": 0.8,
        "cost_discount": 0,
        "cost_total": 0.8,
        "cost_estimate_nano_usd": 800_000_000,
    }
    assert admin.result(request_id).headers["X-Fal-Billable-Units"] == "10"
    assert timedelta(0) <= datetime.now(UTC) - ended < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("endpoint", "given", "units", "cost"), [(V22, {"resolution": "1080p"}, 2.25, 0.45), (V21, {}, 1, 0.4)]
)
def test_an_endpoint_without_an_own_price_is_charged_at_the_listed_one(
    admin: Caller, endpoint: str, given: dict[str, Any], units: float, cost: float
) -> None:
    (event,) = events(admin, request_id=made(admin, endpoint=endpoint, **given))
    assert (event["output_units"], event["cost_total"]) == (units, cost)


@pytest.mark.parametrize(
    ("prompt", "given"),
    [
        ("a cat [[generation_error]]", {}),
        ("a cat [[downstream_error]]", {}),
        ("a cat [[runner_error]]", {}),
        ("a cat [[start_timeout]]", {}),
        ("a cat [[content_policy_violation]]", {}),
        ("a cat", {"duration": 7}),
        ("a cat", {"endpoint": "fal-ai/pika/v9/text-to-video"}),
    ],
)
def test_what_is_not_billed_has_no_row(admin: Caller, prompt: str, given: dict[str, Any]) -> None:
    before = balance(admin)
    assert events(admin, request_id=made(admin, prompt, **given)) == []
    assert balance(admin) == before


@pytest.mark.parametrize("state", ["IN_QUEUE", "IN_PROGRESS"])
def test_a_cancelled_request_is_not_billed(paying: RunningEmulator, admin: Caller, state: str) -> None:
    busy = [admin.submit("busy [[never_finish]]") for _ in range(8)]
    for request_id in busy:
        admin.until(request_id, "IN_PROGRESS")
    cancelled = admin.submit("a cat") if state == "IN_QUEUE" else busy[0]
    for request_id in [cancelled, *busy]:
        admin.cancel(request_id)
        admin.until(request_id, "COMPLETED")
    assert events(admin, request_id=[cancelled, *busy]) == []


def test_a_refused_prompt_is_billed_if_asked_for(admin: Caller) -> None:
    request_id = made(admin, "a cat [[content_policy_violation billed=true]]")
    (event,) = events(admin, request_id=request_id)
    assert (admin.result(request_id).status_code, event["cost_total"]) == (422, 0.4)


def test_a_result_that_has_expired_is_billed_all_the_same(admin: Caller) -> None:
    request_id = made(admin, "a cat [[expire]]")
    assert admin.result(request_id).status_code == 404
    assert [event["cost_total"] for event in events(admin, request_id=request_id)] == [0.4]


def test_a_synchronous_run_is_billed(paying: RunningEmulator, admin: Caller) -> None:
    with paying.client(base_url=paying.run_url, headers={"Authorization": f"Key {PLAIN}"}) as http:
        reply = http.post(f"/{V21}", json={"prompt": "a cat"}, headers={"X-Fal-Tags": "dag=sync"})
    assert [event["cost_total"] for event in events(admin, request_id=reply.headers["x-fal-request-id"])] == [0.4]
    assert paying.billed(dag="sync") == Decimal("0.4")


def test_a_request_that_was_requeued_is_billed_once(admin: Caller) -> None:
    assert len(events(admin, request_id=made(admin, "a cat [[requeue]]"))) == 1


def test_the_balance_falls_by_exactly_what_was_billed(paying: RunningEmulator, admin: Caller) -> None:
    before, start = balance(admin), time.time()
    for _ in range(3):
        made(admin, duration=5)
    made(admin, endpoint=V22, resolution="1080p")
    assert paying.billed(start) == Decimal("1.65")
    assert before - balance(admin) == Decimal("1.65")
    assert read(admin, ACCOUNT) == {"username": "emulator"}


def test_usage_is_the_sum_of_the_events(admin: Caller) -> None:
    start = now()
    for duration in (5, 5, 10):
        made(admin, duration=duration)
    made(admin, endpoint=V21)
    span = {"start": start, "bound_to_timeframe": "false"}
    usage = read(admin, USAGE, expand=["summary", "time_series"], timeframe="day", **span)
    rows = {row["endpoint_id"]: row for row in usage["summary"]}
    assert rows[ENDPOINT] == {
        "endpoint_id": ENDPOINT,
        "unit": "seconds",
        "quantity": 20,
        "unit_price": 0.08,
        "percent_discount": 0,
        "cost_subtotal": 1.6,
        "cost_discount": 0,
        "cost_total": 1.6,
        "cost": 1.6,
        "currency": "USD",
    }
    assert rows[V21]["cost_total"] == 0.4
    assert sum(row["cost_total"] for bucket in usage["time_series"] for row in bucket["results"]) == 2.0
    assert sum(event["cost_total"] for event in events(admin, start=start)) == 2.0
    assert list(read(admin, USAGE, expand="summary", **span)) == ["summary", "next_cursor", "has_more"]


def moved(emulator: RunningEmulator, request_id: str, hours: float) -> None:
    """Put a charge into the past, in the emulator's own file."""
    with contextlib.closing(sqlite3.connect(emulator.data / "emulator.sqlite3")) as database, database:
        database.execute("UPDATE charges SET at = at - ? WHERE request_id = ?", (hours * 3600, request_id))


def test_buckets_are_pages_and_without_a_start_go_back_a_day(paying: RunningEmulator, admin: Caller) -> None:
    marks = [made(admin, endpoint="fal-ai/pika/v2/turbo/text-to-video") for _ in range(3)]
    for hours, request_id in zip((0, 48, 72), marks, strict=True):
        moved(paying, request_id, hours)
    turbo = {"endpoint_id": "fal-ai/pika/v2/turbo/text-to-video", "expand": "time_series", "timeframe": "day"}
    assert [len(read(admin, USAGE, **turbo)["time_series"])] == [1]
    assert [event["request_id"] for event in events(admin, request_id=marks)] == marks[:1]
    start = (datetime.now(UTC) - timedelta(days=10)).isoformat()
    assert [event["request_id"] for event in events(admin, request_id=marks, start=start)] == marks
    first = read(admin, USAGE, **turbo, start=start, limit=2)
    second = read(admin, USAGE, **turbo, start=start, limit=2, cursor=first["next_cursor"])
    assert [len(page["time_series"]) for page in (first, second)] == [2, 1]
    assert (first["has_more"], second["has_more"], second["next_cursor"]) == (True, False, None)


def test_events_come_in_pages_newest_first(admin: Caller) -> None:
    start = now()
    request_ids = [made(admin, endpoint=V21) for _ in range(3)]
    first = read(admin, EVENTS, start=start, limit=2)
    second = read(admin, EVENTS, start=start, limit=2, cursor=first["next_cursor"])
    listed = [event["request_id"] for page in (first, second) for event in page["billing_events"]]
    assert listed == request_ids[::-1]
    assert (first["has_more"], second["has_more"], second["next_cursor"]) == (True, False, None)
    assert [event["request_id"] for event in events(admin, start=start, endpoint_id=V22)] == []


def test_a_span_of_time_excludes_its_end(admin: Caller) -> None:
    request_id = made(admin)
    (event,) = events(admin, request_id=request_id)
    at = event["timestamp"]
    assert len(events(admin, request_id=request_id, start=at)) == 1
    assert events(admin, request_id=request_id, start="2026-01-01", end="2026-02-01") == []
    before = (datetime.fromisoformat(at) - timedelta(hours=1)).isoformat()
    assert events(admin, request_id=request_id, start=before, end=at) == []


@pytest.mark.parametrize(("bound", "clips"), [("true", 1), ("false", 0)])
def test_usage_has_whole_buckets_unless_told_not_to(admin: Caller, bound: str, clips: int) -> None:
    made(admin, endpoint=SWAPS, video_url="https://v3b.fal.media/files/b/cat.mp4")
    later = (datetime.now(UTC) + timedelta(milliseconds=10)).isoformat()
    query = {"endpoint_id": SWAPS, "expand": "summary", "start": later, "timeframe": "month"}
    rows = read(admin, USAGE, **query, bound_to_timeframe=bound)["summary"]
    assert min(1, sum(row["quantity"] for row in rows)) == clips


def test_tags_are_kept_shown_and_filtered_by(paying: RunningEmulator, admin: Caller) -> None:
    start, at = now(), time.time()
    tags = ["dag=nightly,task=generate", "dag=nightly,task=other,fal.team=x,broken", "DAG=weekly", ""]
    request_ids = [made(admin, headers={"X-Fal-Tags": header}) for header in tags]
    told = [request["tags"] for request in paying.requests(since=at)]
    assert told == [{"dag": "nightly", "task": "generate"}, {"dag": "nightly", "task": "other"}, {"dag": "weekly"}, {}]
    tagged = events(admin, start=start, source="tagged-billed")
    assert [event["tags"] for event in tagged[::-1]] == told
    assert all("tags" not in event for event in events(admin, start=start))

    def found(*tag: str) -> list[int]:
        listed = events(admin, start=start, source="tagged-billed", tag=list(tag))
        return sorted(request_ids.index(event["request_id"]) for event in listed)

    assert found("dag=nightly") == [0, 1]
    assert found("dag=nightly", "task=other") == [1]
    assert found("dag=nightly", "dag=weekly") == [0, 1, 2]
    assert found("dag=(untagged)") == [3]
    assert paying.billed_by("dag", at) == {"nightly": Decimal("0.8"), "weekly": Decimal("0.4"), None: Decimal("0.4")}
    assert paying.billed_by("endpoint_id", at) == {ENDPOINT: Decimal("1.6")}
    assert [charge["cost"] for charge in paying.books(at, task="other")] == ["0.4"]


READS = [EVENTS, f"{USAGE}?expand=summary", f"{ACCOUNT}?expand=credits"]


@pytest.mark.parametrize("path", READS)
def test_the_books_are_for_keys_with_the_admin_right(paying: RunningEmulator, path: str) -> None:
    with paying.client() as http:
        replies = [http.get(path, headers={"Authorization": f"Key {key}"}) for key in (ADMIN, PLAIN, "wrong")]
        replies.append(http.get(path))
    assert [reply.status_code for reply in replies] == [200, 403, 401, 401]
    assert replies[1].json() == {"error": {"type": "authorization_error", "message": "Admin API key required"}}


@pytest.mark.parametrize("path", READS)
def test_where_any_key_is_accepted_any_has_the_admin_right(caller: Caller, path: str) -> None:
    assert caller.http.get(path).status_code == 200


def test_without_an_admin_key_none_may_read_the_books(tmp_path: Path) -> None:
    with RunningEmulator.start(tmp_path, keys=[PLAIN], extra=["--render", "off"]) as emulator:
        assert [Caller(emulator, PLAIN).http.get(path).status_code for path in READS] == [403, 403, 403]


@pytest.mark.parametrize(
    "query",
    [
        f"{EVENTS}?start=2026-01-01&end=2026-06-01",
        f"{EVENTS}?start=2020-01-01",
        f"{EVENTS}?limit=10001",
        f"{EVENTS}?limit=0",
        f"{EVENTS}?cursor=x",
        f"{EVENTS}?start=yesterday",
        f"{EVENTS}?endpoint_id=",
        f"{EVENTS}?request_id={','.join(['a'] * 51)}",
        f"{EVENTS}?source=invoice",
        f"{EVENTS}?tag=dag=nightly",
        f"{EVENTS}?source=tagged-billed&tag=dag",
        f"{EVENTS}?source=tagged-billed{'&tag=a=b' * 11}",
        USAGE,
        f"{USAGE}?expand=auth_method",
        f"{USAGE}?expand=summary&timezone=Mars/Olympus",
        f"{USAGE}?expand=summary&timeframe=year",
    ],
)
def test_a_senseless_query_is_a_422(admin: Caller, query: str) -> None:
    assert admin.http.get(query).status_code == 422


@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Kiritimati", "UTC"])
def test_a_span_of_all_time_is_answered(admin: Caller, zone: str) -> None:
    assert read(admin, USAGE, expand="summary", start="0001-01-01", end="9999-12-31", timezone=zone)["summary"]


def test_a_charge_may_be_seen_late(tmp_path: Path) -> None:
    extra = ["--render", "off", "--books-lag", "1.5", "--price", f"{ENDPOINT}=videos:0.30"]
    with RunningEmulator.start(tmp_path, generation_time="0", extra=extra) as emulator:
        caller = Caller(emulator)
        made(caller)
        assert (events(caller), balance(caller), emulator.billed()) == ([], Decimal(1000), Decimal("0.3"))
        estimate = {"estimate_type": "historical_api_price", "endpoints": {ENDPOINT: {"call_quantity": 2}}}
        assert caller.http.post("/v1/models/pricing/estimate", json=estimate).json()["total_cost"] is None
        time.sleep(1.5)
        assert [event["cost_total"] for event in events(caller)] == [0.3]
        assert balance(caller) == Decimal("999.7")
        assert caller.http.post("/v1/models/pricing/estimate", json=estimate).json()["total_cost"] == 0.6


def test_the_books_outlive_the_process(tmp_path: Path) -> None:
    with RunningEmulator.start(tmp_path, generation_time="0", extra=["--render", "off"]) as emulator:
        request_id = made(Caller(emulator), endpoint=V21, headers={"X-Fal-Tags": "dag=nightly"})
        emulator.kill()
        emulator.restart()
        (charge,) = emulator.books(dag="nightly")
        assert (charge["request_id"], charge["cost"]) == (request_id, "0.4")


def test_the_books_can_be_refused_and_are_counted(caller: Caller, emulator: RunningEmulator) -> None:
    emulator.fault("http_403", on="billing")
    assert [caller.http.get(EVENTS).status_code for _ in range(2)] == [403, 200]
    emulator.fault("stall", on="billing", seconds=5)
    with pytest.raises(httpx.ReadTimeout):
        caller.http.get(EVENTS, timeout=0.3)
    assert (emulator.counts()["billing"], emulator.counts()["pricing"]) == (3, 0)


def test_thousands_of_cents_add_up_exactly(tmp_path: Path) -> None:
    with RunningEmulator.start(tmp_path, generation_time="0", extra=["--render", "off"]) as emulator:
        with contextlib.closing(sqlite3.connect(tmp_path / "emulator.sqlite3")) as database, database:
            database.executemany(
                "INSERT INTO charges (request_id, endpoint, at, units, unit, unit_price, nano_usd, tags)"
                " VALUES (?, ?, ?, '1', 'videos', '0.1', 100000000, '{}')",
                [(f"r-{number}", V22, time.time() - 60) for number in range(10_000)],
            )
        caller = Caller(emulator)
        assert balance(caller) == 0
        (row,) = read(caller, USAGE, expand="summary")["summary"]
        assert (row["cost_total"], row["quantity"]) == (1000, 10_000)
        assert len(events(caller, limit=10_000)) == 10_000
        assert sum(emulator.billed_by("endpoint_id").values()) == 1000
