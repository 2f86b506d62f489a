"""What fal is asked about prices, how often, and what its answers make; the answers are given by hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.fal import TEXT_TO_VIDEO, pricing
from airflow_provider_pika.fal.account import Account
from airflow_provider_pika.fal.http_answer import Answer
from airflow_provider_pika.fal.prices import FAL, HISTORY, Told
from airflow_provider_pika.fal.requests import Call
from airflow_provider_pika.fal.sansio import hold

ACCOUNT = Account("Key id:secret")
OTHER = Account("Key id:another")
PLACEHOLDER = {"endpoint_id": TEXT_TO_VIDEO, "unit_price": 0, "unit": "compute seconds", "currency": "USD"}
PRICE = {"endpoint_id": TEXT_TO_VIDEO, "unit_price": 0.3, "unit": "videos", "currency": "USD"}
AVERAGE = {"estimate_type": "historical_api_price", "total_cost": 0.31, "currency": "USD"}


class Platform:
    """Answers both calls; ``calls`` are those it got."""

    def __init__(self) -> None:
        self.list: Callable[[Call[Any]], Answer] = lambda call: Answer(200, {}, {"prices": [PLACEHOLDER]})
        self.average = Answer(200, {}, AVERAGE)
        self.calls: list[Call[Any]] = []

    def ask(self, *endpoints: str, account: Account = ACCOUNT) -> dict[str, Told]:
        return hold(pricing.ask(account, endpoints), self._send, lambda seconds: None)

    def told(self) -> Told:
        return self.ask(TEXT_TO_VIDEO)[TEXT_TO_VIDEO]

    def _send(self, call: Call[Any]) -> Any:
        self.calls.append(call)
        return call.understand(self.list(call) if call.method == "GET" else self.average)


@pytest.fixture
def platform() -> Iterator[Platform]:
    pricing.forget()
    yield Platform()
    pricing.forget()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let seconds pass."""
    now = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def passes(seconds: float) -> None:
        now[0] += seconds

    return passes


def says(platform: Platform, status: int, body: Any) -> None:
    platform.list = lambda call: Answer(status, {}, body)


def test_the_price_list_is_asked_first_and_the_average_only_where_it_has_no_price(platform: Platform) -> None:
    says(platform, 200, {"prices": [PRICE]})
    told = platform.told()
    assert told.price is not None
    assert (told.price.amount, told.price.source, told.history) == (Decimal("0.3"), FAL, None)
    [call] = platform.calls
    assert (call.method, call.path) == ("GET", "https://api.fal.ai/v1/models/pricing")
    assert call.options == {"params": [("endpoint_id", TEXT_TO_VIDEO)]}


def test_a_placeholder_leads_to_the_average_of_past_calls(platform: Platform) -> None:
    told = platform.told()
    assert told.price is None
    assert told.history is not None
    assert (told.history.amount, told.history.source) == (Decimal("0.31"), HISTORY)
    assert "placeholder" in told.reason
    _, call = platform.calls
    assert (call.method, call.path) == ("POST", "https://api.fal.ai/v1/models/pricing/estimate")
    wanted = {"estimate_type": "historical_api_price", "endpoints": {TEXT_TO_VIDEO: {"call_quantity": 1}}}
    assert call.options == {"json": wanted}


@pytest.mark.parametrize("status", [200, 401, 403, 404, 422, 429, 500, 503])
@pytest.mark.parametrize(
    "body", [{}, [], "", "<html>", None, {"prices": None}, {"prices": {}}, {"detail": "no"}], ids=repr
)
def test_whatever_is_not_fals_answer_is_an_unknown_price_and_no_error(
    platform: Platform, status: int, body: Any
) -> None:
    says(platform, status, body)
    platform.average = Answer(status, {}, body)
    told = platform.told()
    assert (told.price, told.history) == (None, None)
    assert "fal's price list cannot be read (" in told.reason
    assert len(told.reason) < 500


def test_a_key_that_may_not_read_the_list_may_still_read_the_average(platform: Platform) -> None:
    says(platform, 403, {"detail": "no admin"})
    told = platform.told()
    assert told.history is not None
    assert "no admin" in told.reason


def test_a_platform_that_does_not_answer_is_not_asked_for_each_endpoint(platform: Platform) -> None:
    says(platform, 503, "busy")
    platform.ask(*(f"fal-ai/model/{number}" for number in range(5)))
    assert len(platform.calls) == 1
    pricing.forget()
    says(platform, 200, {"prices": []})
    platform.average = Answer(503, {}, "busy")
    platform.ask(*(f"fal-ai/model/{number}" for number in range(5)))
    assert len(platform.calls) == 1 + 2


def test_many_endpoints_are_asked_for_fifty_at_a_time_and_each_once(platform: Platform) -> None:
    names = [f"fal-ai/model/{number}" for number in range(120)]

    def listed(call: Call[Any]) -> Answer:
        asked = [name for _, name in call.options["params"]]
        return Answer(200, {}, {"prices": [{**PRICE, "endpoint_id": name} for name in asked]})

    platform.list = listed
    told = platform.ask(*names, *names)
    assert [len(call.options["params"]) for call in platform.calls] == [50, 50, 20]
    assert set(told) == set(names)
    assert all(each.price for each in told.values())


# --- what is remembered


def test_fals_word_is_good_for_an_hour_in_this_process(platform: Platform, later: Callable[[float], None]) -> None:
    platform.told()
    asked = len(platform.calls)
    later(pricing.KEPT - 1)
    assert platform.told().history is not None
    assert len(platform.calls) == asked
    later(2)
    platform.told()
    assert len(platform.calls) == 2 * asked


@pytest.mark.parametrize("broken", ["list", "average"])
def test_a_platform_that_failed_is_asked_again_after_a_minute(
    platform: Platform, later: Callable[[float], None], broken: str
) -> None:
    if broken == "list":
        says(platform, 500, "broken")
    else:
        platform.average = Answer(500, {}, "broken")
    platform.told()
    asked = len(platform.calls)
    later(pricing.ASKED_AGAIN - 1)
    platform.told()
    assert len(platform.calls) == asked
    later(2)
    says(platform, 200, {"prices": [PRICE]})
    assert platform.told().price is not None


def test_each_account_has_its_own_prices(platform: Platform) -> None:
    says(platform, 200, {"prices": [PRICE]})
    platform.told()
    says(platform, 200, {"prices": [{**PRICE, "unit_price": 0.25}]})
    [told] = platform.ask(TEXT_TO_VIDEO, account=OTHER).values()
    assert told.price is not None
    assert told.price.amount == Decimal("0.25")
    assert platform.told().price != told.price


def test_no_key_is_kept_with_the_prices_and_they_are_bounded(platform: Platform) -> None:
    says(platform, 200, {"prices": []})
    platform.average = Answer(200, {}, {**AVERAGE, "total_cost": None})
    for number in range(30):
        platform.ask(*(f"fal-ai/model-{number}/{each}" for each in range(50)))
    assert "secret" not in repr(pricing._REMEMBERED)
    assert len(pricing._REMEMBERED) <= pricing._MOST_REMEMBERED + 50


def test_a_lost_answer_about_prices_is_no_submit(platform: Platform) -> None:
    platform.told()
    for call in platform.calls:
        error = call.lost(OSError("gone"), False)
        assert isinstance(error, errors.Unreachable)
        assert not isinstance(error, errors.SubmitUnknown)
