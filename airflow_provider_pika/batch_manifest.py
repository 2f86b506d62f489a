"""What a batch gives to the tasks after it: one line for each input, in the order of the inputs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from airflow_provider_pika.exceptions import InvalidInput, PikaError, RecordUnavailable
from airflow_provider_pika.fal.batch import Item
from airflow_provider_pika.fal.models import Video

#: Clips of which a return value holds the lines; of more, it names the file that does.
INLINE = 100

_VIDEO = ("url", "content_type", "file_name", "file_size", "inference_time")


def check_place(total: int, path: str | None) -> None:
    """Refuse a batch that is too large for a return value, and has no place for its manifest.

    :raises InvalidInput: before anything is submitted.
    """
    if total > INLINE and not path:
        raise InvalidInput(
            f"manifest_path=None is not allowed for {total} inputs: above {INLINE}, it takes the path of a file, "
            "'s3://bucket/{{ ds }}.jsonl' say."
        )


def line_of(index: int, item: Item) -> dict[str, Any]:
    """Give the line of an item: its place, its state, its request, its video or what went wrong."""
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


def write(path: str, items: Iterable[Item]) -> None:
    """Write the manifest as JSON Lines.

    :param path: a URL of Airflow's ``ObjectStoragePath``, or a path of this machine.
    :raises RecordUnavailable: it could not be written.
    """
    from airflow.sdk import ObjectStoragePath

    try:
        place = ObjectStoragePath(path)
        if place.protocol in ("", "file", "local"):  # a bucket has no folders, and is not ours to make
            place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("w") as file:
            file.writelines(_lines(items))
    except Exception as error:
        raise RecordUnavailable(f"The manifest could not be written to {path}: {error}") from error


def _lines(items: Iterable[Item]) -> Iterator[str]:
    for index, item in enumerate(items):
        yield json.dumps(line_of(index, item)) + "\n"
