"""What became of each clip of a batch when it was saved, pure: a line for each, their totals, and the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pendulum

from airflow_provider_pika.exceptions import InvalidInput, PikaError, SavingFailed, SavingIncomplete
from airflow_provider_pika.fal.ids import is_request_id
from airflow_provider_pika.fal.prices import Cost, Total, total
from airflow_provider_pika.saving.clip_paths import is_integer
from airflow_provider_pika.strict_json import clean_json
from airflow_provider_pika.task.paths import NOT_LOST

if TYPE_CHECKING:
    from airflow_provider_pika.saving.metadata import Metadata

#: Clips of which a return value holds the lines, as of a batch.
INLINE = 100

#: Failed clips that an error names.
_NAMED = 5

#: Characters of an error's message that are kept.
_MESSAGE = 300

#: What is known of a video beside its URL, and its type; anything else is not known.
_VIDEO = {"endpoint": str, "file_name": str, "file_size": int, "inference_time": int | float}

#: What a line has of the file.
_FILE = ("path", "sha256", "bytes", "seconds", "poster")


def checked_line(line: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a line of a batch's manifest that can be used.

    :raises InvalidInput: it lacks what every line has; or it is done, and has no URL.
    """
    index = line.get("index")
    if not is_integer(index) or index < 0 or not isinstance(line.get("state"), str):  # type: ignore[operator]
        raise InvalidInput(
            f"{str(line)[:200]!r} is no line of a batch: it has no index or state.", consequence=NOT_LOST
        )
    if is_done(line) and not (isinstance(line.get("url"), str) and is_request_id(line.get("request_id"))):
        raise InvalidInput(f"Clip {index} is done, and has no URL or no request id.", consequence=NOT_LOST)
    return line


def is_done(line: Mapping[str, Any]) -> bool:
    """Return whether fal has made the clip."""
    return bool(line["state"] == "done")


