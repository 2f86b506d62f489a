"""What we send, checked: nothing that fal does not know, and nothing that it would refuse.

A Dag file pays for this module whenever it is parsed, so it is plain Python.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from decimal import Decimal
from functools import cache
from numbers import Integral, Rational, Real
from typing import Any, NamedTuple, Self, TypeVar

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.strict_json import LARGEST_INTEGER, clean_text, shown

T = TypeVar("T")

_NUMBER = re.compile(r"\s*-?\d+(\.\d+)?\s*", re.ASCII)

#: The largest number up to which a float holds every integer: beyond it, it may not be the one that was written.
_LARGEST_EXACT = 2**53


def _text(value: Any) -> str:
    if not isinstance(value, str) or clean_text(value, len(value)) != value:
        raise ValueError(value)  # NUL and half a surrogate pair come back in fal's log, and no database takes them
    return str.__str__(value)  # a subclass, numpy's or an enum's, may have a text of its own


def _words(value: Any) -> str:
    text = _text(value)
    if not text.strip():
        raise ValueError(value)
    return text


def _number(value: Any) -> int | float:
    """Take "5" for 5, since a rendered template is text; but True for no number."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value) if "." in value else int(value)
    return python_number(value)


def python_number(value: Any) -> int | float:
    """Return numpy's, Decimal's or another kind's number as Python's own.

    :raises ValueError: it is none. An array and pandas' ``NA`` are none, whatever they convert to; nor is a bool.
    """
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        raise ValueError(value)
    if isinstance(value, Integral):
        return int(value)
    number: Any = value
    exact = isinstance(number, Decimal | Rational)  # a float of it may be another number
    return int(number) if exact and abs(number) <= LARGEST_INTEGER and number == int(number) else float(number)


def _integer(value: Any) -> int:
    """Take 5.0 for 5, since JSON and pandas make floats of integers."""
    number = _number(value)
    if isinstance(number, float) and not (number.is_integer() and abs(number) <= _LARGEST_EXACT):
        raise ValueError(value)
    if abs(number) > LARGEST_INTEGER:
        raise ValueError(value)
    return int(number)


def _clip_length(value: Any) -> int:
    return _one_of(5, 10)(_number(value))


def _patience(value: Any) -> float:
    number = _number(value)
    if not 0.1 < number <= sys.float_info.max:
        raise ValueError(value)
    return float(number)


def _one_of(*choices: T) -> Callable[[Any], T]:
    def read(value: Any) -> T:
        if not isinstance(value, str | int | float):  # an array is equal to what it holds
            raise ValueError(value)
        return choices[choices.index(value)]

    return read


def _or_none(read: Callable[[Any], T]) -> Callable[[Any], T | None]:
    """Take the text that a template makes of None for None."""

    def read_unless_none(value: Any) -> T | None:
        nothing = value is None or (isinstance(value, str) and value.strip() in ("", "None"))
        return None if nothing else read(value)

    return read_unless_none


def _takes(read: Callable[[Any], Any], allowed: str) -> dict[str, Any]:
    """Make the rule of a field.

    :param read: gives the value to send; a ValueError for one that is not allowed.
    :param allowed: says in an error what is.
    """
    return {"read": read, "allowed": allowed}


class _Rule(NamedTuple):
    read: Callable[[Any], Any]
    allowed: str
    required: bool


@dataclass(frozen=True)
class _Request:
    """Values that fal takes; each field has the rule for it. An instance has passed them all.

    :raises InvalidInput: naming every wrong field, its value and what is allowed.
    """

    def __post_init__(self) -> None:
        self.__dict__.update(_read(type(self), vars(self)))  # frozen for others

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the fields' names."""
        return tuple(cls._rules())

    @classmethod
    def checked(cls, values: Mapping[str, Any]) -> Self:
        """Take ``values``, the text that a template makes of one included.

        :raises InvalidInput: naming every wrong field, its value and what is allowed.
        """
        rules = cls._rules()
        names_fit = values.keys() <= rules.keys() and all(name in values for name in rules if rules[name].required)
        return cls(**(values if names_fit else _read(cls, values, whole=True)))

    @classmethod
    def check_known(cls, values: Mapping[str, Any]) -> None:
        """Check the ``values`` that are known already, while others are not.

        :raises InvalidInput: as :meth:`checked`.
        """
        _read(cls, values)

    @classmethod
    @cache
    def _rules(cls) -> dict[str, _Rule]:
        return {row.name: _Rule(**row.metadata, required=row.default is MISSING) for row in fields(cls)}


@dataclass(frozen=True)
class TextToVideoInput(_Request):
    """The input of ``fal-ai/pika/v2.5/text-to-video``: its names, defaults and allowed values, no others.

    ``duration`` is in seconds; ``seed`` is any integer, None lets fal choose. Source: pika-v2.5-text-to-video.md.
    """

    prompt: str = field(metadata=_takes(_words, "a text that is not empty, without NUL or half a surrogate pair"))
    resolution: str = field(
        default="720p", metadata=_takes(_one_of("480p", "720p", "1080p"), "'480p', '720p' or '1080p'")
    )
    duration: int = field(default=5, metadata=_takes(_clip_length, "5 or 10 (seconds)"))
    negative_prompt: str = field(
        default="ugly, bad, terrible", metadata=_takes(_text, "a text without NUL or half a surrogate pair")
    )
    seed: int | None = field(default=None, metadata=_takes(_or_none(_integer), "an integer of 64 bits, or None"))

    def arguments(self) -> dict[str, Any]:
        """Return the JSON object to submit; ``seed`` is left out when fal shall choose it."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class SubmitControls(_Request):
    """fal's own controls of a submit (fal-protocol.md, 2.1).

    ``start_timeout``: seconds from submit within which a runner must start it, or fal drops it; ``priority``: "low"
    waits behind everybody's "normal", which is fal's default.
    """

    start_timeout: float | None = field(
        default=None, metadata=_takes(_or_none(_patience), "a number of seconds above 0.1, or None")
    )
    priority: str | None = field(
        default=None, metadata=_takes(_or_none(_one_of("normal", "low")), "'normal', 'low' or None")
    )

    def headers(self) -> dict[str, str]:
        """Return the headers that carry them.

        The start timeout goes under two names: fal's current one, and the deprecated one, which fal's own clients still
        send and a gateway may know alone. fal takes the current one if it has both (N5). A deadline that nobody reads
        would pay for a clip that comes too late.
        """
        headers = {}
        if self.start_timeout is not None:
            headers["X-Fal-Request-Start-Timeout"] = headers["X-Fal-Request-Timeout"] = str(self.start_timeout)
        if self.priority is not None:
            headers["X-Fal-Queue-Priority"] = self.priority
        return headers


def _read(request: type[_Request], values: Mapping[str, Any], *, whole: bool = False) -> dict[str, Any]:
    """Return the values to send of those that are there; ``whole``: all that are required must be."""
    rules = request._rules()
    read: dict[str, Any] = {}
    wrong: list[str] = []
    for name, rule in rules.items():
        if name in values:
            try:
                read[name] = rule.read(values[name])
            except (TypeError, ValueError, ArithmeticError):
                wrong.append(f"{name}={shown(values[name])} is not allowed: it takes {rule.allowed}")
        elif whole and rule.required:
            wrong.append(f"{name} is missing: it takes {rule.allowed}")
    wrong += [
        f"{name}={shown(value)} is not allowed: it takes nothing, since there is no such input"
        for name, value in values.items()
        if name not in rules
    ]
    if wrong:
        raise InvalidInput("; ".join(wrong) + ".")
    return read
