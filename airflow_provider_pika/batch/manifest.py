"""What a batch gives to the tasks after it: one line for each input, in the order of the inputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_pika.exceptions import InvalidInput, PikaError
from airflow_provider_pika.task.paths import checked_path

if TYPE_CHECKING:
    from airflow_provider_pika.batch.item import Item
    from airflow_provider_pika.fal.prices import Prices

#: Clips of which a return value holds the lines; of more, it names the file that does.
INLINE = 100

#: What every line of a manifest has.
_KEYS = {"index", "state", "request_id"}

#: What only a line of a saved clip has.
_SAVED = "sha256"

#: What a line has of a clip beside them; null for what fal did not say.
_VIDEO = ("url", "content_type", "file_name", "file_size", "inference_time", "billable_units")


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


def line_of(
    index: int,
    item: Item,
    arguments: Mapping[str, Any] | None = None,
    name: str | None = None,
    prices: Prices | None = None,
) -> dict[str, Any]:
    """Return the line of an item: its place, its state, its request, its video or what went wrong, what was asked for.

    :param arguments: the endpoint's input, as the user gave it; None: it is not known any more.
    :param name: what the user calls it.
    :param prices: by which a clip's cost is told; None: it is not.
    """
    from airflow_provider_pika.batch.spending import cost_of
    from airflow_provider_pika.fal.models import Video

    video = item.outcome if isinstance(item.outcome, Video) else None
    error = item.outcome if isinstance(item.outcome, PikaError) else None
    sent = item.record.with_seed(arguments) if item.record and arguments else dict(arguments or {})
    return {
        "index": index,
        "state": item.state,
        "request_id": item.record.request_id if item.record else None,
        "endpoint": item.record.endpoint if item.record else None,
        **{name: getattr(video, name, None) for name in _VIDEO},
        "error": None if error is None else error.message,
        "error_type": None if error is None else error.error_type or type(error).__name__,
        "name": name,
        "prompt": sent.get("prompt"),
        "seed": sent.get("seed"),
        "input": sent or None,
        "cost": cost_of(item, prices).as_json() if video and prices else None,
        "reused": item.record is not None and item.record.reused,
    }


def read_manifest(path: str, conn_id: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield the lines of a manifest as dicts, one at a time: of a batch, or of the task that saved its clips.

    :param path: what the task returned as ``manifest``: a URL of ``ObjectStoragePath``, or a path of this machine.
    :param conn_id: the storage's connection; None: the one in the path, or the storage's default.
    :raises StorageFailed: it cannot be read.
    :raises InvalidInput: it is no manifest.
    """
    from airflow_provider_pika.saving import json_lines
    from airflow_provider_pika.saving.object_store import Place

    return json_lines.read(Place(path, conn_id))


def write(path: str, lines: Iterable[Mapping[str, Any]], consequence: str) -> None:
    """Write the manifest as JSON Lines, as a clip is saved: all of it at once, in place of an earlier one.

    :param path: a URL of Airflow's ``ObjectStoragePath``, or a path of this machine.
    :param consequence: what it means for the clips if it cannot be written.
    :raises PathTaken: there is something else than a manifest, which is left as it is.
    :raises RecordUnavailable: it could not be written.
    """
    from airflow_provider_pika.saving import json_lines

    json_lines.replace(path, lines, _is_ours, "manifest of a batch", consequence)


def _is_ours(line: Mapping[str, Any]) -> bool:
    return line.keys() >= _KEYS and _SAVED not in line
