"""What a clip costs, pure: whose price counts, what is unknown, and sums that are exact.

Money is a ``Decimal`` in here and a decimal text in JSON, never a float. What nobody tells is unknown: never 0, never
a guess. An estimate goes by the input. A billed cost goes by the units that fal billed, and by one price of a unit.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import Any, Literal, TypeGuard

from airflow_provider_pika.fal import rate_card
from airflow_provider_pika.strict_json import one_line, shown

#: Units of which we know what they count. Others, "units" or "compute seconds", are fal's placeholders for a model
#: without a price, and were off by up to 98 times (fal-protocol.md, N12).
UNITS = ("videos", "seconds")

#: Who says what something costs, the first of them first.
CONNECTION, FAL, HISTORY, CARD = "connection", "fal", "fal's history", "rate card"

#: The source of a cost of 0: an earlier request has paid for the clip.
REUSED = "reused"

#: The largest price, and the most units of one request: a clip has some seconds.
MOST = Decimal(1_000_000)

#: Digits of a price or of units, and of them behind the point. A float keeps 15 digits as they were written.
MOST_DIGITS, MOST_PLACES = 15, 12

#: Calculates without rounding: a product of two such numbers has 30 digits, a sum of 10^30 of them 60.
_EXACT = Context(prec=100)

#: A plain decimal number, and the name of a currency.
_NUMBER, _CURRENCY = re.compile(r"\d{1,30}(\.\d{1,30})?", re.ASCII), re.compile(r"[A-Z]{3}", re.ASCII)

#: A day, as ISO 8601 writes it.
_DAY = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])", re.ASCII)

#: Characters of a unit's name, and of a reason, that come from outside.
_LONGEST_UNIT, _LONGEST_REASON = 40, 2000

#: Different reasons that a sum tells.
_MOST_REASONS = 20

Basis = Literal["billed", "estimated"]


@dataclass(frozen=True)
class Price:
    """What one unit costs.

    :param unit: one of :data:`UNITS`.
    :param source: whose price it is: :data:`CONNECTION`, :data:`FAL`, :data:`HISTORY` or :data:`CARD`.
    :param date: the day for which it is known, ISO 8601; None: its source has no date.
    :param tiers: prices of a unit by resolution. They only estimate.
    """

    unit: str
    amount: Decimal
    currency: str
    source: str
    date: str | None = None
    tiers: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True)
class Told:
    """What fal tells about an endpoint's price.

    :param price: the account's price of a unit.
    :param history: what a call has cost on average.
    :param reason: why there is no ``price``, as a part of a sentence.
    """

    price: Price | None = None
    history: Price | None = None
    reason: str = "fal was not asked for it"


@dataclass(frozen=True)
class Prices:
    """What is known for an account.

    :param own: the connection's prices, by endpoint.
    :param told: what fal tells, by endpoint.
    """

    own: Mapping[str, Price] = field(default_factory=dict)
    told: Mapping[str, Told] = field(default_factory=dict)

    def of_unit(self, endpoint: str) -> Price | None:
        """Return the account's single price of a billed unit; None: it is unknown."""
        return self.own.get(endpoint) or self.told.get(endpoint, Told()).price

    def unknown(self, endpoint: str, units: Decimal | None = None) -> str:
        """Return why the price of a unit is unknown, and what to do.

        :param units: as :func:`to_paste`.
        """
        return unknown_price(endpoint, self.told.get(endpoint, Told()).reason, units)


