"""Money: whose price counts, what is unknown, and sums to the last digit."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.fal import TEXT_TO_VIDEO, rate_card
from airflow_provider_pika.fal.own_prices import own_prices_of
from airflow_provider_pika.fal.prices import (
    CARD,
    CONNECTION,
    FAL,
    HISTORY,
    UNITS,
    Cost,
    Price,
    Prices,
    Told,
    billed,
    estimate,
    money,
    to_paste,
    told_average,
    told_price,
    total,
)
from tests.support.hostile import nasty
from tests.support.sizes import examples

TODAY = "2026-11-27"
V2_2 = "fal-ai/pika/v2.2/text-to-video"
CLIP = {"prompt": "a fox", "resolution": "720p", "duration": 5}

fuzzed = examples(60, 20_000)


def price(amount: str, unit: str = "videos", source: str = FAL, currency: str = "USD", **tiers: str) -> Price:
    return Price(
        unit, Decimal(amount), currency, source, TODAY, {name: Decimal(given) for name, given in tiers.items()}
    )


def fal_tells(endpoint: str, amount: str, unit: str = "videos") -> Prices:
    return Prices(told={endpoint: Told(price(amount, unit))})


# --- whose price counts


def test_the_connections_price_counts_before_fals_and_fals_before_the_rate_card() -> None:
    told = {V2_2: Told(price("0.11"))}
    assert estimate(V2_2, CLIP, Prices({V2_2: price("0.05", source=CONNECTION)}, told)).amount == Decimal("0.05")
    assert estimate(V2_2, CLIP, Prices(told=told)).amount == Decimal("0.11")
    card = estimate(V2_2, CLIP, Prices())
    assert (card.amount, card.source, card.priced_at) == (Decimal("0.20"), CARD, rate_card.AS_OF)


def test_fals_average_counts_before_the_rate_card_and_is_never_billed_with() -> None:
    prices = Prices(told={V2_2: Told(None, price("0.23", source=HISTORY), "fal's price list does not have it")})
    cost = estimate(V2_2, CLIP, prices)
    assert (cost.amount, cost.source) == (Decimal("0.23"), HISTORY)
    assert billed(V2_2, 1.0, prices).amount is None


@pytest.mark.parametrize(
    ("clip", "amount", "source"),
    [
        ({"resolution": "720p", "duration": 5}, "0.11", FAL),
        ({"resolution": "1080p", "duration": 5}, "0.45", CARD),  # one price of fal's knows no resolution
        ({"resolution": "720p", "duration": 10}, "0.40", CARD),
    ],
)
def test_an_estimate_is_not_below_the_rate_card_where_fals_one_price_cannot_tell_tiers_apart(
    clip: dict[str, Any], amount: str, source: str
) -> None:
    cost = estimate(V2_2, clip, fal_tells(V2_2, "0.11"))
    assert (cost.amount, cost.source) == (Decimal(amount), source)


@pytest.mark.parametrize(
    ("endpoint", "clip", "amount", "units"),
    [
        (V2_2, {}, "0.20", 1),
        (V2_2, {"resolution": "1080p", "duration": "10"}, "0.90", 1),
        ("fal-ai/pika/v2.2/pikascenes", {}, "0.45", 1),
        ("fal-ai/pika/v2.2/pikaframes", {"image_urls": ["a", "b"], "resolution": "1080p"}, "0.30", 5),
        ("fal-ai/pika/v2.2/pikaframes", {"transitions": [{"duration": 2}]}, "0.20", 5),  # 5 s at least
        ("fal-ai/pika/v2.2/pikaframes", {"transitions": [{"duration": 7}, {}]}, "0.48", 12),
        ("fal-ai/pika/v2.1/image-to-video", {"duration": 7}, "0.40", 1),
        ("fal-ai/pika/v2/turbo/text-to-video", {"resolution": "1080p"}, "0.20", 1),
        ("fal-ai/pika/v2/pikaswaps", {}, "0.47", 1),
        ("fal-ai/pika/v2/pikadditions", {}, "0.465", 1),
    ],
)
def test_the_rate_card_estimates_by_resolution_and_length(
    endpoint: str, clip: dict[str, Any], amount: str, units: int
) -> None:
    cost = estimate(endpoint, clip, Prices())
    assert (cost.amount, cost.units, cost.basis) == (Decimal(amount), Decimal(units), "estimated")


@pytest.mark.parametrize(
    ("endpoint", "clip"),
    [
        (TEXT_TO_VIDEO, CLIP),
        ("fal-ai/pika/v2.5/image-to-video", CLIP),
        ("fal-ai/pika/v2.5/pikaframes", {}),
        ("fal-ai/pika/v1.5/pikaffects", {}),
        ("fal-ai/another/model", CLIP),
        (V2_2, {"resolution": "480p"}),
        (V2_2, {"duration": 7}),
        ("fal-ai/pika/v2.2/pikascenes", {"resolution": "1080p", "duration": 10}),  # its sources disagree
        ("fal-ai/pika/v2.2/pikaframes", {"transitions": [{"duration": "long"}]}),
        ("fal-ai/pika/v2.2/pikaframes", {"transitions": []}),
    ],
)
def test_what_no_source_prices_is_unknown_and_never_zero(endpoint: str, clip: dict[str, Any]) -> None:
    cost = estimate(endpoint, clip, Prices())
    assert cost.amount is None
    assert cost.currency is None
    assert cost.reason


def test_seconds_are_counted_by_the_input_and_a_length_that_nobody_tells_is_unknown() -> None:
    prices = fal_tells(TEXT_TO_VIDEO, "0.08", "seconds")
    assert estimate(TEXT_TO_VIDEO, {**CLIP, "duration": 10}, prices).amount == Decimal("0.80")
    other = "fal-ai/another/model"
    assert estimate(other, {"duration": 4}, fal_tells(other, "0.5", "seconds")).amount == 2
    for length in ("auto", "8s", True, -1, 0, 0.0005, float("nan"), 10**9, None):
        assert estimate(other, {"duration": length}, fal_tells(other, "0.5", "seconds")).amount is None


def test_the_connections_tiers_estimate_and_never_bill() -> None:
    prices = Prices({TEXT_TO_VIDEO: price("0.30", source=CONNECTION, **{"1080p": "0.60"})})
    assert estimate(TEXT_TO_VIDEO, {**CLIP, "resolution": "1080p"}, prices).amount == Decimal("0.60")
    assert estimate(TEXT_TO_VIDEO, CLIP, prices).amount == Decimal("0.30")
    assert billed(TEXT_TO_VIDEO, 2.0, prices).amount == Decimal("0.60")  # two units of 0.30, not of 0.60


# --- the rate card's page


def test_every_amount_of_the_rate_card_has_its_evidence() -> None:
    lines = [line for endpoint in rate_card.RATE_CARD.values() for line in endpoint.lines]
    assert {line.evidence for line in lines} == {"DOC", "3P"}
    assert {line.unit for line in lines} <= set(UNITS)
    assert all(line.amount > 0 for line in lines)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", rate_card.AS_OF)


# --- billed


def test_a_bill_is_fals_units_times_one_price_of_a_unit() -> None:
    cost = billed(V2_2, 2.25, fal_tells(V2_2, "0.2"))
    assert cost == Cost(Decimal("0.45"), "USD", "billed", TODAY, FAL, Decimal("2.25"))


def test_a_bill_is_exact_where_a_usual_calculation_would_round() -> None:
    cost = billed(V2_2, 123.456789012345, fal_tells(V2_2, "123.456789012345"))
    assert money(cost.amount or Decimal(0)) == "15241.578753238669120562399025"


def test_a_bill_never_uses_the_rate_card() -> None:
    cost = billed(V2_2, 1.0, Prices())
    assert (cost.amount, cost.units) == (None, Decimal(1))
    assert json.dumps(to_paste(V2_2)) in str(cost.reason)


@pytest.mark.parametrize(
    "units",
    [
        *(None, float("nan"), float("inf"), -1, -0.5, True, False, 1e12, 10**400),
        *("", "many", "1e3", "-1", "nan", "\u0661", "0x1", "1_0", "9" * 400),
        *([], {}, [1], {"a": 1}),
        *(Decimal("NaN"), Decimal("sNaN"), Decimal("-1"), Decimal("1E+999999")),
    ],
    ids=lambda units: repr(units)[:20],
)
def test_units_that_fal_cannot_have_meant_are_unknown(units: Any) -> None:
    cost = billed(V2_2, units, fal_tells(V2_2, "0.20"))
    assert cost.amount is None
    assert cost.reason
    assert "\n" not in cost.reason
    assert len(cost.reason) < 200


def test_a_price_for_another_unit_than_fal_bills_makes_no_amount() -> None:
    prices = Prices({V2_2: price("0.30", source=CONNECTION)}, {V2_2: Told(price("0.04", "seconds"))})
    cost = billed(V2_2, 5.0, prices)
    assert cost.amount is None
    assert "fal bills seconds" in str(cost.reason)


# --- what fal tells


def row(**other: Any) -> dict[str, Any]:
    return {"endpoint_id": V2_2, "unit_price": 0.2, "unit": "videos", "currency": "USD", **other}


def test_fals_price_is_taken_as_fal_wrote_it_and_not_as_a_float_has_it() -> None:
    meant = {0.1: "0.1", 0.9 * 0.2: "0.18", 0.1 + 0.2: "0.3", 2: "2", "0.45": "0.45", 1e-5: "0.00001"}
    for said, amount in meant.items():
        told = told_price([row(unit_price=said)], V2_2, TODAY)
        assert isinstance(told, Price)
        assert told.amount == Decimal(amount)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [row(endpoint_id=TEXT_TO_VIDEO)],
        [row(unit="compute seconds", unit_price=0)],
        [row(unit="compute seconds", unit_price=0.00017)],
        [row(unit="units", unit_price=1)],
        [row(unit="units", unit_price=0.2)],
        [row(unit="Videos")],
        [row(unit=None)],
        [row(unit_price=0)],
        [row(unit_price=-0.2)],
        [row(unit_price=True)],
        [row(unit_price=None)],
        [row(unit_price=[0.2])],
        [row(unit={"name": "videos"})],
        [row(unit_price=1e300)],
        [row(currency="usd")],
        [row(currency=None)],
        [row(currency="\uff35\uff33\uff24")],
        [row(), row(unit_price=0.4)],
        ["0.2", None, 7],
    ],
    ids=repr,
)
def test_a_placeholder_or_what_cannot_be_read_is_no_price(rows: list[Any]) -> None:
    assert isinstance(told_price(rows, V2_2, TODAY), str)


def test_the_same_price_told_twice_is_one_price() -> None:
    assert isinstance(told_price([row(), row(), "noise"], V2_2, TODAY), Price)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"estimate_type": "unit_price", "total_cost": 1.0, "currency": "USD"},
        *(
            {"estimate_type": "historical_api_price", "total_cost": cost, "currency": "USD"}
            for cost in (None, 0, -1, True, "free", 1e300, [1], float("nan"))
        ),
        {"estimate_type": "historical_api_price", "total_cost": 1.0},
    ],
    ids=repr,
)
def test_an_average_that_fal_does_not_tell_is_unknown(body: Any) -> None:
    assert told_average(body, TODAY) is None


# --- the connection's prices


ENTRY = {"unit": "videos", "price": "0.30", "currency": "USD"}


@pytest.mark.parametrize("given", [None, "", "  ", {}, "{}"])
def test_a_connection_may_have_no_prices(given: Any) -> None:
    assert own_prices_of(given) == {}


@pytest.mark.parametrize("amount", ["0.30", 0.3, Decimal("0.3")], ids=repr)
def test_the_connections_prices_are_an_object_or_its_text_with_texts_or_numbers(amount: Any) -> None:
    prices = own_prices_of({TEXT_TO_VIDEO: {**ENTRY, "price": amount}})
    assert prices == {TEXT_TO_VIDEO: Price("videos", Decimal("0.3"), "USD", CONNECTION)}
    text = f'{{"{TEXT_TO_VIDEO}": {{"unit": "videos", "price": {str(amount)!s}, "currency": "USD"}}}}'
    assert own_prices_of(text) == prices


def test_a_number_in_the_texts_json_is_read_as_it_is_written() -> None:
    text = f'{{"{TEXT_TO_VIDEO}": {{"unit": "videos", "price": 0.3000000000000000001, "currency": "USD"}}}}'
    with pytest.raises(InvalidInput, match=r"\['price'\]=0\.3000000000000000001 is not allowed"):
        own_prices_of(text)  # a float would have made 0.3 of it


def test_what_a_message_shows_is_taken_as_it_stands_once_the_price_is_filled_in() -> None:
    shown = json.dumps(to_paste(TEXT_TO_VIDEO))
    with pytest.raises(InvalidInput, match=r"\['price'\]='\?' is not allowed"):
        own_prices_of(shown)
    filled = own_prices_of(shown.replace("?", "0.30"))
    assert filled == own_prices_of(json.loads(shown.replace("?", "0.30"))["prices"])
    assert filled[TEXT_TO_VIDEO].amount == Decimal("0.30")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"price": 0}, "['price']=0"),
        ({"price": "0.00"}, "['price']='0.00'"),
        ({"price": -1}, "['price']=-1"),
        ({"price": True}, "['price']=True"),
        ({"price": None}, "['price']=None"),
        ({"price": "free"}, "['price']='free'"),
        ({"price": float("nan")}, "['price']=nan"),
        ({"price": float("inf")}, "['price']=inf"),
        ({"price": 1e9}, "['price']=1000000000.0"),
        ({"price": 0.1 + 0.2}, "['price']=0.30000000000000004"),  # a float that nobody wrote: say it as a text
        ({"price": "0.1234567890123456"}, "['price']='0.1234567890123456'"),
        ({"price": "1e-3"}, "['price']='1e-3'"),
        ({"price": ["0.30"]}, "['price']=['0.30']"),
        ({"unit": "clips"}, "['unit']='clips'"),
        ({"unit": ["videos"]}, "['unit']=['videos']"),
        ({"currency": "usd"}, "['currency']='usd'"),
        ({"currency": None}, "['currency']=None"),
        ({"date": "last week"}, "['date']='last week'"),
        ({"tiers": "0.30"}, "['tiers']='0.30'"),
        ({"tiers": {"1080p": 0}}, "['tiers']['1080p']=0"),
        ({"amount": "0.30"}, "['amount']='0.30'"),
    ],
    ids=repr,
)
def test_a_wrong_price_is_refused_by_its_name_its_value_and_what_is_allowed(change: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        own_prices_of({TEXT_TO_VIDEO: {**ENTRY, **change}})
    assert f"prices['{TEXT_TO_VIDEO}']{named} is not allowed: it takes " in refused.value.message


@pytest.mark.parametrize(
    "given",
    [[], 7, "[", "[1]", "NaN", "[" * 100_000, {"no endpoint": ENTRY}, {TEXT_TO_VIDEO: 0.3}],
    ids=lambda g: str(g)[:20],
)
def test_prices_that_are_no_object_of_endpoints_are_refused(given: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^prices.* is not allowed: it takes "):
        own_prices_of(given)


# --- sums


def known(amount: str, currency: str = "USD", basis: Any = "billed") -> Cost:
    return Cost(Decimal(amount), currency, basis, TODAY, FAL, Decimal(1))


UNKNOWN = Cost(None, None, "billed", reason="fal did not say.")


def test_a_sum_with_an_unknown_part_says_so() -> None:
    whole = total([known("0.20"), UNKNOWN, known("0.45"), UNKNOWN])
    assert (whole.amount, whole.known, whole.unknown, whole.is_whole) == (Decimal("0.65"), 2, 2, False)
    assert whole.reasons == {"fal did not say.": 2}
    assert str(whole) == "0.65 USD and 2 unknown"


def test_different_currencies_are_never_added() -> None:
    whole = total([known("0.20"), known("1", "EUR"), known("0.10")])
    assert (whole.amount, whole.currency, whole.is_whole) == (None, None, False)
    assert whole.as_json()["amounts"] == {"USD": "0.30", "EUR": "1.00"}


def test_nothing_known_is_no_amount_and_not_zero() -> None:
    for costs in ([], [UNKNOWN]):
        assert total(costs).as_json()["amount"] is None


def test_a_sum_is_billed_only_if_all_of_it_is() -> None:
    assert total([known("1"), known("2")]).basis == "billed"
    assert total([known("1"), known("2", basis="estimated")]).basis == "estimated"


def test_an_amount_is_written_as_people_write_it() -> None:
    amounts = {"0.2": "0.20", "12": "12.00", "0.465": "0.465", "1E+3": "1000.00", "1E-9": "0.000000001", "0E+5": "0.00"}
    assert {text: money(Decimal(text)) for text in amounts} == amounts


# --- properties


amounts = st.one_of(
    st.integers(1, 10**8).map(lambda cents: Decimal(cents).scaleb(-2)),
    st.integers(1, 10**15 - 1).map(lambda digits: Decimal(digits).scaleb(-12)),
)
prices_of_fal = st.builds(lambda amount, unit: Price(unit, amount, "USD", FAL, TODAY), amounts, st.sampled_from(UNITS))
told = st.builds(Told, st.none() | prices_of_fal, st.none() | prices_of_fal)
books = st.builds(
    lambda own, told: Prices({} if own is None else {V2_2: own}, {} if told is None else {V2_2: told}),
    st.none() | prices_of_fal,
    st.none() | told,
)
anything = st.one_of(nasty, st.floats(), st.decimals(), st.text(), st.integers(), amounts)


@fuzzed
@given(units=anything, book=books)
def test_there_is_never_a_bill_where_units_or_price_are_unknown(units: Any, book: Prices) -> None:
    cost = billed(V2_2, units, book)
    if book.of_unit(V2_2) is None or cost.units is None:
        assert cost.amount is None
    assert (cost.amount is None) == (cost.currency is None) == (cost.reason is not None)
    if cost.amount is not None:
        unit = book.of_unit(V2_2)
        assert unit is not None
        assert Fraction(cost.amount) == Fraction(unit.amount) * Fraction(cost.units or 0)
        assert cost.units is not None
        assert Decimal(0) <= cost.units <= 1_000_000
    assert Cost.from_json(json.loads(json.dumps(cost.as_json(), allow_nan=False))) == cost


@fuzzed
@given(
    endpoint=st.sampled_from([*rate_card.RATE_CARD, "fal-ai/another/model"]),
    arguments=st.dictionaries(st.sampled_from(["duration", "resolution", "transitions", "image_urls"]), anything),
)
def test_there_is_never_an_estimate_of_zero_whatever_the_input_says(endpoint: str, arguments: dict[str, Any]) -> None:
    for book in (Prices(), fal_tells(endpoint, "0.01", "seconds"), fal_tells(endpoint, "0.01")):
        cost = estimate(endpoint, arguments, book)
        assert cost.amount is None or cost.amount > 0
        assert (cost.amount is None) == (cost.reason is not None)
        assert Cost.from_json(json.loads(json.dumps(cost.as_json()))) == cost


@fuzzed
@given(
    rows=st.lists(st.one_of(nasty, st.builds(row, unit_price=anything, unit=anything, currency=anything)), max_size=4)
)
def test_fals_price_is_above_zero_and_of_a_known_unit_whatever_fal_says(rows: list[Any]) -> None:
    told = told_price(rows, V2_2, TODAY)
    assert isinstance(told, str) or (told.amount > 0 and told.unit in UNITS and re.fullmatch("[A-Z]{3}", told.currency))


@fuzzed
@given(given=anything)
def test_a_price_of_the_connection_is_refused_in_words_or_is_above_zero(given: Any) -> None:
    for prices in (given, {TEXT_TO_VIDEO: given}, {TEXT_TO_VIDEO: {**ENTRY, "price": given}}):
        own: dict[str, Price] = {}
        with suppress(InvalidInput):
            own = own_prices_of(prices)
        assert all(price.amount > 0 for price in own.values())


@fuzzed
@given(parts=st.lists(st.none() | st.tuples(amounts, st.sampled_from(["USD", "EUR"])), max_size=30))
def test_sums_are_exact_to_the_last_digit(parts: list[Any]) -> None:
    costs = [UNKNOWN if part is None else Cost(part[0], part[1], "billed", TODAY, FAL, Decimal(1)) for part in parts]
    whole = total(costs)
    for currency in ("USD", "EUR"):
        exact = sum(Fraction(part[0]) for part in parts if part and part[1] == currency)
        assert Fraction(whole.amounts.get(currency, Decimal(0))) == exact
        assert Fraction(whole.as_json()["amounts"].get(currency, "0")) == exact
    assert whole.unknown == parts.count(None)
    assert whole.known == len(parts) - whole.unknown


@fuzzed
@given(value=st.one_of(anything, st.dictionaries(st.sampled_from([*known("1").as_json()]), anything)))
def test_what_is_no_cost_is_read_as_unknown(value: Any) -> None:
    cost = Cost.from_json(value)
    assert cost.amount is None or cost.amount >= 0
    json.dumps(cost.as_json(), allow_nan=False)


@pytest.mark.parametrize(
    "value", [None, {}, {**known("1").as_json(), "amount": 1.0}, {**known("1").as_json(), "amount": "1E3"}], ids=repr
)
def test_a_cost_that_was_not_written_so_is_unknown(value: Any) -> None:
    assert Cost.from_json(value).reason == "Its cost cannot be read."
