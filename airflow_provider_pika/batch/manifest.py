"""What a batch gives to the tasks after it: one line for each input, in the order of the inputs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from airflow_provider_pika.exceptions import InvalidInput, PathTaken, PikaError, RecordUnavailable, StorageFailed
from airflow_provider_pika.task.paths import checked_path

if TYPE_CHECKING:
    from airflow_provider_pika.batch.item import Item
    from airflow_provider_pika.saving.object_store import Place

#: Clips of which a return value holds the lines; of more, it names the file that does.
INLINE = 100

#: The content type of a manifest: one JSON object a line.
_JSON_LINES = "application/x-ndjson"

#: Bytes of what is there already that are read, to see a manifest's first line.
_LINE = 1 << 20

#: What every line of a manifest has.
_KEYS = {"index", "state", "request_id"}

#: What a line has of a clip beside them; null for what fal did not say.
_VIDEO = ("url", "content_type", "file_name", "file_size", "inference_time")


def check_place(total: int, path: str | None) -> None:
    """Refuse a batch whose manifest has no place, and which is too large for a return value.

    :raises InvalidInput: before anything is submitted.
    """
    if path:
        checked_path(path, "manifest_path", consequence=None)
    check_total(total, path)


def check_total(total: int, path: Any) -> None:
    """Refuse so many inputs without a manifest. A Dag file's literal list is counted when the file is parsed.

    :param path: as the operator was given it.
    :raises InvalidInput: before anything is submitted.
    """
    if total > INLINE and not path:
        raise InvalidInput(
            f"manifest_path=None is not allowed for {total} inputs: above {INLINE}, it takes the path of a file, "
            "'s3://bucket/{{ run_id }}.jsonl' say."
        )


def line_of(index: int, item: Item) -> dict[str, Any]:
    """Return the line of an item: its place, its state, its request, its video or what went wrong."""
    from airflow_provider_pika.fal.models import Video

    video = item.outcome if isinstance(item.outcome, Video) else None
    error = item.outcome if isinstance(item.outcome, PikaError) else None
    return {
        "index": index,
        "state": item.state,
        "request_id": item.record.request_id if item.record else None,
        "endpoint": item.record.endpoint if item.record else None,
        **{name: getattr(video, name, None) for name in _VIDEO},
        "error": None if error is None else error.message,
        "error_type": None if error is None else error.error_type or type(error).__name__,
    }


def write(path: str, items: Iterable[Item], consequence: str) -> None:
    """Write the manifest as JSON Lines, as a clip is saved: all of it at once, in place of an earlier one.

    :param path: a URL of Airflow's ``ObjectStoragePath``, or a path of this machine.
    :param consequence: what it means for the clips if it cannot be written.
    :raises PathTaken: there is something else than a manifest, which is left as it is.
    :raises RecordUnavailable: it could not be written.
    """
    from airflow_provider_pika.saving.object_store import Place

    try:
        place = Place(path)
        if not _may_be_replaced(place):
            raise PathTaken(f"There is a file at {place.path} that is no manifest of a batch.")
        _publish(place, items)
    except PathTaken as error:
        raise PathTaken(error.message, consequence=consequence) from error
    except StorageFailed as error:
        raise RecordUnavailable(
            f"The manifest could not be written to {path}: {error.message}", consequence=consequence
        ) from error


def _may_be_replaced(place: Place) -> bool:
    """Return whether there is a manifest of a batch, an empty file, or none."""
    if not place.size():
        return True
    try:
        first = json.loads(place.read(_LINE).partition(b"\n")[0])
    except (ValueError, RecursionError):
        return False
    return isinstance(first, dict) and first.keys() >= _KEYS


def _publish(place: Place, items: Iterable[Item]) -> None:
    with place.stage() as stage:
        written = hashlib.sha256()
        for index, item in enumerate(items):
            line = json.dumps(line_of(index, item)).encode() + b"\n"
            written.update(line)
            stage.write(line)
        place.publish(stage, _JSON_LINES, written.hexdigest())
