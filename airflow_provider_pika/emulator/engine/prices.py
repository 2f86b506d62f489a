"""What fal asks for a unit of each endpoint, as its pricing call says it and as it charges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from airflow_provider_pika.emulator.engine.endpoints import APP

#: The currency of every amount.
CURRENCY = "USD"

#: The smallest amount: fal counts in nano-dollars, too.
NANO = Decimal("1e-9")

OwnUnit = Literal["videos", "seconds"]

#: Units of which an account may have its own price.
UNITS: tuple[str, ...] = get_args(OwnUnit)


@dataclass(frozen=True)
class UnitPrice:
    """The price of one unit, in US dollars."""

    unit: str
    amount: Decimal


#: What fal's pricing call says of v2.5: a placeholder, which is no price (fal-protocol.md N12).
NO_PRICE = UnitPrice("compute seconds", Decimal(0))

#: The other placeholders that were seen of models without a set price, by their unit.
PLACEHOLDERS = {
    "units": UnitPrice("units", Decimal(1)),
    "compute seconds": UnitPrice("compute seconds", Decimal("0.00017")),
}

#: A video of v2.2 in 720p, and one of v2 turbo.
_V22 = _TURBO = UnitPrice("videos", Decimal("0.20"))
#: A video of v2.1.
_V21 = UnitPrice("videos", Decimal("0.40"))

#: The price of a unit of each endpoint that is served (00.1).
LISTED: dict[str, UnitPrice] = {
    f"{APP}/v2.5/text-to-video": NO_PRICE,
    f"{APP}/v2.5/image-to-video": NO_PRICE,
    f"{APP}/v2.2/text-to-video": _V22,
    f"{APP}/v2.2/image-to-video": _V22,
    f"{APP}/v2.2/pikascenes": _V22,
    f"{APP}/v2.2/pikaframes": UnitPrice("seconds", Decimal("0.04")),
    f"{APP}/v2.1/text-to-video": _V21,
    f"{APP}/v2.1/image-to-video": _V21,
    f"{APP}/v2/turbo/text-to-video": _TURBO,
    f"{APP}/v2/turbo/image-to-video": _TURBO,
    f"{APP}/v2/pikaswaps": UnitPrice("videos", Decimal("0.47")),
}


class OwnPrice(BaseModel):
    """A price that the account has of its own, in whole nano-dollars."""

    model_config = ConfigDict(extra="forbid")

    endpoint_id: str
    unit: OwnUnit
    unit_price: Annotated[Decimal, Field(ge=0, max_digits=15, decimal_places=9)]

    @field_validator("endpoint_id")
    @classmethod
    def _is_listed(cls, endpoint: str) -> str:
        if endpoint not in LISTED:
            raise ValueError(f"{endpoint!r} is not an endpoint: use one of {', '.join(LISTED)}")
        return endpoint


class Prices:
    """The prices of the account: its own where it has one, else the listed ones.

    :param own: the prices that it starts with.
    """

    def __init__(self, own: Mapping[str, UnitPrice]) -> None:
        self._first = {**LISTED, **own}
        self._prices = dict(self._first)

    def set(self, price: OwnPrice) -> None:
        """Charge this price from now on. What was charged stays as it was."""
        self._prices[price.endpoint_id] = UnitPrice(price.unit, price.unit_price)

    def reset(self) -> None:
        """Go back to the prices of the start."""
        self._prices = dict(self._first)

    def of(self, endpoint: str) -> UnitPrice | None:
        """Return what is charged for a unit, or None if there is no such endpoint.

        An endpoint with a placeholder alone is charged at it, which is nothing. What fal charges is not established.
        """
        return self._prices.get(endpoint)


def cost(units: Decimal, price: UnitPrice) -> Decimal:
    """Return what so many units cost, in whole nano-dollars."""
    return (units * price.amount).quantize(NANO)


def plain(number: Decimal) -> str:
    """Return a number without an exponent and without zeros at its end: ``5``, ``2.25``."""
    return format(number.normalize(), "f")
