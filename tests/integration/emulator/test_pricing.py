"""What fal says that a unit costs, and what it estimates: placeholders included (fal-protocol.md N12, N13)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.integration.emulator.talk import ENDPOINT, Caller
from tests.support.emulator import RunningEmulator

PRICING, ESTIMATE = "/v1/models/pricing", "/v1/models/pricing/estimate"
V22 = "fal-ai/pika/v2.2/text-to-video"
FRAMES = "fal-ai/pika/v2.2/pikaframes"
V21 = "fal-ai/pika/v2.1/text-to-video"
TURBO = "fal-ai/pika/v2/turbo/image-to-video"


def told(caller: Caller, endpoints: object) -> dict[str, tuple[float, str]]:
    reply = caller.http.get(PRICING, params={"endpoint_id": endpoints})  # type: ignore[dict-item]
    assert reply.status_code == 200, reply.text
    return {price["endpoint_id"]: (price["unit_price"], price["unit"]) for price in reply.json()["prices"]}


def estimate(caller: Caller, kind: str, **endpoints: Mapping[str, float]) -> Any:
    reply = caller.http.post(ESTIMATE, json={"estimate_type": kind, "endpoints": endpoints})
    assert reply.status_code == 200, reply.text
    body = reply.json()
    assert (list(body), body["estimate_type"], body["currency"]) == (
        ["estimate_type", "total_cost", "currency"],
        kind,
        "USD",
    )
    return body["total_cost"]


def test_a_price_is_that_of_one_unit(caller: Caller) -> None:
    reply = caller.http.get(PRICING, params={"endpoint_id": V22})
    price = {"endpoint_id": V22, "unit_price": 0.2, "unit": "videos", "currency": "USD"}
    assert reply.json() == {"prices": [price], "next_cursor": None, "has_more": False}


@pytest.mark.parametrize("endpoints", [f"{V22},{FRAMES}", [V22, FRAMES]])
def test_several_endpoints_may_be_asked_for(caller: Caller, endpoints: object) -> None:
    assert told(caller, endpoints) == {V22: (0.2, "videos"), FRAMES: (0.04, "seconds")}


def test_a_model_without_a_price_has_a_placeholder_and_an_unknown_one_is_left_out(caller: Caller) -> None:
    assert told(caller, [ENDPOINT, "fal-ai/flux/dev"]) == {ENDPOINT: (0, "compute seconds")}


@pytest.mark.parametrize(("unit", "amount", "of_ten"), [("units", 1, 10), ("compute seconds", 0.00017, 0.0017)])
def test_any_endpoint_can_have_a_placeholder_and_is_charged_as_before(
    caller: Caller, emulator: RunningEmulator, unit: str, amount: float, of_ten: float
) -> None:
    emulator.fault("placeholder_price", match="v2.2/text", unit=unit, times=2)
    assert told(caller, [V22, FRAMES]) == {V22: (amount, unit), FRAMES: (0.04, "seconds")}
    assert estimate(caller, "unit_price", **{V22: {"unit_quantity": 10}}) == of_ten
    assert told(caller, V22) == {V22: (0.2, "videos")}
    emulator.fault("placeholder_price", match=V22, unit=unit)
    request_id = caller.submit("a cat", endpoint=V22, resolution="720p")
    caller.until(request_id, "COMPLETED")
    assert [charge["cost"] for charge in emulator.books() if charge["request_id"] == request_id] == ["0.2"]


def test_an_accounts_own_price_is_told_and_charged(tmp_path: Path) -> None:
    extra = ["--render", "off", "--price", f"{ENDPOINT}=videos:0.30"]
    with RunningEmulator.start(tmp_path, generation_time="0", extra=extra) as emulator:
        caller = Caller(emulator)
        assert told(caller, ENDPOINT) == {ENDPOINT: (0.3, "videos")}
        assert caller.generate("a cat", duration=10).headers["X-Fal-Billable-Units"] == "1"
        assert [charge["cost"] for charge in emulator.books()] == ["0.3"]


def test_a_price_that_changes_while_a_clip_is_made_has_its_own_units(tmp_path: Path) -> None:
    with RunningEmulator.start(tmp_path, generation_time="1", extra=["--render", "off"]) as emulator:
        caller = Caller(emulator)
        emulator.set_price(ENDPOINT, "seconds", "0.08")
        requests = [caller.submit("a cat"), caller.submit("a cat [[content_policy_violation billed=true]]")]
        for request_id in requests:
            caller.until(request_id, "IN_PROGRESS")
        emulator.set_price(ENDPOINT, "videos", "0.30")
        assert [caller.outcome(request_id).headers["X-Fal-Billable-Units"] for request_id in requests] == ["1", "1"]
        assert [charge["cost"] for charge in emulator.books()] == ["0.3", "0.3"]


def test_an_own_price_can_be_set_while_it_runs(caller: Caller, emulator: RunningEmulator) -> None:
    for unit, price, units, cost in (("videos", "0.30", "1", "0.3"), ("seconds", "0.000000001", "5", "0.000000005")):
        emulator.set_price(ENDPOINT, unit, price)
        assert told(caller, ENDPOINT) == {ENDPOINT: (float(price), unit)}
        reply = caller.generate("a cat")
        assert reply.headers["X-Fal-Billable-Units"] == units
        assert emulator.books()[-1]["cost"] == cost
    emulator.reset_prices()
    assert told(caller, ENDPOINT) == {ENDPOINT: (0, "compute seconds")}


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"endpoint_id": "fal-ai/flux"}, "endpoint_id"),
        ({"unit": "units"}, "unit"),
        ({"unit_price": "-1"}, "unit_price"),
        ({"unit_price": "0.0000000001"}, "unit_price"),
        ({"unit_price": "NaN"}, "unit_price"),
        ({"currency": "EUR"}, "currency"),
    ],
)
def test_a_wrong_own_price_is_named(caller: Caller, wrong: dict[str, str], named: str) -> None:
    price = {"endpoint_id": ENDPOINT, "unit": "videos", "unit_price": "0.30", **wrong}
    reply = caller.http.post("/_emulator/prices", json=price)
    assert (reply.status_code, reply.json()["detail"][0]["loc"][-1]) == (422, named)


def test_an_estimate_by_history_is_the_mean_of_what_was_billed(tmp_path: Path) -> None:
    with RunningEmulator.start(tmp_path, generation_time="0", extra=["--render", "off"]) as emulator:
        caller = Caller(emulator)
        assert estimate(caller, "historical_api_price", **{V22: {"call_quantity": 3}}) is None
        for resolution in ("720p", "1080p"):
            caller.generate("a cat", endpoint=V22, resolution=resolution)
        caller.generate("a cat [[generation_error]]", endpoint=V22)
        caller.generate("a cat", endpoint=V21, resolution="720p")
        assert estimate(caller, "historical_api_price", **{V22: {"call_quantity": 3}}) == 0.975
        both = {V22: {"call_quantity": 2}, V21: {"call_quantity": 1}}
        assert estimate(caller, "historical_api_price", **both) == 1.05
        both[TURBO] = {"call_quantity": 1}
        assert estimate(caller, "historical_api_price", **both) is None


@pytest.mark.parametrize(
    ("endpoints", "total"),
    [
        ({V22: {"unit_quantity": 3}}, 0.6),
        ({V22: {"unit_quantity": 2.25}}, 0.45),
        ({V22: {"unit_quantity": 1}, FRAMES: {"unit_quantity": 7}}, 0.48),
        ({V22: {"unit_quantity": 1}, "fal-ai/flux/dev": {"unit_quantity": 1}}, None),
        ({ENDPOINT: {"unit_quantity": 100}}, 0),
    ],
)
def test_an_estimate_by_units_is_their_price(caller: Caller, endpoints: Any, total: float | None) -> None:
    assert estimate(caller, "unit_price", **endpoints) == total


@pytest.mark.parametrize(
    "body",
    [
        "",
        "nonsense",
        "[]",
        "null",
        "{}",
        f'{{"estimate_type": "guess", "endpoints": {{"{V22}": {{"call_quantity": 1}}}}}}',
        '{"estimate_type": "unit_price"}',
        '{"estimate_type": "unit_price", "endpoints": {}}',
        f'{{"estimate_type": "unit_price", "endpoints": {{"{V22}": {{"call_quantity": 1}}}}}}',
        f'{{"estimate_type": "unit_price", "endpoints": {{"{V22}": {{"unit_quantity": "1"}}}}}}',
        f'{{"estimate_type": "unit_price", "endpoints": {{"{V22}": {{"unit_quantity": 0}}}}}}',
        f'{{"estimate_type": "unit_price", "endpoints": {{"{V22}": {{"unit_quantity": NaN}}}}}}',
        f'{{"estimate_type": "unit_price", "endpoints": {{"{V22}": {{"unit_quantity": 1e999}}}}}}',
        f'{{"estimate_type": "historical_api_price", "endpoints": {{"{V22}": {{"call_quantity": 0}}}}}}',
        f'{{"estimate_type": "historical_api_price", "endpoints": {{"{V22}": {{"call_quantity": 1.5}}}}}}',
        f'{{"estimate_type": "historical_api_price", "endpoints": {{"{V22}": {{"call_quantity": true}}}}}}',
        f'{{"estimate_type": "historical_api_price", "endpoints": {{"{V22}": {{"call_quantity": {10**30}}}}}}}',
    ],
)
def test_a_wrong_body_is_a_422(caller: Caller, body: str) -> None:
    reply = caller.http.post(ESTIMATE, content=body.encode(), headers={"Content-Type": "application/json"})
    assert (reply.status_code, bool(reply.json()["detail"])) == (422, True)


@pytest.mark.parametrize(
    "query", ["", "?endpoint_id=", f"?endpoint_id={','.join(['a'] * 51)}", f"?endpoint_id={V22}&cursor=x"]
)
def test_a_senseless_query_is_a_422(caller: Caller, query: str) -> None:
    assert caller.http.get(f"{PRICING}{query}").status_code == 422


def test_prices_and_estimates_need_a_key_of_any_right(tmp_path: Path) -> None:
    body = {"estimate_type": "unit_price", "endpoints": {V22: {"unit_quantity": 1}}}
    with (
        RunningEmulator.start(tmp_path, keys=["plain"], extra=["--render", "off"]) as emulator,
        emulator.client() as http,
    ):
        for headers, status in (
            ({"Authorization": "Key plain"}, 200),
            ({"Authorization": "Key wrong"}, 401),
            ({}, 401),
        ):
            replies = [
                http.get(f"{PRICING}?endpoint_id={V22}", headers=headers),
                http.post(ESTIMATE, json=body, headers=headers),
            ]
            assert [reply.status_code for reply in replies] == [status, status]
        assert replies[0].json()["error"]["type"] == "authorization_error"


def test_prices_can_be_refused_and_are_counted(caller: Caller, emulator: RunningEmulator) -> None:
    emulator.fault("http_500", on="pricing")
    query = {"endpoint_id": V22}
    assert [caller.http.get(PRICING, params=query).status_code for _ in range(2)] == [500, 200]
    assert emulator.counts()["pricing"] == 2


def test_fals_own_host_has_them_too(emulator: RunningEmulator) -> None:
    with emulator.client(headers={"Host": "api.fal.ai", "Authorization": "Key any"}) as http:
        assert http.get(f"{PRICING}?endpoint_id={V22}").status_code == 200
        assert http.get("/v1/account/billing").status_code == 200
