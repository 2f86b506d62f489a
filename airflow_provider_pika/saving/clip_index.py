"""What a task that saves tells Airflow's UI: an entry for one clip, or one for all clips of a batch.

The pages read nothing else. An entry names the file, and what the file must be like to be shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pendulum

if TYPE_CHECKING:
    from airflow_provider_pika.saving.metadata import Metadata

#: What an entry is of.
CLIP, BATCH = "clip", "batch"

#: Characters of a prompt that are kept: the metadata file has all of it.
_PROMPT = 2000

#: What an entry takes of the metadata as it is.
_FIELDS = {"path", "size", "sha256", "content_type", "width", "height", "seconds", "seed", "request_id", "endpoint"}


def entry_of(metadata: Metadata, conn_id: str | None) -> dict[str, Any]:
    """Return the entry of one clip.

    :param conn_id: the store's connection, if the task names one beside the path.
    """
    return {
        "kind": CLIP,
        **metadata.model_dump(include={*_FIELDS, "poster", "cost", "saved_at"}, by_alias=True),
        "prompt": metadata.prompt and metadata.prompt[:_PROMPT],
        "conn_id": conn_id or None,
    }


def batch_entry_of(value: Mapping[str, Any], lines: Iterable[Mapping[str, Any]], conn_id: str | None) -> dict[str, Any]:
    """Return the entry of a batch's clips.

    :param value: what the task returns: it has the totals, and the manifest's path.
    :param lines: of the manifest, read as far as the first picture.
    """
    cover = next((line["index"] for line in lines if line.get("poster")), None)
    totals = {name: value[name] for name in ("total", "saved", "failed", "unsaved", "bytes", "cost", "manifest")}
    saved_at = pendulum.now("UTC").to_iso8601_string()
    return {"kind": BATCH, **totals, "cover": cover, "saved_at": saved_at, "conn_id": conn_id or None}
