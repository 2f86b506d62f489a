"""What clips will cost, asked over HTTP: of a platform that answers, of one that lies, and of none."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.fal import TEXT_TO_VIDEO, pricing
from airflow_provider_pika.fal.prices import Prices, to_paste
from airflow_provider_pika.hooks import pika as hook_module
from airflow_provider_pika.hooks.pika import PikaHook
from tests.integration.conftest import KEY, connect
from tests.support.hostile import HostileServer, answers, http, like
from tests.support.sizes import examples

V2_2 = "fal-ai/pika/v2.2/text-to-video"
PRICE: dict[str, Any] = {"endpoint_id": TEXT_TO_VIDEO, "unit_price": 0.3, "unit": "videos", "currency": "USD"}
LIST = {"prices": [PRICE]}
PLACEHOLDER = {"prices": [{**PRICE, "unit_price": 0, "unit": "compute seconds"}]}
AVERAGE = {"estimate_type": "historical_api_price", "total_cost": 0.31, "currency": "USD"}
OWN = {"unit": "videos", "price": "0.30", "currency": "USD"}

Ask = Callable[[list[str]], Prices]


@pytest.fixture(scope="module")
def platform() -> Iterator[HostileServer]:
    with HostileServer(lambda *_: []) as running:
        yield running


@pytest.fixture(autouse=True)
def connected(platform: HostileServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    connect(monkeypatch, platform.url)
    platform.heads.clear()
    pricing.forget()
    yield
    pricing.forget()


@pytest.fixture(params=["blocking", "on an event loop"])
def ask(request: pytest.FixtureRequest) -> Ask:
    if request.param == "blocking":
        return lambda endpoints: PikaHook().prices(endpoints)
    return lambda endpoints: asyncio.run(PikaHook().aprices(endpoints))


def say(platform: HostileServer, prices: Any, average: Any = None) -> None:
    """Have the platform answer the price list so, and the average so."""
    none = {**AVERAGE, "total_cost": None}

    def respond(method: str, path: str, body: bytes) -> Any:
        assert path.startswith("/v1/models/pricing"), path
        said = prices if method == "GET" else (average or none)
        return said if isinstance(said, list) else [http(said)]

    platform.respond = respond


def test_both_clients_read_fals_price(platform: HostileServer, ask: Ask) -> None:
    say(platform, LIST)
    price = ask([TEXT_TO_VIDEO]).of_unit(TEXT_TO_VIDEO)
    assert price is not None
    assert (str(price.amount), price.unit, price.currency, price.source) == ("0.3", "videos", "USD", "fal")
    [head] = platform.heads
    assert head.startswith(b"GET /v1/models/pricing?endpoint_id=fal-ai")
    assert f"Key {KEY}".encode() in head


def test_both_clients_read_the_average_of_a_model_with_a_placeholder(platform: HostileServer, ask: Ask) -> None:
    say(platform, PLACEHOLDER, AVERAGE)
    told = ask([TEXT_TO_VIDEO]).told[TEXT_TO_VIDEO]
    assert told.price is None
    assert told.history is not None
    assert str(told.history.amount) == "0.31"


#: Answers without a price of the endpoint. They are made where they are needed: some are large.
NO_PRICES: dict[str, Callable[[], Any]] = {
    "nothing": list,
    "no HTTP": lambda: [b"\x00\x01"],
    "a page": lambda: [http("<html>Sign in</html>")],
    "a redirect": lambda: [http("", 302, ("Location", "https://elsewhere.example/"))],
    "a wrong key": lambda: [http({"detail": "invalid key credentials"}, 401)],
    "no right": lambda: [http({"detail": "This key has no right"}, 403)],
    "not found": lambda: [http({"detail": "Not Found"}, 404)],
    "busy": lambda: [http("busy", 503)],
    "a long list": lambda: [http(json.dumps({"prices": LIST["prices"] * 200_000}))],
    "a bomb": lambda: [http(gzip.compress(b"0" * (64 << 20)), 200, ("Content-Encoding", "gzip"))],
    "cut off": lambda: [http(json.dumps(LIST))[:-20]],
    "nested": lambda: [http('{"prices": ' + "[" * 100_000)],
    "no number": lambda: [http({"prices": [{**PRICE, "unit_price": "NaN"}]})],
    "another endpoint": lambda: [http({"prices": [{**PRICE, "endpoint_id": V2_2}]})],
}


@pytest.mark.parametrize("answer", NO_PRICES.values(), ids=NO_PRICES)
def test_what_is_not_fals_price_is_unknown_and_raises_nothing(
    platform: HostileServer, ask: Ask, answer: Callable[[], Any]
) -> None:
    say(platform, answer())
    prices = ask([TEXT_TO_VIDEO])
    assert prices.of_unit(TEXT_TO_VIDEO) is None
    assert json.dumps(to_paste(TEXT_TO_VIDEO)) in prices.unknown(TEXT_TO_VIDEO)
    estimated = PikaHook().estimate({"prompt": "a fox"})
    assert (estimated["amount"], estimated["unknown"], estimated["paste"]) == (None, 1, to_paste(TEXT_TO_VIDEO))


def test_a_platform_that_echoes_the_key_does_not_have_it_shown(platform: HostileServer) -> None:
    say(platform, [http({"detail": f"no right for {KEY}"}, 403)])
    assert KEY.partition(":")[2] not in json.dumps(PikaHook().estimate({"prompt": "a fox"}))


def test_a_platform_that_hangs_costs_seconds_and_no_error(
    platform: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook_module, "_PRICES_WITHIN", 0.5)
    say(platform, [6.0])
    began = time.monotonic()
    assert PikaHook().estimate({"prompt": "a fox"})["unknown"] == 1
    assert time.monotonic() - began < 4


@examples(40, 2000)
@given(
    prices=answers(st.lists(like(LIST["prices"][0]), max_size=3).map(lambda rows: {"prices": rows})),
    average=answers(like(AVERAGE)),
)
def test_an_estimate_is_whole_or_says_what_is_unknown_whatever_the_platform_says(
    platform: HostileServer, prices: Any, average: Any
) -> None:
    pricing.forget()
    say(platform, prices, average)
    estimated = PikaHook().estimate([{"prompt": "a fox"}, "a hare"])
    written = json.dumps(estimated, allow_nan=False)
    assert KEY not in written
    assert estimated["known"] + estimated["unknown"] == 2
    assert estimated["amount"] is None or float(estimated["amount"]) > 0
    assert (estimated["paste"] is None) == (estimated["unknown"] == 0)


# --- PikaHook.estimate


def test_an_estimate_names_its_sum_and_whose_price_it_is(platform: HostileServer) -> None:
    say(platform, LIST)
    clips: list[Any] = [{"prompt": "a fox", "name": "fox"}, "a hare", {"prompt": "a cat", "duration": "10"}]
    estimated = PikaHook().estimate(clips)
    [source] = estimated.pop("sources")
    assert estimated == {
        "amount": "0.90",
        "currency": "USD",
        "amounts": {"USD": "0.90"},
        "basis": "estimated",
        "known": 3,
        "unknown": 0,
        "reasons": [],
        "endpoint": TEXT_TO_VIDEO,
        "clips": 3,
        "paste": None,
    }
    assert source.pop("priced_at")
    assert source == {"source": "fal", "currency": "USD", "clips": 3, "amount": "0.90"}


def test_an_estimate_on_an_event_loop_is_the_same(platform: HostileServer) -> None:
    say(platform, LIST)
    clips: list[Any] = ["a hare", {"prompt": "a cat", "duration": "10"}]
    assert asyncio.run(PikaHook().aestimate(clips)) == PikaHook().estimate(clips)
    with pytest.raises(errors.InvalidInput, match=r"^Item 0: "):
        asyncio.run(PikaHook().aestimate([7]))  # type: ignore[list-item]


def test_the_default_endpoint_has_no_price_and_the_estimate_shows_what_to_paste(
    platform: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(platform, PLACEHOLDER)
    estimated = PikaHook().estimate({"prompt": "a fox"})
    assert (estimated["amount"], estimated["amounts"], estimated["known"], estimated["unknown"]) == (None, {}, 0, 1)
    [told] = estimated["reasons"]
    assert "a placeholder for it, 0 for 'compute seconds'" in told["reason"]
    assert json.dumps(estimated["paste"]) in told["reason"]
    pasted = json.loads(json.dumps(estimated["paste"]).replace("?", "0.30"))
    connect(monkeypatch, platform.url, **pasted)
    assert PikaHook().estimate({"prompt": "a fox"})["amount"] == "0.30"


def test_the_connections_price_needs_no_word_of_fals_and_no_key(
    platform: HostileServer, monkeypatch: pytest.MonkeyPatch, ask: Ask
) -> None:
    for prices in ({TEXT_TO_VIDEO: OWN}, json.dumps({TEXT_TO_VIDEO: OWN})):  # an object, or the form's text
        connect(monkeypatch, platform.url, key="", prices=prices)
        assert ask([TEXT_TO_VIDEO]).own[TEXT_TO_VIDEO].source == "connection"
        assert PikaHook().estimate({"prompt": "a fox"})["amount"] == "0.30"
    assert platform.heads == []


def test_an_estimate_of_another_endpoint_uses_the_rate_card_where_fal_tells_nothing(platform: HostileServer) -> None:
    say(platform, {"prices": []})
    estimated = PikaHook().estimate({"prompt": "a fox", "resolution": "1080p"}, endpoint=V2_2)
    assert (estimated["amount"], estimated["sources"][0]["source"]) == ("0.45", "rate card")


def test_fal_is_asked_once_for_many_estimates(platform: HostileServer) -> None:
    say(platform, LIST)
    for _ in range(3):
        PikaHook().estimate([{"prompt": "a fox"}] * 100)
    assert len(platform.heads) == 1


@pytest.mark.parametrize(
    ("inputs", "named"),
    [
        ({"prompt": ""}, "^prompt=''"),
        ({"prompt": "a fox", "duration": 7}, "^duration=7"),
        ({"prompt": "a fox", "style": "noir"}, "^style='noir'"),
        ({"prompt": "x" * 20_000}, "^prompt has 20000 characters"),
        (["a fox", {"prompt": "a hare", "resolution": "4k"}], "^Item 1: resolution='4k'"),
        (["a fox", 7], "^Item 1: 7 is not allowed"),
        ([], r"^inputs=\[\] is not allowed"),
        ("a fox", "^inputs='a fox' is not allowed"),
        (None, "^inputs=None is not allowed"),
    ],
    ids=lambda part: str(part)[:40],
)
def test_inputs_are_checked_as_the_operators_check_them(platform: HostileServer, inputs: Any, named: str) -> None:
    with pytest.raises(errors.InvalidInput, match=named):
        PikaHook().estimate(inputs)
    assert platform.heads == []


def test_a_wrong_price_in_the_connection_is_refused_and_stops_no_wait(
    platform: HostileServer, monkeypatch: pytest.MonkeyPatch, ask: Ask
) -> None:
    connect(monkeypatch, platform.url, prices={TEXT_TO_VIDEO: {**OWN, "price": 0}})
    with pytest.raises(errors.InvalidInput, match=r"\['price'\]=0 is not allowed"):
        ask([TEXT_TO_VIDEO])
    with PikaHook().get_conn() as queue:  # what polls a paid clip reads no price
        assert queue.account.queue_url == platform.url


def test_prices_of_a_connection_that_does_not_exist_are_an_error(airflow_db: None, ask: Ask) -> None:
    with pytest.raises(AirflowNotFoundException, match="pika_prod"):
        PikaHook("pika_prod").prices([TEXT_TO_VIDEO])
    with pytest.raises(AirflowNotFoundException, match="pika_prod"):
        asyncio.run(PikaHook("pika_prod").aprices([TEXT_TO_VIDEO]))
