"""The connection's own prices, read strictly: a wrong one would be a wrong limit, and a wrong bill."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.ids import app_of
from airflow_provider_pika.fal.prices import (
    CONNECTION,
    MOST,
    MOST_DIGITS,
    MOST_PLACES,
    UNITS,
    Price,
    is_currency,
    is_day,
    number_of,
)
from airflow_provider_pika.strict_json import shown

#: What an entry of the connection's ``prices`` takes.
_ENTRY = {"unit", "price", "currency", "tiers", "date"}
#: An example of one.
_EXAMPLE = '{"unit": "videos", "price": "0.30", "currency": "USD"}'

#: What a price takes.
_A_PRICE = (
    f"a decimal number above 0, 1,000,000 at most, with {MOST_DIGITS} digits at most, {MOST_PLACES} of them behind "
    'the point, such as "0.30"'
)


def own_prices_of(value: Any) -> dict[str, Price]:
    """Return the prices that a connection's extra ``prices`` has: a JSON object, or a text of one.

    A price of 0 is refused. With it, no limit of money would hold, and it is what fal's placeholders look like.

    :raises InvalidInput: naming the field, its value and what is allowed.
    """
    value = _parsed(value) if isinstance(value, str) else value
    if isinstance(value, Mapping) and list(value) == ["prices"]:
        value = value["prices"]  # pasted into the form's field as a message shows it, for the whole of the extra
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise _refused("prices", value, f'an object of endpoints, such as {{"{TEXT_TO_VIDEO}": {_EXAMPLE}}}')
    return {endpoint: _own_price(endpoint, entry) for endpoint, entry in value.items()}


def _parsed(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    if not text.strip():
        return None
    try:
        return json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=refuse)
    except (ValueError, ArithmeticError, RecursionError):
        raise _refused("prices", text, f'a JSON object such as {{"{TEXT_TO_VIDEO}": {_EXAMPLE}}}') from None


def _own_price(endpoint: Any, entry: Any) -> Price:
    try:
        app_of(endpoint)
    except InvalidInput:
        raise _refused("prices has the endpoint", endpoint, f"an id such as {TEXT_TO_VIDEO!r}", "") from None
    where = f"prices[{endpoint!r}]"
    if not isinstance(entry, Mapping):
        raise _refused(where, entry, f"an object such as {_EXAMPLE}")
    if strange := [key for key in entry if key not in _ENTRY]:
        raise _refused(f"{where}[{shown(strange[0])}]", entry[strange[0]], f"only {', '.join(sorted(_ENTRY))}")
    unit, currency, date = entry.get("unit"), entry.get("currency"), entry.get("date")
    if not isinstance(unit, str) or unit not in UNITS:
        raise _refused(f"{where}['unit']", unit, " or ".join(map(repr, UNITS)))
    if not is_currency(currency):
        raise _refused(f"{where}['currency']", currency, "three capital letters, such as 'USD'")
    if not (date is None or is_day(date)):
        raise _refused(f"{where}['date']", date, "the day for which the price is known, such as '2026-11-27'")
    tiers = entry.get("tiers", {})
    if not isinstance(tiers, Mapping) or not all(isinstance(name, str) and name for name in tiers):
        raise _refused(f"{where}['tiers']", tiers, 'prices by resolution, such as {"1080p": "0.45"}')
    amount = _own_amount(f"{where}['price']", entry.get("price"))
    prices = {name: _own_amount(f"{where}['tiers'][{shown(name)}]", given) for name, given in tiers.items()}
    return Price(unit, amount, str(currency), CONNECTION, date, prices)


def _own_amount(where: str, given: Any) -> Decimal:
    amount = number_of(given)
    if not amount or amount > MOST:
        raise _refused(where, given, _A_PRICE)
    return amount


def _refused(where: str, value: Any, allowed: str, sign: str = "=") -> InvalidInput:
    given = str(value) if isinstance(value, Decimal) else shown(value)
    return InvalidInput(f"{where}{sign or ' '}{given[:200]} is not allowed: it takes {allowed}.")