def video_of(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the video of a line, as the sensor would have returned it."""
    known = {name: line.get(name) if isinstance(line.get(name), kind) else None for name, kind in _VIDEO.items()}
    return {"url": line["url"], "request_id": line["request_id"], **clean_json(known)}


def units_of(line: Mapping[str, Any]) -> float | None:
    """Return the billable units of a line; None if it does not say."""
    units = clean_json(line.get("billable_units"))  # without infinity, and without an integer that is no float
    is_number = isinstance(units, int | float) and not isinstance(units, bool)
    return float(units) if is_number and units >= 0 else None


def cost_of(line: Mapping[str, Any]) -> Cost | None:
    """Return what a line says that its clip cost; None if it does not say."""
    return None if line.get("cost") is None else Cost.from_json(line["cost"])


def total_of(lines: Iterable[Mapping[str, Any]]) -> Total:
    """Return what the clips of some lines have cost."""
    return total(cost for line in lines if (cost := cost_of(line)) is not None)


def label(line: Mapping[str, Any]) -> str:
    """Return what a log line calls a clip."""
    name = line.get("name")
    return f"Clip {line['index']}" if name is None else f"Clip {line['index']} ({str(name)[:_MESSAGE]})"


def line_of(line: Mapping[str, Any], outcome: Metadata | PikaError | None, path: str | None = None) -> dict[str, Any]:
    """Return the line of the manifest, strict JSON whatever the batch's line holds.

    :param line: of the batch's manifest.
    :param outcome: what was saved, or why it was not; None: there is no clip, and the batch's own words hold.
    :param path: where the clip was to be.
    """
    error = outcome if isinstance(outcome, PikaError) else None
    saved = None if error else outcome
    file: Mapping[str, Any] = saved.in_short() if saved else {}  # type: ignore[union-attr]
    state = "saved" if saved else "failed" if error else line["state"]
    told = {
        "index": line["index"],
        "state": state,
        **{key: file.get(key) for key in _FILE},
        "path": file.get("path", path),
        "request_id": line.get("request_id"),
        "name": line.get("name"),
        "prompt": line.get("prompt") or getattr(saved, "prompt", None),
        "seed": getattr(saved, "seed", None) if line.get("seed") is None else line["seed"],
        "cost": line.get("cost") if saved is None else saved.cost,  # type: ignore[union-attr]
        "error": error.message[:_MESSAGE] if error else line.get("error"),
        "error_type": (error.error_type or type(error).__name__) if error else line.get("error_type"),
    }
    return clean_json(told)  # type: ignore[no-any-return]


def is_ours(line: Mapping[str, Any]) -> bool:
    """Return whether it is a line of a manifest of saved clips."""
    return line.keys() >= {"index", "state", "request_id", "sha256"}


@dataclass(frozen=True)
class Totals:
    """How far it has come.

    :param total: lines of the batch; ``clips``: those that fal has made; ``failed``: those that failed at fal.
    :param saved: clips whose file is there; ``unsaved``: clips that could not be saved.
    :param bytes: of all files; ``fetched``: of those that this attempt has fetched.
    :param first: why the first few could not be saved.
    :param retry_helps: whether it may help one of them.
    """

    total: int = 0
    clips: int = 0
    failed: int = 0
    saved: int = 0
    unsaved: int = 0
    bytes: int = 0
    fetched: int = 0
    first: tuple[str, ...] = field(default=())
    retry_helps: bool = False

    def with_line(self, line: Mapping[str, Any]) -> Totals:
        """Count a line of the batch."""
        done, failed = is_done(line), line["state"] == "failed"
        return replace(self, total=self.total + 1, clips=self.clips + done, failed=self.failed + failed)

    def with_saved(self, size: int, fetched: bool) -> Totals:
        """Count a clip whose file is there."""
        return replace(
            self, saved=self.saved + 1, bytes=self.bytes + size, fetched=self.fetched + (size if fetched else 0)
        )

    def with_unsaved(self, label: str, error: PikaError) -> Totals:
        """Count a clip that could not be saved."""
        first = (*self.first, f"{label}: {error.message}") if len(self.first) < _NAMED else self.first
        return replace(
            self, unsaved=self.unsaved + 1, first=first, retry_helps=self.retry_helps or type(error).retry_helps
        )

    def in_words(self, seconds: float) -> str:
        """Say how far it has come, and how fast.

        :param seconds: since it began.
        """
        tried = self.saved + self.unsaved
        speed = f", {self.fetched / 1e6 / seconds:.1f} MB/s" if seconds > 0 else ""
        words = f"{self.saved} saved, {self.unsaved} failed of {self.clips} clips, {self.bytes / 1e6:.1f} MB{speed}"
        if not tried or tried >= self.clips or seconds <= 0:
            return words
        left = pendulum.duration(seconds=round(seconds / tried * (self.clips - tried)))
        return f"{words}; about {left.in_words() or 'a second'} left"

    def as_json(self) -> dict[str, Any]:
        """Return what the task returns of them."""
        return {
            "total": self.total,
            "saved": self.saved,
            "failed": self.failed + self.unsaved,
            "unsaved": self.unsaved,
            "bytes": self.bytes,
        }

    def failure(self, stopped: PikaError | None) -> PikaError:
        """Return what the task fails with.

        :param stopped: why the rest was not tried.
        """
        named = "; ".join(self.first).rstrip(".")
        more = f"; and {self.unsaved - len(self.first)} more" if self.unsaved > len(self.first) else ""
        if stopped:
            return SavingIncomplete(
                f"{self.saved} of {self.clips} clips are saved, and the rest was not tried any more, since too many in "
                f"a row failed: {stopped.message.rstrip('.')}."
            )
        kind = SavingIncomplete if self.retry_helps else SavingFailed
        return kind(f"{self.unsaved} of {self.clips} clips could not be saved: {named}{more}.")