@dataclass(frozen=True)
class Cost:
    """What a clip costs.

    :param amount: None: it is unknown, and ``reason`` says why.
    :param priced_at: the day of its price, ISO 8601; None: the price has no date.
    :param source: whose price it is, or :data:`REUSED`.
    :param units: what was counted: billed units, or the videos or seconds of an estimate.
    """

    amount: Decimal | None
    currency: str | None
    basis: Basis
    priced_at: str | None = None
    source: str | None = None
    units: Decimal | None = None
    reason: str | None = None

    def __str__(self) -> str:
        """Return it as a log line has it: ``0.20 USD``."""
        return "unknown" if self.amount is None else f"{money(self.amount)} {self.currency}"

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object, its numbers as decimal texts."""
        amount = None if self.amount is None else money(self.amount)
        return {**vars(self), "amount": amount, "units": None if self.units is None else _plain(self.units)}

    @classmethod
    def from_json(cls, value: Any) -> Cost:
        """Read what :meth:`as_json` wrote. Never raises: what cannot be read is unknown."""
        known = value if isinstance(value, Mapping) else {}
        basis: Basis = "billed" if known.get("basis") == "billed" else "estimated"
        amount, units = (_written(known.get(name)) for name in ("amount", "units"))
        currency, day, source, reason = (known.get(name) for name in ("currency", "priced_at", "source", "reason"))
        readable = (
            amount is not None
            and known.get("basis") in ("billed", "estimated")
            and is_currency(currency)
            and source in (CONNECTION, FAL, HISTORY, CARD, REUSED)
            and (day is None or is_day(day))
            and units is not None
        )
        if readable:
            return cls(amount, currency, basis, day, source, units)
        said = isinstance(reason, str) and known.get("amount") is None
        return _unknown(basis, one_line(str(reason), _LONGEST_REASON) if said else "Its cost cannot be read.", units)


@dataclass(frozen=True)
class Total:
    """The sum of some costs.

    :param amounts: the known ones, by currency; different currencies are never added.
    :param basis: "billed" if all known ones are.
    :param reasons: why the others are unknown, and how many; the most frequent ones.
    """

    amounts: Mapping[str, Decimal]
    known: int
    unknown: int
    basis: Basis
    reasons: Mapping[str, int]

    @property
    def amount(self) -> Decimal | None:
        """The sum of the known ones; None: none is known, or they have several currencies."""
        return next(iter(self.amounts.values())) if len(self.amounts) == 1 else None

    @property
    def currency(self) -> str | None:
        """Its currency."""
        return next(iter(self.amounts)) if len(self.amounts) == 1 else None

    @property
    def is_whole(self) -> bool:
        """Whether the sum has all costs, in one currency."""
        return self.unknown == 0 and self.amount is not None

    def __str__(self) -> str:
        """Return it as a log line has it: ``12.40 USD and 3 unknown``."""
        parts = [f"{money(amount)} {currency}" for currency, amount in self.amounts.items()]
        parts += [f"{self.unknown} unknown"] if self.unknown else []
        return " and ".join(parts) or "nothing"

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object, its amounts as decimal texts."""
        return {
            "amount": None if self.amount is None else money(self.amount),
            "currency": self.currency,
            "amounts": {currency: money(amount) for currency, amount in self.amounts.items()},
            "basis": self.basis,
            "known": self.known,
            "unknown": self.unknown,
            "reasons": [{"reason": reason, "clips": clips} for reason, clips in self.reasons.items()],
        }


def estimate(endpoint: str, arguments: Mapping[str, Any], prices: Prices) -> Cost:
    """Return what a clip will cost, as far as it is known.

    The connection's price counts before fal's, that before fal's average, and that before the rate card. A single price
    of fal's knows no resolution and no length. Where the rate card has a dearer line for them, the dearer of the two
    counts: an estimate that is too low would let a limit pass.

    :param arguments: the endpoint's input, checked.
    """
    if own := prices.own.get(endpoint):
        resolution = rate_card.resolution_of(endpoint, arguments)
        return _priced(own, own.tiers.get(resolution or "", own.amount), endpoint, arguments)
    told = prices.told.get(endpoint, Told())
    by_fal = [_priced(price, price.amount, endpoint, arguments) for price in (told.price, told.history) if price]
    known = next((cost for cost in by_fal if cost.amount is not None), None)
    line = rate_card.line_of(endpoint, arguments)
    if line is None:
        unknown = by_fal[0] if by_fal else _unknown("estimated", prices.unknown(endpoint))
        return known or unknown
    price = Price(line.unit, line.amount, rate_card.CURRENCY, CARD, rate_card.AS_OF)
    by_card = _priced(price, line.amount, endpoint, arguments)
    if known is None or by_card.amount is None:
        return known or by_card
    same = known.currency == by_card.currency and not rate_card.is_base(endpoint, line)
    return by_card if same and known.amount is not None and by_card.amount > known.amount else known


