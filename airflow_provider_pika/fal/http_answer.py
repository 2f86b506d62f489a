"""An HTTP answer, and what it says in words, whatever it means: see ``answers.py`` for that."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. ``headers`` are looked up in lower case; ``body`` is parsed JSON, or text if it is none."""

    status_code: int
    headers: Mapping[str, str]
    body: Any

    @classmethod
    def read(cls, status_code: int, headers: Mapping[str, str], text: str) -> Answer:
        """Make an answer of what an HTTP client received."""
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            body = text
        return cls(status_code, {name.lower(): value for name, value in headers.items()}, body)

    @property
    def ok(self) -> bool:
        """Whether the HTTP status is a 2xx. fal uses 200 and 202 alike; only the body counts."""
        return 200 <= self.status_code < 300

    def get(self, key: str) -> Any:
        """Give a key of the JSON object, or None."""
        return self.body.get(key) if isinstance(self.body, dict) else None

    @property
    def error_type(self) -> str | None:
        """Give fal's machine-readable type of an error: of the infrastructure's (4.2) or of the model's (4.1)."""
        detail = self.get("detail")
        first = detail[0] if isinstance(detail, list) and detail and isinstance(detail[0], dict) else {}
        for value in (self.get("error_type"), self.headers.get("x-fal-error-type"), first.get("type")):
            if isinstance(value, str) and value:
                return value
        return None

    @property
    def words(self) -> str:
        """Give what fal said, on one line and not too long."""
        detail = self.get("detail") or self.get("status") or self.body
        if isinstance(detail, list) and all(isinstance(entry, dict) for entry in detail):
            detail = "; ".join(_entry_words(entry) for entry in detail)
        text = detail if isinstance(detail, str) else json.dumps(detail)
        return " ".join(text.split())[:500].rstrip(".") or f"an empty answer, HTTP {self.status_code}"

    @property
    def retry_after(self) -> float | None:
        """Give the seconds to wait that fal named, as a number or as a date (RFC 9110, 10.2.3); None if it did not."""
        value = self.headers.get("retry-after", "").strip()
        if value.isdecimal():
            return float(value)
        try:
            return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
        except ValueError:
            return None


def _entry_words(entry: Mapping[str, Any]) -> str:
    loc = entry.get("loc")
    place = ".".join(str(part) for part in loc if part != "body") if isinstance(loc, list) else ""
    return f"{place}: {entry.get('msg')}" if place else str(entry.get("msg"))
