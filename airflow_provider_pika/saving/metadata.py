"""The metadata of a file, which lies beside it: what was asked for, what fal made of it and when, what was saved."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pendulum
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from airflow_provider_pika.fal.prices import Cost
from airflow_provider_pika.task.paths import SIDECAR

if TYPE_CHECKING:
    from airflow_provider_pika.fal.lookup import Remembered
    from airflow_provider_pika.media.mp4 import Clip

#: Bytes of a sidecar that are read: an input may hold a picture as text. A longer one is written without its input.
LONGEST = 16 << 20


def _readable_cost(value: Any) -> dict[str, Any] | None:
    """Read a cost, which anybody may have written, so that it is one."""
    return None if value is None else Cost.from_json(value).as_json()


class _Kept(BaseModel):
    """What is read again of a sidecar, schema version 1: all but its input.

    Times are ISO 8601 in UTC; None stands for what neither fal nor this task knows.

    :param path: the file's, as the task was told it.
    :param size: in bytes, the sidecar's ``bytes``; and ``sha256`` (hex digits), ``content_type``: of the file.
    :param width: and ``height``, in pixels; ``seconds``; ``frame_rate``, in frames a second: of the picture.
    :param poster: the path of a JPEG of one of its pictures; None: there is none.
    :param prompt: and ``seed``: of what was sent to the endpoint.
    :param url: fal's, where the file was fetched from; it may expire.
    :param inference_time: seconds that fal measured.
    :param billable_units: what fal charges for, times the endpoint's price a unit.
    :param cost: what fal billed (``fal/prices.py``, ``Cost.as_json``); None: this version did not know costs yet.
    :param dag_id: and ``run_id``, ``task_id``, ``map_index``: the task that saved it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    schema_version: Literal[1] = 1
    path: str
    size: int = Field(alias="bytes")
    sha256: str
    content_type: str
    width: int
    height: int
    seconds: float
    frame_rate: float | None = None
    poster: str | None = None
    prompt: str | None = None
    seed: int | None = None
    endpoint: str | None = None
    request_id: str
    url: str
    submitted_at: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    saved_at: str
    inference_time: float | None = None
    billable_units: float | None = None
    cost: Annotated[dict[str, Any] | None, BeforeValidator(_readable_cost)] = None
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    provider_version: str


class Metadata(_Kept):
    """A sidecar, schema version 1.

    :param input: all that was sent to the endpoint.
    """

    input: dict[str, Any] | None = None

    @classmethod
    def read(cls, text: bytes) -> Metadata | None:
        """Read a sidecar, without its input; None if it is none of this version.

        Anybody may have written it, and an input of millions of small values takes gigabytes to read.
        """
        try:
            return cls(**_Kept.model_validate_json(text).model_dump(by_alias=True))
        except ValidationError:
            return None

    def as_sidecar(self) -> bytes:
        """Return the sidecar's content: a JSON object, indented for people; without the input if that is too long."""
        content = self.model_dump_json(indent=2, by_alias=True).encode() + b"\n"
        return content if len(content) <= LONGEST else self.model_copy(update={"input": None}).as_sidecar()

    def in_short(self) -> dict[str, Any]:
        """Return what the saving task returns."""
        file = {"path", "size", "sha256", "width", "height", "seconds", "poster"}
        names = {*file, "request_id", "prompt", "seed", "cost"}
        return {**self.model_dump(include=names, by_alias=True), "sidecar": self.path + SIDECAR}


def told_by(
    asked: Mapping[str, Any], remembered: Remembered, cost_of: Callable[[float | None], Cost] | None = None
) -> dict[str, Any]:
    """Return the fields that the submit and fal tell; fal's own times are better than ours.

    :param asked: what the submitting task pushed (``xcoms.REQUEST``); empty where there is none.
    :param remembered: what fal keeps of the request.
    :param cost_of: returns what fal billed, by the billable units; None: nobody knows prices here.
    """
    row = remembered.row
    kept = row.json_input if row and isinstance(row.json_input, dict) else None
    sent = _writable(kept or asked.get("input") or None)
    known = sent or {}
    prompt, seed = known.get("prompt"), known.get("seed")
    return {
        "input": sent,
        "prompt": prompt if isinstance(prompt, str) else None,
        "seed": seed if isinstance(seed, int) else None,
        "submitted_at": _utc(row and row.sent_at) or _utc(asked.get("submitted_at")),
        "started_at": _utc(row and row.started_at),
        "completed_at": _utc(row and row.ended_at),
        "billable_units": remembered.billable_units,
        "cost": cost_of(remembered.billable_units).as_json() if cost_of else None,
    }


def shown_by(clip: Clip) -> dict[str, Any]:
    """Return the fields that the file itself tells."""
    return {
        "width": clip.width,
        "height": clip.height,
        "seconds": round(clip.seconds, 3),
        "frame_rate": clip.frame_rate and round(clip.frame_rate, 3),
    }


def saved_by(ti: Any) -> dict[str, Any]:
    """Return the fields of the task that saves it, now."""
    from airflow_provider_pika import __version__

    return {
        "saved_at": pendulum.now("UTC").to_iso8601_string(),
        "dag_id": ti.dag_id,
        "run_id": ti.run_id,
        "task_id": ti.task_id,
        "map_index": -1 if ti.map_index is None else ti.map_index,
        "provider_version": __version__,
    }


def _writable(value: Any) -> Any:
    """Return JSON that can be written as UTF-8, whatever halves of letters its texts have."""
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def _utc(value: Any) -> str | None:
    """Return a time in UTC, whatever offset it has (none: UTC); what is no ISO 8601 is not known."""
    try:
        at = datetime.fromisoformat(value)
        return pendulum.instance(at, tz="UTC").in_timezone("UTC").to_iso8601_string()
    except (TypeError, ValueError, OverflowError):
        return None