def billed(endpoint: str, units: Any, prices: Prices) -> Cost:
    """Return what fal billed: its units times the account's single price of one, never times a tier.

    :param units: fal's billable units, as a header or a billing event has them; anything at all.
    """
    counted = number_of(units, noisy=True)
    if counted is None or counted > MOST:
        said = "fal did not say" if units is None else f"fal said {shown(units)[:_LONGEST_UNIT]} for"
        return _unknown("billed", f"It is not known what was billed: {said} the billed units.")
    if (price := prices.of_unit(endpoint)) is None:
        return _unknown("billed", prices.unknown(endpoint, counted), counted)
    told = prices.told.get(endpoint, Told()).price
    if told and told.unit != price.unit:
        reason = f"The connection has a price for {price.unit}, and fal bills {told.unit}. Correct the connection."
        return _unknown("billed", reason, counted)
    if price.unit == "videos" and price.source == CONNECTION and _are_seconds(counted):
        reason = (
            f"The connection has a price for videos, and fal billed {_plain(counted)} units for one clip: these look "
            "like seconds. Correct unit and price in the connection."
        )
        return _unknown("billed", reason, counted)
    amount = _EXACT.multiply(counted, price.amount)
    return Cost(amount, price.currency, "billed", price.date, price.source, counted)


def reused(endpoint: str, prices: Prices) -> Cost:
    """Return the cost of a clip that an earlier request has paid for: 0, in the currency of the account's price."""
    price = prices.of_unit(endpoint)
    return Cost(Decimal(0), price.currency if price else rate_card.CURRENCY, "billed", None, REUSED, Decimal(0))


def _are_seconds(units: Decimal) -> bool:
    """Return whether billed units count seconds: clips have 5 of them and more, and no video counts as so many."""
    return units >= 5 and units == units.to_integral_value()


def total(costs: Iterable[Cost]) -> Total:
    """Return the exact sum of some costs."""
    amounts: dict[str, Decimal] = {}
    reasons: Counter[str] = Counter()
    known, bases = 0, set()
    for cost in costs:
        if cost.amount is None or cost.currency is None:
            reasons[cost.reason or "It is not known why."] += 1
            continue
        known += 1
        bases.add(cost.basis)
        amounts[cost.currency] = _EXACT.add(amounts.get(cost.currency, Decimal(0)), cost.amount)
    basis: Basis = "billed" if bases == {"billed"} else "estimated"
    return Total(amounts, known, reasons.total(), basis, dict(reasons.most_common(_MOST_REASONS)))


def told_price(rows: Sequence[Any], endpoint: str, today: str) -> Price | str:
    """Return the price that fal's price list has for an endpoint, or why it has none, as a part of a sentence.

    :param rows: the list's entries, as fal sent them.
    """
    said = {_row(row) for row in rows if isinstance(row, Mapping) and row.get("endpoint_id") == endpoint}
    if not said:
        return "fal's price list does not have it"
    if len(said) > 1:
        return "fal's price list has several prices for it"
    [(amount, unit, currency)] = said
    if amount is None or currency is None:
        return "fal's price list has no price for it that can be read"
    if amount == 0 or unit not in UNITS:
        return f"fal's price list has a placeholder for it, {_plain(amount)} for {unit!r}"
    return Price(unit, amount, currency, FAL, today)


def told_average(body: Any, today: str) -> Price | None:
    """Return what one call has cost on average, by fal's answer to an estimate by history; None: it does not say."""
    if not isinstance(body, Mapping) or body.get("estimate_type") != "historical_api_price":
        return None
    amount, currency = number_of(body.get("total_cost"), noisy=True), body.get("currency")
    if not amount or amount > MOST or not is_currency(currency):
        return None
    return Price("videos", amount, currency, HISTORY, today)


