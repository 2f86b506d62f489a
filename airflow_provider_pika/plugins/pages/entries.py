"""What is read of a task's index entry, of a batch's line, and of what a task was asked for. Pure.

Whoever writes a Dag may write an XCom, so nothing in one is taken for what it should be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_pika.fal.prices import Cost
from airflow_provider_pika.saving.clip_index import BATCH, CLIP
from airflow_provider_pika.task.paths import POSTER

#: Hex digits of a SHA-256.
_DIGEST = 64

#: Characters of a text that a page shows.
_TEXT = 4000

#: Characters of an amount, and amounts of a sum, that are shown.
_AMOUNT, _AMOUNTS = 40, 5


@dataclass(frozen=True)
class Clip:
    """A clip that was saved.

    :param path: where, as the task was told it; ``conn_id``: the store's connection beside it.
    :param poster: the path of its picture; None: it has none.
    """

    path: str
    size: int
    sha256: str
    conn_id: str | None = None
    poster: str | None = None
    prompt: str | None = None
    seed: int | None = None
    request_id: str | None = None
    endpoint: str | None = None
    cost: str | None = None
    seconds: float | None = None
    width: int | None = None
    height: int | None = None
    saved_at: str | None = None
    name: str | None = None

    @property
    def etag(self) -> str:
        """What stands for exactly this content."""
        return f'"{self.sha256}"'


@dataclass(frozen=True)
class Batch:
    """The clips of a batch that were saved.

    :param manifest: the path of the file with a line for each; None: the lines are in the task's return value.
    :param cover: the index of a clip that has a picture.
    """

    total: int
    saved: int
    failed: int
    size: int
    manifest: str | None = None
    cover: int | None = None
    conn_id: str | None = None
    cost: str | None = None
    saved_at: str | None = None


def read_entry(value: Any) -> Clip | Batch | None:
    """Read what a task has pushed; None: it is no entry."""
    if not isinstance(value, Mapping):
        return None
    if value.get("kind") == BATCH:
        total, saved, failed, size = (integer_of(value.get(name)) for name in ("total", "saved", "failed", "bytes"))
        if total is None or saved is None or failed is None or size is None:
            return None
        return Batch(
            total,
            saved,
            failed,
            size,
            manifest=text_of(value.get("manifest")),
            cover=integer_of(value.get("cover")),
            conn_id=text_of(value.get("conn_id")),
            cost=_total(value.get("cost")),
            saved_at=text_of(value.get("saved_at")),
        )
    return read_clip(value, text_of(value.get("conn_id"))) if value.get("kind") == CLIP else None


def read_clip(value: Mapping[str, Any], conn_id: str | None) -> Clip | None:
    """Read a clip, of an entry or of a batch's line; None: it is none.

    :param conn_id: the store's connection, if one is named beside the path.
    """
    path, sha256, size = text_of(value.get("path")), text_of(value.get("sha256")), integer_of(value.get("bytes"))
    if not path or size is None or not sha256 or not _is_digest(sha256):
        return None
    cost = Cost.from_json(value.get("cost"))
    return Clip(
        path=path,
        size=size,
        sha256=sha256,
        conn_id=conn_id,
        poster=path + POSTER if value.get("poster") else None,  # nobody says of another file that it is the picture
        prompt=text_of(value.get("prompt")),
        seed=integer_of(value.get("seed"), least=None),
        request_id=text_of(value.get("request_id")),
        endpoint=text_of(value.get("endpoint")),
        cost=None if cost.amount is None else str(cost),
        seconds=_number(value.get("seconds")),
        width=integer_of(value.get("width")),
        height=integer_of(value.get("height")),
        saved_at=text_of(value.get("saved_at")),
        name=text_of(value.get("name")),
    )


@dataclass(frozen=True)
class Asked:
    """What a task has asked fal for, as far as it has said."""

    request_id: str | None = None
    endpoint: str | None = None
    prompt: str | None = None
    seed: int | None = None


def read_request(value: Any) -> Asked:
    """Read what a task has pushed of its request."""
    known = value if isinstance(value, Mapping) else {}
    sent = known.get("input")
    sent = sent if isinstance(sent, Mapping) else {}
    return Asked(
        text_of(known.get("request_id")),
        text_of(known.get("endpoint")),
        text_of(sent.get("prompt")),
        integer_of(sent.get("seed"), least=None),
    )


def read_error(value: Any) -> str | None:
    """Read why a task has failed, in one text."""
    known = value if isinstance(value, Mapping) else {}
    words = [text_of(known.get(name)) for name in ("error_type", "message")]
    return ": ".join(word for word in words if word) or None


def read_video(value: Any) -> tuple[str, str | None] | None:
    """Read the URL of a clip and its request's ID, of what a task that waits has returned; None: it is none."""
    known = value if isinstance(value, Mapping) else {}
    url = text_of(known.get("url"))
    return (url, text_of(known.get("request_id"))) if url and text_of(known.get("request_id")) else None


def _total(value: Any) -> str | None:
    """Read the sum of a batch's costs in words."""
    known = value if isinstance(value, Mapping) else {}
    amounts = known.get("amounts")
    by_currency = amounts if isinstance(amounts, Mapping) else {}
    words = [f"{amount} {currency}"[:_AMOUNT] for currency, amount in by_currency.items()]
    if unknown := integer_of(known.get("unknown")):
        words.append(f"{unknown} unknown")
    return " and ".join(words[:_AMOUNTS]) or None


def text_of(value: Any) -> str | None:
    """Return a text, as much of it as a page shows; None: it is none."""
    return value[:_TEXT] if isinstance(value, str) and value else None


def integer_of(value: Any, least: int | None = 0) -> int | None:
    """Return a whole number that is not less than ``least``; None: it is none."""
    is_one = isinstance(value, int) and not isinstance(value, bool)
    return value if is_one and (least is None or value >= least) else None


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None


def _is_digest(text: str) -> bool:
    return len(text) == _DIGEST and all(letter in "0123456789abcdef" for letter in text)
