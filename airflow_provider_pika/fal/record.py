"""What is written down of a task's submission, so that its next attempt knows what was paid for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Mapping
from typing import Any, Literal, Protocol, Self

import pendulum
from pydantic import BaseModel, ConfigDict, ValidationError

from airflow_provider_pika.exceptions import RecordUnreadable

#: Earlier requests of the same task that a record names, at most.
_REPLACED = 10


class Record(BaseModel):
    """One submission: written as an *intent* before the POST, then with what came of it.

    :param state: ``intent``: a POST may have been sent; ``submitted``: fal accepted it as ``request_id``; ``refused``:
        fal certainly accepted nothing.
    :param generation: a number that stays in all automatic retries, and changes when a person asks anew.
    :param attempt: the number of the attempt that submitted it.
    :param queue_url: the queue it was sent to.
    :param fingerprint: of the endpoint and the input as the user gave it (:func:`fingerprint`).
    :param seed: the seed that we drew, which marks the input as ours; None if the user's input has its own.
    :param intended_at: unix seconds, just before the POST.
    :param reason: why it was submitted.
    :param replaced: the ids of the requests before it, the newest last.
    :param cost: what it may cost, a decimal text; None: the task has no limit. And ``spent``: what those before it may.
    :param reused: the request is one of another Dag run, which was taken in place of a new one.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    version: Literal[1] = 1
    state: Literal["intent", "submitted", "refused"]
    request_id: str | None = None
    endpoint: str
    queue_url: str
    fingerprint: str
    seed: int | None
    generation: int
    attempt: int
    intended_at: float
    reason: str
    replaced: list[str] = []  # pydantic copies a default
    cost: str | None = None
    spent: str = "0"
    reused: bool = False

    @classmethod
    def read(cls, value: object) -> Self:
        """Make a record of what :meth:`as_json` gave.

        :raises RecordUnreadable: it is none, or one of a newer version.
        """
        try:
            record = cls.model_validate(value)
        except ValidationError:
            record = None
        if record is None or (record.state == "submitted") != bool(record.request_id):
            raise RecordUnreadable(f"The record of an earlier submission cannot be read: {str(value)[:300]}")
        return record

    def as_json(self) -> dict[str, Any]:
        """Return the record as a JSON object, below the 64 KiB above which Airflow warns of a task's state."""
        return self.model_dump()

    def accepted(self, request_id: str, **changes: Any) -> Self:
        """Return the record once fal's request id is known."""
        return self.model_copy(update={"state": "submitted", "request_id": request_id, **changes})

    def refused(self) -> Self:
        """Return the record once fal has certainly accepted nothing."""
        return self.model_copy(update={"state": "refused"})

    def asked(self, endpoint: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return what was asked for, as a JSON object: the input as it was sent, if it is the one that is given.

        :param arguments: the input as the user gave it.
        """
        same = self.fingerprint == fingerprint(endpoint, arguments)  # a person may reuse another input's request
        return {
            "request_id": self.request_id,
            "endpoint": self.endpoint,
            "input": self.with_seed(arguments) if same else None,
            "submitted_at": None if self.reused else pendulum.from_timestamp(self.intended_at).to_iso8601_string(),
            "reused": self.reused,
        }

    def with_seed(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is sent: with a seed of ours, where the user gave none, so that it can be found at fal again."""
        return dict(arguments) | ({} if self.seed is None else {"seed": self.seed})

    def history(self) -> list[str]:
        """Return the requests that the next submission replaces."""
        return [*self.replaced, *([self.request_id] if self.request_id else [])][-_REPLACED:]


class Records(Protocol):
    """Where a task's record is kept."""

    def read(self) -> Record | None:
        """Return the record; None if there is none.

        :raises PikaError: there may be one, and it cannot be read.
        """

    def write(self, record: Record) -> Awaitable[None] | None:
        """Keep the record in place of the one before; what it gives, if anything, is to be awaited.

        :raises RecordUnavailable: it was not kept.
        """


def fingerprint(endpoint: str, arguments: Mapping[str, Any]) -> str:
    """Name an endpoint and an input, whatever the order of its keys."""
    text = json.dumps({"endpoint": endpoint, "input": arguments}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
