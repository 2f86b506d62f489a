"""What a task goes by once its arguments are checked: from then on, nobody reads an argument of the operator again.

A deferral carries it to the worker that resumes, where a template may render differently. Dag files import this: plain
Python.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Self

from airflow_provider_pika.fal.inputs import SubmitControls

#: Characters of the terms that a deferral carries, since Airflow's scheduler reads them with the task.
_LONGEST_CARRIED = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a wait goes by."""

    endpoint: str
    pika_conn_id: str
    cancel_on_kill: bool
    cancel_on_timeout: bool = False

    @property
    def cancel_on_clear(self) -> bool:
        """Whether to cancel a request, too, whose task is cleared."""
        return False

    @property
    def clip(self) -> dict[str, Any]:
        """The ``resolution`` and the ``duration`` of the clip, as far as they are known."""
        return {}

    def carried(self) -> str:
        """Return the terms as JSON, and as a text: Airflow would read types of its own into an object."""
        text = json.dumps(asdict(self))
        if len(text) > _LONGEST_CARRIED:  # the input is needed again only where the request is replaced
            text = json.dumps({field.name: getattr(self, field.name) for field in fields(Terms)})
        return text

    @classmethod
    def read(cls, carried: object) -> Self | None:
        """Return the terms that :meth:`carried` gave; None if they are not all there: an older version carried none.

        One that knew all but what has a default is read with the default.
        """
        terms = None
        with suppress(ValueError):
            terms = json.loads(carried) if isinstance(carried, str) else None
        known = {field.name: field.default for field in fields(cls) if field.default is not MISSING}
        if not isinstance(terms, Mapping):
            return None
        known |= {field.name: terms[field.name] for field in fields(cls) if field.name in terms}
        return cls(**known) if len(known) == len(fields(cls)) else None


@dataclass(frozen=True, kw_only=True)
class WatchTerms(Terms):
    """What a sensor goes by."""

    request_id: str


@dataclass(frozen=True, kw_only=True)
class SubmitTerms(Terms):
    """What a task goes by that submits."""

    start_timeout: float | None
    priority: str | None
    on_unknown_submit: Any
    on_clear: Any
    tags: Mapping[str, str] | None = None
    max_cost: str | None = None

    @property
    def controls(self) -> SubmitControls:
        """fal's controls of the submit."""
        return SubmitControls(start_timeout=self.start_timeout, priority=self.priority, tags=self.tags)

    @property
    def cancel_on_clear(self) -> bool:
        """Whether to cancel a request, too, whose task is cleared."""
        return self.cancel_on_kill and self.on_clear == "resubmit"


@dataclass(frozen=True, kw_only=True)
class ClipTerms(SubmitTerms):
    """What a task goes by that asks for one clip.

    :param arguments: the endpoint's input.
    """

    arguments: Mapping[str, Any]
    wait_for_completion: bool

    @property
    def clip(self) -> dict[str, Any]:
        """The ``resolution`` and the ``duration`` of the clip."""
        return {"resolution": self.arguments["resolution"], "duration": self.arguments["duration"]}


@dataclass(frozen=True, kw_only=True)
class BatchTerms(SubmitTerms):
    """What a batch goes by, beside its inputs: those may change while it is deferred.

    :param save_to: the clips' path, with fields for each; None: they are not saved as the batch goes.
    """

    manifest_path: str | None
    save_to: str | None = None
