"""What Pika's endpoints cost by fal's own pages and by third parties: for estimates, where nobody says better.

The lines are those of fal-protocol.md, 00.1, with their evidence. An endpoint without a line has no known price.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from airflow_provider_pika.fal import TEXT_TO_VIDEO

#: The day on which the lines were gathered, from stored copies of the pages.
AS_OF = "2026-11-27"

#: The currency of every line.
CURRENCY = "USD"

#: Seconds of a clip or of a transition that names no length; the longest clip that is meant.
USUAL_SECONDS, MOST_SECONDS = 5, 3600


@dataclass(frozen=True)
class Line:
    """A price: of a video, or of a second of it.

    :param evidence: "DOC": a page of fal's; "3P": a third party's word.
    :param resolution: for which it holds; None: for every one.
    :param seconds: the length for which it holds; None: for every one.
    """

    unit: str
    amount: Decimal
    evidence: str
    resolution: str | None = None
    seconds: int | None = None


@dataclass(frozen=True)
class Endpoint:
    """An endpoint's lines, and what its input means where it says nothing.

    :param lines: none: the price is unknown.
    :param resolution: the endpoint's default.
    :param least: seconds that are charged at least.
    """

    lines: tuple[Line, ...] = ()
    resolution: str | None = "720p"
    has_duration: bool = True
    has_transitions: bool = False
    least: int = 0


def _by_tier(*rows: tuple[str, int, str, str]) -> tuple[Line, ...]:
    return tuple(Line("videos", Decimal(amount), evidence, name, length) for name, length, amount, evidence in rows)


#: Fal's page has the prices of 5 s. One third party reads 0.04 and 0.09 a second, which makes those and the double.
_V2_2 = _by_tier(("720p", 5, "0.20", "DOC"), ("1080p", 5, "0.45", "DOC"), ("720p", 10, "0.40", "3P"))
_V2_2 += _by_tier(("1080p", 10, "0.90", "3P"))

#: The same page's prices. The third party reads 0.06 a second of 1080p, which disagrees: 10 s of it are unknown.
_PIKASCENES = _by_tier(("720p", 5, "0.20", "DOC"), ("1080p", 5, "0.45", "DOC"), ("720p", 10, "0.40", "3P"))

#: By the second.
_PIKAFRAMES = (Line("seconds", Decimal("0.04"), "3P", "720p"), Line("seconds", Decimal("0.06"), "3P", "1080p"))


def _flat(amount: str, evidence: str) -> tuple[Line, ...]:
    return (Line("videos", Decimal(amount), evidence),)


#: Every endpoint of Pika's at fal.
RATE_CARD: Mapping[str, Endpoint] = {
    TEXT_TO_VIDEO: Endpoint(),
    "fal-ai/pika/v2.5/image-to-video": Endpoint(),
    "fal-ai/pika/v2.5/pikaframes": Endpoint(has_duration=False, has_transitions=True),
    "fal-ai/pika/v2.2/text-to-video": Endpoint(_V2_2),
    "fal-ai/pika/v2.2/image-to-video": Endpoint(_V2_2),
    "fal-ai/pika/v2.2/pikascenes": Endpoint(_PIKASCENES, resolution="1080p"),
    "fal-ai/pika/v2.2/pikaframes": Endpoint(_PIKAFRAMES, has_duration=False, has_transitions=True, least=5),
    "fal-ai/pika/v2.1/text-to-video": Endpoint(_flat("0.40", "DOC")),
    "fal-ai/pika/v2.1/image-to-video": Endpoint(_flat("0.40", "DOC")),
    "fal-ai/pika/v2/turbo/text-to-video": Endpoint(_flat("0.20", "DOC")),
    "fal-ai/pika/v2/turbo/image-to-video": Endpoint(_flat("0.20", "DOC")),
    "fal-ai/pika/v2/pikaswaps": Endpoint(_flat("0.47", "3P"), resolution=None, has_duration=False),
    "fal-ai/pika/v2/pikadditions": Endpoint(_flat("0.465", "3P"), resolution=None, has_duration=False),
    "fal-ai/pika/v1.5/pikaffects": Endpoint(resolution=None, has_duration=False),
}

#: An endpoint that is not Pika's: only what its input says is known.
_STRANGE = Endpoint(resolution=None, has_duration=False)


def line_of(endpoint: str, arguments: Mapping[str, Any]) -> Line | None:
    """Return the line that holds for an input; None: there is none."""
    resolution, seconds = resolution_of(endpoint, arguments), seconds_of(endpoint, arguments)
    for line in RATE_CARD.get(endpoint, _STRANGE).lines:
        if line.resolution in (None, resolution) and line.seconds in (None, seconds):
            return line
    return None


def is_base(endpoint: str, line: Line) -> bool:
    """Return whether no line of the endpoint is cheaper: a single price of fal's may be this line's."""
    return line.amount == min(other.amount for other in RATE_CARD[endpoint].lines)


def resolution_of(endpoint: str, arguments: Mapping[str, Any]) -> str | None:
    """Return the resolution that an input asks for; None: it is not known."""
    given = arguments.get("resolution")
    return given if isinstance(given, str) else RATE_CARD.get(endpoint, _STRANGE).resolution


def seconds_of(endpoint: str, arguments: Mapping[str, Any]) -> Decimal | None:
    """Return the seconds of video that an input asks for; None: they are not known."""
    known = RATE_CARD.get(endpoint, _STRANGE)
    if not known.has_transitions:
        return _seconds(arguments.get("duration"), known.has_duration)
    transitions = arguments.get("transitions")
    if transitions is None:  # there is one between each two pictures
        pictures = arguments.get("image_urls")
        transitions = [{}] * (len(pictures) - 1) if isinstance(pictures, list) else None
    if not isinstance(transitions, list) or not transitions:
        return None
    sum_of_all = Decimal(0)
    for each in transitions:
        length = _seconds(each.get("duration"), has_default=True) if isinstance(each, Mapping) else None
        if length is None:
            return None
        sum_of_all += length
    return max(sum_of_all, Decimal(known.least))


def _seconds(value: Any, has_default: bool) -> Decimal | None:
    if value is None:
        return Decimal(USUAL_SECONDS) if has_default else None
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 4:
        value = int(value)  # fal's schemas of 2025 have "5" (fal-protocol.md, section 9)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST_SECONDS:
        return None
    return Decimal(repr(value)) if value == round(value, 3) else None  # nobody means less than a millisecond
