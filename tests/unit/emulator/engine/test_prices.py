"""Prices of a unit, and how many units a request is charged for."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_pika.emulator.engine.endpoints import ENDPOINTS
from airflow_provider_pika.emulator.engine.prices import LISTED, NO_PRICE, Prices, UnitPrice, cost, plain

IMAGE = "https://v3b.fal.media/files/b/cat.png"
MEDIA = {"prompt": "a cat", "image_url": IMAGE, "video_url": IMAGE, "image_urls": [IMAGE, IMAGE]}
V25 = "fal-ai/pika/v2.5/text-to-video"


def charged(path: str, prices: Prices, **given: Any) -> str:
    endpoint = f"fal-ai/pika/{path}"
    price = prices.of(endpoint)
    assert price is not None
    asked = ENDPOINTS[endpoint].model_validate({**MEDIA, **given})
    return plain(cost(asked.billable_units(price.unit), price))


def test_every_endpoint_has_a_price_or_a_placeholder() -> None:
    assert set(LISTED) == set(ENDPOINTS)


@pytest.mark.parametrize(
    ("path", "given", "usd"),
    [
        ("v2.2/text-to-video", {}, "0.2"),
        ("v2.2/text-to-video", {"resolution": "1080p"}, "0.45"),
        ("v2.2/image-to-video", {"resolution": "1080p"}, "0.45"),
        ("v2.2/pikascenes", {}, "0.45"),
        ("v2.2/pikascenes", {"resolution": "720p"}, "0.2"),
        ("v2.2/pikaframes", {}, "0.2"),
        ("v2.2/pikaframes", {"transitions": [{"duration": 1}]}, "0.2"),
        ("v2.2/pikaframes", {"transitions": [{"duration": 10}], "resolution": "1080p"}, "0.6"),
        ("v2.1/text-to-video", {"resolution": "1080p", "duration": 7}, "0.4"),
        ("v2/turbo/image-to-video", {}, "0.2"),
        ("v2/pikaswaps", {}, "0.47"),
        ("v2.5/text-to-video", {}, "0"),
    ],
)
def test_a_request_costs_what_the_page_of_its_endpoint_says(path: str, given: dict[str, Any], usd: str) -> None:
    assert charged(path, Prices({}), **given) == usd


@pytest.mark.parametrize(
    ("unit", "duration", "usd"), [("videos", 10, "0.3"), ("seconds", 5, "1.5"), ("seconds", 10, "3")]
)
def test_an_own_price_stands_in_place_of_the_listed_one(unit: str, duration: int, usd: str) -> None:
    own = Prices({V25: UnitPrice(unit, Decimal("0.30"))})
    assert charged("v2.5/text-to-video", own, duration=duration) == usd
    assert own.of("fal-ai/pika/v2.5/image-to-video") == NO_PRICE


def test_an_endpoint_that_fal_does_not_have_has_no_price() -> None:
    assert Prices({}).of("fal-ai/pika/v9") is None


def test_a_cost_is_in_whole_nano_dollars() -> None:
    assert cost(Decimal(3), UnitPrice("seconds", Decimal("0.1"))) == Decimal("0.3")
    assert cost(Decimal("2.25"), UnitPrice("videos", Decimal("0.000000001"))) == Decimal("0.000000002")


@pytest.mark.parametrize(
    ("number", "text"), [("5.00", "5"), ("2.25", "2.25"), ("100", "100"), ("1E+3", "1000"), ("0", "0")]
)
def test_a_number_is_written_without_exponent_and_zeros(number: str, text: str) -> None:
    assert plain(Decimal(number)) == text
