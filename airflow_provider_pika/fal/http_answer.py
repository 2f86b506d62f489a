"""An HTTP answer, cleaned and bounded where it becomes ours, and its words; ``responses.py`` has its meaning.

What came is not trusted: not its text, its numbers, its size, or its silence about the key that it was sent.
"""

from __future__ import annotations

import email.utils
import json
import time
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from airflow_provider_pika.fal.redaction import Redactor
from airflow_provider_pika.strict_json import clean_json, clean_text, one_line

#: Bytes of an answer that are read, after decompression. A status with 1,000 lines of log has some 0.2 MB, a result of
#: Pika 1 KB; a page of the history has the inputs and outputs of 100 requests.
STATUS_BYTES, RESULT_BYTES, HISTORY_BYTES = 1 << 20, 4 << 20, 8 << 20

#: Bytes of an error that are read: its first words say what there is to say.
ERROR_BYTES = 256 << 10

#: Entries of one list or object in an answer; of a log these are the newest lines.
MOST_ENTRIES = 1000

#: Header fields, and characters of one: fal's take 16 KB in all (fal-protocol.md, 2.7).
MOST_FIELDS, LONGEST_FIELD = 128, 8192

#: Characters of fal's words in a message.
LONGEST_WORDS = 500

#: Digits and sign of an integer of 64 bits.
_MOST_DIGITS = 20

#: Characters of a server's name, and of its words, where it is only to be recognised.
LONGEST_SERVER, FIRST_WORDS = 80, 200

#: Seconds: what asks for a longer pause means "never".
LONGEST_PAUSE = 30 * 24 * 3600.0


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. ``headers`` are looked up in lower case; ``body`` is strict JSON, or text if it is no JSON.

    :param truncated: there was more than is read; then the body is the beginning, as text.
    """

    status_code: int
    headers: Mapping[str, str]
    body: Any
    truncated: bool = False

    @classmethod
    def read(
        cls,
        status_code: int,
        headers: Mapping[str, str],
        content: bytes,
        most: int = STATUS_BYTES,
        redactor: Redactor | None = None,
    ) -> Answer:
        """Make an answer of what an HTTP client received.

        :param content: as it was sent; :func:`most_bytes` of it are enough.
        :param most: bytes that a good answer of this kind may have.
        :param redactor: takes the key out of it.
        """
        fields: dict[str, str] = {}
        for name, value in islice(_fields(headers), MOST_FIELDS):  # of two of one name, the first counts
            fields.setdefault(clean_text(str(name)).lower(), clean_text(str(value), LONGEST_FIELD))
        content = _decompressed(content, fields.get("content-encoding", ""), most_bytes(status_code, most))
        truncated = len(content) >= most_bytes(status_code, most)
        text = content.decode("utf-8", "replace")
        body: Any = clean_text(text)
        if not truncated:
            with suppress(ValueError, RecursionError):
                body = clean_json(json.loads(text, parse_int=_integer), most=MOST_ENTRIES)
        if redactor:
            fields = {name: redactor.text(value) for name, value in fields.items()}
            body = redactor.json(body)
        return cls(status_code, fields, body, truncated)

    @property
    def ok(self) -> bool:
        """Whether the HTTP status is a 2xx. fal uses 200 and 202 alike; only the body counts."""
        return 200 <= self.status_code < 300

    def get(self, key: str) -> Any:
        """Return a key of the JSON object, or None."""
        return self.body.get(key) if isinstance(self.body, dict) else None

    @property
    def error_type(self) -> str | None:
        """Return fal's machine-readable type of an error: of the infrastructure's (4.2) or of the model's (4.1)."""
        detail = self.get("detail")
        first = detail[0] if isinstance(detail, list) and detail and isinstance(detail[0], dict) else {}
        for value in (self.get("error_type"), self.headers.get("x-fal-error-type"), first.get("type")):
            if isinstance(value, str) and value:
                return value
        return None

    @property
    def has_fals_headers(self) -> bool:
        """Whether a header says that fal answered; it does not send one with every answer (fal-protocol.md, 4.4)."""
        return any(name.startswith("x-fal-") for name in self.headers)

    @property
    def source(self) -> str:
        """Name who answered, as far as the answer tells: its status, its server, its first words."""
        server = one_line(self.headers.get("server", ""), LONGEST_SERVER)
        place = f"HTTP {self.status_code}" + (f", server {server}" if server else "")
        said = "an empty body" if self.body == "" else repr(one_line(self.words, FIRST_WORDS))
        return f"{place}, {said}"

    @property
    def words(self) -> str:
        """Return what fal said, on one line and not too long."""
        detail = self.get("detail") or self.get("status") or self.body
        if isinstance(detail, list) and all(isinstance(entry, dict) for entry in detail):
            detail = "; ".join(_entry_words(entry) for entry in detail)
        text = detail if isinstance(detail, str) else json.dumps(detail)
        said = one_line(text.strip(), LONGEST_WORDS).rstrip(".") or f"an empty answer, HTTP {self.status_code}"
        return f"an answer that is too large, which begins {said!r}" if self.truncated else said

    @property
    def retry_after(self) -> float | None:
        """Return the seconds to wait that fal named, as a number or a date (RFC 9110, 10.2.3); None if it did not."""
        value = self.headers.get("retry-after", "").strip()
        if value.isdecimal():
            return min(float(value), LONGEST_PAUSE)
        at = _date(value)
        return None if at is None else min(max(0.0, at - time.time()), LONGEST_PAUSE)

    @property
    def answered_at(self) -> float | None:
        """Return the unix seconds that the answerer's clock showed (RFC 9110, 6.6.1); None if it did not say."""
        return _date(self.headers.get("date", ""))


def _date(value: str) -> float | None:
    with suppress(ValueError, TypeError, OverflowError):
        return email.utils.parsedate_to_datetime(value).timestamp()
    return None


def _fields(headers: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    # httpx joins fields of one name, and has them one by one under this name; aiohttp has them one by one
    return headers.multi_items() if hasattr(headers, "multi_items") else headers.items()


def _integer(digits: str) -> int | None:
    """Read an integer that a database takes. Of 4,300 digits Python refuses it, and all of the answer with it."""
    return int(digits) if len(digits) <= _MOST_DIGITS else None


def most_bytes(status_code: int, most: int) -> int:
    """Return how many bytes of an answer are to be read: what has as many is too large, and only its first words count.

    :param most: bytes that a good answer of this kind may have.
    """
    return 1 + (most if 200 <= status_code < 300 else min(most, ERROR_BYTES))


def _decompressed(content: bytes, encoding: str, most: int) -> bytes:
    """Return the first bytes of what a gateway has compressed, though it was asked not to."""
    if encoding.strip().lower() in ("gzip", "x-gzip", "deflate"):
        for window in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):  # gzip and zlib by their headers; some send raw deflate
            with suppress(zlib.error):
                return zlib.decompressobj(window).decompress(content, most)
    return content[:most]


def _entry_words(entry: Mapping[str, Any]) -> str:
    loc = entry.get("loc")
    place = ".".join(str(part) for part in loc if part != "body") if isinstance(loc, list) else ""
    return f"{place}: {entry.get('msg')}" if place else str(entry.get("msg"))
