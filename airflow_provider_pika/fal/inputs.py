"""What we send, checked: nothing that fal does not know, and nothing that it would refuse.

A Dag file pays for this module whenever it is parsed, so it is plain Python. It does without ``from __future__ import
annotations``: to read a rule out of an annotation that is text takes half a millisecond more.
"""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from decimal import Decimal
from functools import cache
from numbers import Integral, Rational, Real
from typing import Annotated, Any, NamedTuple, Self, get_type_hints

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.fal import tags as request_tags
from airflow_provider_pika.strict_json import LARGEST_INTEGER, clean_text, shown

#: A number in a text, as a template renders it.
_NUMBER = re.compile(r"\s*-?\d+(\.\d+)?\s*", re.ASCII)

#: The largest number up to which a float holds every integer: beyond it, it may not be the one that was written.
_LARGEST_EXACT = 2**53


class Rule(NamedTuple):
    """What a field takes.

    :param read: returns the value to send; raises ``ValueError`` for one that is not allowed.
    :param allowed: says in an error what is.
    """

    read: Callable[[Any], Any]
    allowed: str


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


def _patience(value: Any) -> float:
    number = _number(value)
    if not 0.1 < number <= sys.float_info.max:
        raise ValueError(value)
    return float(number)


#: A text, which may be empty.
TEXT = Rule(_text, "a text without NUL or half a surrogate pair")

#: A text that says something.
WORDS = Rule(_words, "a text that is not empty, without NUL or half a surrogate pair")

#: A whole number.
INTEGER = Rule(_integer, "an integer of 64 bits")

#: Seconds that fal takes for a start timeout.
_PATIENCE = Rule(_patience, "a number of seconds above 0.1")

#: What a request may be tagged with.
_TAGS = Rule(request_tags.checked, request_tags.ALLOWED)


def one_of(*choices: str | int | None, unit: str = "") -> Rule:
    """Take one of a few texts, or one of a few numbers.

    :param choices: None among them takes nothing, too.
    :param unit: of the numbers, for the error.
    """
    known: list[Any] = [choice for choice in choices if choice is not None]
    numbers = all(isinstance(choice, int) for choice in known)

    def read(value: Any) -> Any:
        given = _number(value) if numbers else value
        if not isinstance(given, str | int | float):  # an array is equal to what it holds
            raise ValueError(value)
        return known[known.index(given)]

    *others, last = map(repr, choices)
    allowed = f"{', '.join(others)} or {last}" + (f" ({unit})" if unit else "")
    return Rule(_unless_none(read) if None in choices else read, allowed)


def or_none(rule: Rule) -> Rule:
    """Take what ``rule`` takes, or nothing."""
    return Rule(_unless_none(rule.read), f"{rule.allowed}, or None")


def _unless_none(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Take the text that a template makes of None for None."""

    def read_unless_none(value: Any) -> Any:
        nothing = value is None or (isinstance(value, str) and value.strip() in ("", "None"))
        return None if nothing else read(value)

    return read_unless_none


class _Field(NamedTuple):
    rule: Rule
    required: bool


@dataclass(frozen=True)
class _Request:
    """Values that fal takes. A field is ``name: Annotated[type, rule] = default``, and required without a default.

    An instance has passed all rules. They are read when the first value is checked: a Dag file's import is cheap.

    :raises InvalidInput: naming every wrong field, its value and what is allowed.
    """

    def __post_init__(self) -> None:
        self.__dict__.update(_read(type(self), vars(self)))  # frozen for others

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the fields' names."""
        return tuple(row.name for row in fields(cls))

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
    def _rules(cls) -> dict[str, _Field]:
        declared = get_type_hints(cls, include_extras=True)
        return {row.name: _Field(declared[row.name].__metadata__[0], row.default is MISSING) for row in fields(cls)}


class EndpointInput(_Request):
    """The input of an endpoint. A subclass declares its fields, by fal's names and with fal's defaults, and no more."""

    def arguments(self) -> dict[str, Any]:
        """Return the JSON object to submit; what is None is left out, so that fal chooses it."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class TextToVideoInput(EndpointInput):
    """The input of ``fal-ai/pika/v2.5/text-to-video``, as its page says (pika-v2.5-text-to-video.md)."""

    prompt: Annotated[str, WORDS]
    resolution: Annotated[str, one_of("480p", "720p", "1080p")] = "720p"
    duration: Annotated[int, one_of(5, 10, unit="seconds")] = 5
    negative_prompt: Annotated[str, TEXT] = "ugly, bad, terrible"
    seed: Annotated[int | None, or_none(INTEGER)] = None


@dataclass(frozen=True)
class SubmitControls(_Request):
    """fal's own controls of a submit (fal-protocol.md, 2.1).

    ``start_timeout``: seconds from submit within which a runner must start it, or fal drops it; ``priority``: "low"
    waits behind everybody's "normal", which is fal's default; ``tags``: what fal's reports split by (``tags.py``).
    """

    start_timeout: Annotated[float | None, or_none(_PATIENCE)] = None
    priority: Annotated[str | None, one_of("normal", "low", None)] = None
    tags: Annotated[Mapping[str, str] | None, or_none(_TAGS)] = None

    def headers(self, origin: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the headers that carry them.

        :param origin: tags besides the user's.

        The start timeout goes under two names: fal's current one, and the deprecated one, which fal's own clients still
        send and a gateway may know alone. fal takes the current one if it has both (N5). A deadline that nobody reads
        would pay for a clip that comes too late.
        """
        headers = {}
        if self.start_timeout is not None:
            headers["X-Fal-Request-Start-Timeout"] = headers["X-Fal-Request-Timeout"] = str(self.start_timeout)
        if self.priority is not None:
            headers["X-Fal-Queue-Priority"] = self.priority
        return headers | request_tags.headers({**(origin or {}), **(self.tags or {})})


def _read(request: type[_Request], values: Mapping[str, Any], *, whole: bool = False) -> dict[str, Any]:
    """Return the values to send of those that are there; ``whole``: all that are required must be."""
    rules = request._rules()
    read: dict[str, Any] = {}
    wrong: list[str] = []
    for name, (rule, required) in rules.items():
        if name in values:
            try:
                read[name] = rule.read(values[name])
            except (TypeError, ValueError, ArithmeticError):
                wrong.append(f"{name}={shown(values[name])} is not allowed: it takes {rule.allowed}")
        elif whole and required:
            wrong.append(f"{name} is missing: it takes {rule.allowed}")
    wrong += [
        f"{name}={shown(value)} is not allowed: it takes nothing, since there is no such input"
        for name, value in values.items()
        if name not in rules
    ]
    if wrong:
        raise InvalidInput("; ".join(wrong) + ".")
    return read
