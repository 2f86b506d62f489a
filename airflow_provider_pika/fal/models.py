"""What goes over the wire, typed, validated and immutable: the request's input, the queue's status, the video."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from airflow_provider_pika.exceptions import InvalidInput

#: What a request's id may look like to have a place in a URL; fal's own are UUIDs.
REQUEST_ID = re.compile(r"[\w-]+", re.ASCII)


def _plain_number(value: Any) -> Any:
    """Take "5" for 5, since a rendered template is text; leave everything else to the type."""
    if not isinstance(value, str) or not re.fullmatch(r"\s*-?\d+(\.\d+)?\s*", value, re.ASCII):
        return value
    return float(value) if "." in value else int(value)


def _or_none(value: Any) -> Any:
    """Take the text that a template makes of None for None."""
    return None if isinstance(value, str) and value.strip() in ("", "None") else value


_Number = BeforeValidator(_plain_number)
_OrNone = BeforeValidator(_or_none)


class _Request(BaseModel):
    """What we send: nothing that fal does not know, and nothing that it would refuse."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @classmethod
    def checked(cls, values: Mapping[str, Any]) -> Self:
        """Validate ``values``.

        :raises InvalidInput: naming every wrong field, its value and what is allowed.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise InvalidInput(_in_words(error.errors())) from None

    @classmethod
    def check_known(cls, values: Mapping[str, Any]) -> None:
        """Validate the ``values`` that are known already, while others are not.

        :raises InvalidInput: as :meth:`checked`.
        """
        try:
            cls.model_validate(dict(values))
        except ValidationError as error:
            if problems := [problem for problem in error.errors() if problem["type"] != "missing"]:
                raise InvalidInput(_in_words(problems)) from None


class TextToVideoInput(_Request):
    """The input of ``fal-ai/pika/v2.5/text-to-video``: its names, defaults and allowed values, no others.

    ``duration`` is in seconds; ``seed`` is any integer, None lets fal choose. Source: pika-v2.5-text-to-video.md.
    """

    prompt: Annotated[str, Field(pattern=r"\S")]
    resolution: Literal["480p", "720p", "1080p"] = "720p"
    duration: Annotated[Literal[5, 10], _Number] = 5
    negative_prompt: str = "ugly, bad, terrible"
    seed: Annotated[int | None, _Number, _OrNone] = None

    def arguments(self) -> dict[str, Any]:
        """Give the JSON object to submit; ``seed`` is left out when fal shall choose it."""
        return self.model_dump(exclude_none=True)


class SubmitControls(_Request):
    """fal's own controls of a submit (fal-protocol.md, 2.1).

    ``start_timeout``: seconds from submit within which a runner must start it, or fal drops it; ``priority``: "low"
    waits behind everybody's "normal", which is fal's default.
    """

    start_timeout: Annotated[float | None, Field(gt=0.1, allow_inf_nan=False), _Number, _OrNone] = None
    priority: Annotated[Literal["normal", "low"] | None, _OrNone] = None

    def headers(self) -> dict[str, str]:
        """Give the headers that carry them."""
        headers = {}
        if self.start_timeout is not None:
            headers["X-Fal-Request-Timeout"] = str(self.start_timeout)
        if self.priority is not None:
            headers["X-Fal-Queue-Priority"] = self.priority
        return headers


_ALLOWED = {
    "prompt": "a text that is not empty",
    "resolution": "'480p', '720p' or '1080p'",
    "duration": "5 or 10 (seconds)",
    "negative_prompt": "a text",
    "seed": "an integer, or None",
    "start_timeout": "a number of seconds above 0.1, or None",
    "priority": "'normal', 'low' or None",
}


def _in_words(problems: Iterable[Mapping[str, Any]]) -> str:
    fields = {str(problem["loc"][0]): problem["input"] for problem in problems}
    return (
        "; ".join(
            f"{field}={value!r} is not allowed: it takes {_ALLOWED.get(field, 'nothing, since there is no such input')}"
            for field, value in fields.items()
        )
        + "."
    )


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

    inference_time: Annotated[float | None, _Unless] = None


def _readable_metrics(value: Any) -> Any:
    return value if isinstance(value, dict | Metrics) else {}


class QueueStatus(_Reply):
    """Where a request stands (fal-protocol.md, 2.2).

    ``COMPLETED`` means ended, not succeeded: only the result tells. ``queue_position`` counts the requests ahead.
    ``logs`` is a sliding window of the request's log, never the whole of it.
    """

    status: Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]
    queue_position: Annotated[int | None, _Unless] = None
    logs: Annotated[tuple[LogLine, ...], BeforeValidator(_readable_lines)] = ()
    metrics: Annotated[Metrics, BeforeValidator(_readable_metrics)] = Metrics()
    error: Annotated[str | None, BeforeValidator(_as_text)] = None
    error_type: Annotated[str | None, BeforeValidator(_as_text)] = None


class Video(_Reply):
    """A finished video: what the sensor returns. None stands for what fal did not say.

    ``file_size`` is in bytes, ``inference_time`` in seconds. Anyone who has ``url`` can read it, without a key,
    until it expires.
    """

    url: Annotated[str, Field(pattern=r"^https?://")]
    content_type: Annotated[str | None, _Unless] = None
    file_name: Annotated[str | None, _Unless] = None
    file_size: Annotated[int | None, _Unless] = None
    request_id: str
    endpoint: str
    inference_time: float | None = None


class PastRequest(_Reply):
    """A row of fal's request history (fal-protocol.md, 6.4).

    ``status_code`` is that of the result, None while it runs. ``json_input`` and ``json_output`` are what was sent and
    what came of it, None where fal did not keep them.
    """

    request_id: str
    status_code: Annotated[int | None, _Unless] = None
    json_input: Any = None
    json_output: Any = None


class HistoryPage(_Reply):
    """A page of the history; ``next_cursor`` leads to the next one, None after the last."""

    items: tuple[PastRequest, ...]
    next_cursor: str | None = None
    has_more: bool = False
