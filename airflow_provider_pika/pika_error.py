"""The root of all errors of this provider: what each of them tells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from airflow_provider_pika.strict_json import one_line

#: Characters of a message, and of a name in it: they go into logs, events and XComs.
LONGEST_MESSAGE, LONGEST_NAME = 10_000, 300


class PikaError(Exception):
    """Something went wrong between this provider and fal.

    :param message: what happened, in fal's own words where it said any.
    :param consequence: what it means for the request: whether it was accepted, whether it may still run.
    :param request_id: the request it happened to; None where there is none, or none is known.
    :param error_type: fal's machine-readable type, such as ``content_policy_violation``; None if fal gave none.
    :param status_code: the HTTP status of fal's answer; None if there was no answer.
    :param retry_after: seconds that fal asked to wait before the next try; None if it did not.

    Every text becomes one line of bounded length, without control characters: it goes into logs and databases.
    ``str()`` gives the message, then what identifies it, what follows from it, and what to do. Every error pickles, and
    survives the way through a trigger's event (:meth:`as_json`, :meth:`from_json`).
    """

    #: Whether the same call, made again later with nothing changed, may succeed.
    retry_helps: ClassVar[bool] = False
    #: What to do about it, and what it means for the money.
    advice: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        consequence: str | None = None,
        request_id: str | None = None,
        error_type: str | None = None,
        status_code: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.message = one_line(message, LONGEST_MESSAGE)
        super().__init__(self.message)
        self.consequence = consequence and one_line(consequence, LONGEST_MESSAGE)
        self.request_id = request_id and one_line(str(request_id), LONGEST_NAME)
        self.error_type = error_type and one_line(str(error_type), LONGEST_NAME)
        self.status_code = status_code
        self.retry_after = retry_after if retry_after is not None and math.isfinite(retry_after) else None

    def __str__(self) -> str:
        known = {"request id": self.request_id, "type": self.error_type, "HTTP": self.status_code}
        facts = ", ".join(f"{name} {value}" for name, value in known.items() if value is not None)
        parts = (self.message, f"({facts})" if facts else "", self.consequence, self.advice)
        return " ".join(part for part in parts if part)

    def __reduce__(self) -> tuple[Any, ...]:
        return PikaError.from_json, (self.as_json(),)

    def as_json(self) -> dict[str, Any]:
        """Give the error as a JSON object, for a trigger's event."""
        return {"error": type(self).__name__, **vars(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PikaError:
        """Build the error again from :meth:`as_json`.

        :raises KeyError: for a class that this tree does not have.
        """
        known = {error.__name__: error for error in tree(PikaError)}
        fields = dict(value)
        return known[fields.pop("error")](**fields)


def tree(root: type[PikaError]) -> list[type[PikaError]]:
    """Give a class and all below it."""
    return [root, *(error for child in root.__subclasses__() for error in tree(child))]