def to_paste(endpoint: str, units: Decimal | None = None) -> dict[str, Any]:
    """Return what the connection's extra needs to have a price of this endpoint, with ? where the price belongs.

    :param units: those that fal billed for a clip, by which its unit is known.
    """
    unit = "seconds" if units is not None and _are_seconds(units) else "videos"
    return {"prices": {endpoint: {"unit": unit, "price": "?", "currency": "USD"}}}


def unknown_price(endpoint: str, why: str, units: Decimal | None = None) -> str:
    """Return the message for a price that is unknown, with what to do.

    :param units: as :func:`to_paste`.
    """
    text = json.dumps(to_paste(endpoint, units))
    return (
        f"The price of {endpoint} is unknown: {why}. To tell it, add this to the connection's extra, with the price in "
        f"place of the question mark: {text}"
    )


def money(amount: Decimal) -> str:
    """Return an amount as people write it: 0.20, 12.00, 0.465; never with an exponent."""
    whole, _, places = _plain(amount).partition(".")
    return f"{whole}.{places.ljust(2, '0')}"


def _plain(number: Decimal) -> str:
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _priced(price: Price, amount: Decimal, endpoint: str, arguments: Mapping[str, Any]) -> Cost:
    units = Decimal(1) if price.unit == "videos" else rate_card.seconds_of(endpoint, arguments)
    if units is None:
        reason = f"{endpoint} costs {money(amount)} {price.currency} a second, and the input does not say how many."
        return _unknown("estimated", reason)
    cost = _EXACT.multiply(amount, units)
    return Cost(cost, price.currency, "estimated", price.date, price.source, units)


def _unknown(basis: Basis, reason: str, units: Decimal | None = None) -> Cost:
    return Cost(None, None, basis, units=units, reason=reason)


def number_of(value: Any, *, noisy: bool = False) -> Decimal | None:
    """Return a number as it was written, 0 or more; None: it is none, or has more digits than can be meant.

    :param noisy: a float may have been calculated: 0.9 times 0.2 is 0.18000000000000002, and 0.18 is meant.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None  # fal's and the user's numbers may be texts, too
    if isinstance(value, str):
        return _bounded(Decimal(value.strip())) if _NUMBER.fullmatch(value.strip()) else None
    if isinstance(value, float):
        return _bounded(Decimal(format(value, ".15g") if noisy else repr(value))) if math.isfinite(value) else None
    return _bounded(Decimal(value))


def _bounded(number: Decimal) -> Decimal | None:
    if not number.is_finite() or number.is_signed() or number.adjusted() > MOST_DIGITS:
        return None
    digits = "".join(map(str, number.as_tuple().digits)).rstrip("0")
    places = len(digits) - number.adjusted() - 1  # behind the point, without zeros at the end
    fits = not digits or (len(digits) <= MOST_DIGITS and places <= MOST_PLACES)
    return number.normalize(_EXACT) if fits else None


def _written(text: Any) -> Decimal | None:
    """Read a number that we have written; a sum may have more digits than a price."""
    written = isinstance(text, str) and re.fullmatch(r"\d{1,60}(\.\d{1,40})?", text, re.ASCII)
    return Decimal(text).normalize(_EXACT) if written else None


def is_currency(value: Any) -> TypeGuard[str]:
    """Return whether it is the name of a currency, three capital letters."""
    return isinstance(value, str) and _CURRENCY.fullmatch(value) is not None


def is_day(value: Any) -> TypeGuard[str]:
    """Return whether it is a day as ISO 8601 writes it."""
    return isinstance(value, str) and _DAY.fullmatch(value) is not None


def _row(row: Mapping[str, Any]) -> tuple[Decimal | None, str, str | None]:
    """Read an entry of fal's price list: the amount and the currency are None where they cannot be one."""
    amount, unit, currency = number_of(row.get("unit_price"), noisy=True), row.get("unit"), row.get("currency")
    readable = amount if amount is not None and amount <= MOST else None
    return readable, one_line(str(unit), _LONGEST_UNIT), currency if is_currency(currency) else None
