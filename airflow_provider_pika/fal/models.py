"""What fal sends back, typed, validated and immutable: a request's status, its video, its place in the history."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from airflow_provider_pika.fal.ids import REQUEST_ID, base_name
from airflow_provider_pika.strict_json import LARGEST_INTEGER


class _Reply(BaseModel):
    """What fal sends: keys that we do not know are ignored, so that fal may add some."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def _or_nothing(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """Take what cannot be read for not said: no cosmetic field may cost a healthy wait or a paid video."""
    try:
        return read(value)
    except ValidationError:
        return None


def _as_text(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else json.dumps(value)


_Unless = WrapValidator(_or_nothing)

#: Numbers that a database keeps and that can be meant: seconds and units, bytes, places in a queue.
_Amount = Annotated[float | None, Field(ge=0, le=1e12, allow_inf_nan=False), _Unless]
_Bytes = Annotated[int | None, Field(ge=0, le=LARGEST_INTEGER), _Unless]
_Place = Annotated[int | None, Field(ge=0, le=10**9), _Unless]


def _without_blanks(value: Any) -> Any:
    """Write a URL's blanks, and what nobody can see, in percent signs: the URL stays, and cannot break a log line."""
    if not isinstance(value, str):
        return value
    value = value.strip()
    if value.isascii() and value.isprintable() and " " not in value:
        return value
    return "".join(sign if sign.isprintable() and not sign.isspace() else quote(sign) for sign in value)


class LogLine(_Reply):
    """One line of a request's log. ``timestamp`` is ISO 8601, UTC, and not unique."""

    message: str
    timestamp: Annotated[str | None, _Unless] = None


def _readable_lines(value: Any) -> Any:
    """Drop what is no log line: a log is for people, and must never fail a healthy wait."""
    lines = value if isinstance(value, list) else []
    return tuple(line for line in lines if isinstance(line, dict) and isinstance(line.get("message"), str))


class Metrics(_Reply):
    """What fal measured. ``inference_time`` is in seconds, on completed requests only."""

    inference_time: _Amount = None


def _readable_metrics(value: Any) -> Any:
    return value if isinstance(value, dict | Metrics) else {}


class QueueStatus(_Reply):
    """Where a request stands (fal-protocol.md, 2.2).

    ``COMPLETED`` means ended, not succeeded: only the result tells. ``queue_position`` counts the requests ahead.
    ``logs`` is a sliding window of the request's log, never the whole of it.
    """

    status: Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]
    queue_position: _Place = None
    logs: Annotated[tuple[LogLine, ...], BeforeValidator(_readable_lines)] = ()
    metrics: Annotated[Metrics, BeforeValidator(_readable_metrics)] = Metrics()
    error: Annotated[str | None, BeforeValidator(_as_text)] = None
    error_type: Annotated[str | None, BeforeValidator(_as_text)] = None


class Video(_Reply):
    """A finished video: what the sensor returns. None stands for what fal did not say.

    ``file_name`` is a base name, which a path may use. ``file_size`` is in bytes, ``inference_time`` in seconds. Anyone
    who has ``url`` can read it, without a key, until it expires. ``billable_units`` is what fal charges for, in a
    header of the result; it is no part of the JSON.
    """

    url: Annotated[str, Field(pattern=r"^(?i:https?)://"), BeforeValidator(_without_blanks)]
    content_type: Annotated[str | None, Field(pattern=r"^[\w.+-]+/[\w.+-]+$", max_length=100), _Unless] = None
    file_name: Annotated[str | None, BeforeValidator(base_name)] = None
    file_size: _Bytes = None
    request_id: str
    endpoint: str
    inference_time: _Amount = None
    billable_units: Annotated[_Amount, Field(exclude=True)] = None

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object to be read again, with the units if fal has said them."""
        units = {} if self.billable_units is None else {"billable_units": self.billable_units}
        return {**self.model_dump(), **units}


class PastRequest(_Reply):
    """A row of fal's request history (fal-protocol.md, 6.4).

    ``sent_at``, ``started_at`` and ``ended_at`` are ISO 8601, as fal wrote them. ``status_code`` is that of the
    result, None while it runs. ``json_input`` and ``json_output`` are what was sent and what came of it, None where fal
    did not keep them.
    """

    request_id: Annotated[str, Field(pattern=REQUEST_ID)]
    sent_at: Annotated[str | None, _Unless] = None
    started_at: Annotated[str | None, _Unless] = None
    ended_at: Annotated[str | None, _Unless] = None
    status_code: Annotated[int | None, Field(ge=100, le=599), _Unless] = None
    json_input: Any = None
    json_output: Any = None


def _readable_tags(value: Any) -> Any:
    if not isinstance(value, dict):
        return None
    return {name: text for name, text in value.items() if isinstance(text, str)}


class BillingEvent(_Reply):
    """A row of fal's billing events: what was charged for a request (fal-protocol.md, 6.3).

    ``timestamp`` is ISO 8601, as fal wrote it. The numbers are as fal wrote them, and may be null: ``prices.py`` reads
    them. ``tags`` are those of the submit, None where fal was not asked for them.
    """

    request_id: Annotated[str, Field(pattern=REQUEST_ID)]
    endpoint_id: Annotated[str, Field(min_length=1, max_length=300)]
    timestamp: Annotated[str | None, _Unless] = None
    output_units: Any = None
    unit_price: Any = None
    cost_total: Any = None
    currency: Any = None
    tags: Annotated[dict[str, str] | None, BeforeValidator(_readable_tags)] = None


class BillingPage(_Reply):
    """A page of the billing events; ``next_cursor`` leads to the next one, None after the last."""

    billing_events: tuple[BillingEvent, ...]
    next_cursor: str | None = None
    has_more: bool | None = None


class HistoryPage(_Reply):
    """A page of the history; ``next_cursor`` leads to the next one, None after the last.

    :param answered_at: unix seconds, by the clock of whoever answered; None: it did not say.
    """

    items: tuple[PastRequest, ...]
    next_cursor: str | None = None
    has_more: bool = False
    answered_at: float | None = None
