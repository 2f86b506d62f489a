"""The audit of a clip, which lies beside it as ``<path>.review.json``: who decided what, when, on which bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from airflow_provider_pika.exceptions import PathTaken, PikaError
from airflow_provider_pika.saving.object_store import Place

#: The path of a clip's audit is that of the clip, with this.
SUFFIX = ".review.json"

#: Bytes of an audit that are read, and decisions that it keeps.
_LONGEST, _MOST = 1 << 20, 100

#: What tells one review of a clip from another.
_TASK = ("dag_id", "run_id", "task_id", "map_index")


def write_all(
    clips: Iterable[Mapping[str, Any]], about: Mapping[str, Any], conn_id: str | None, warn: Callable[..., object]
) -> None:
    """Write the decision on each clip beside it. The decision holds without: what stands against it is a warning.

    :param clips: with ``path``, ``sha256``, ``decision`` and ``note``.
    :param about: who decided and when, and the task that asked.
    :param conn_id: the storage's own connection.
    :param warn: takes a line for the task's log, and its arguments.
    """
    for clip in clips:
        try:
            place = Place(clip["path"] + SUFFIX, conn_id)
            content = _with(_read(place), clip, about)
            place.put(json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n", "application/json")
        except PikaError as error:
            warn("The decision on %s is not written beside it: %s", clip["path"], error.message)


def _read(place: Place) -> Mapping[str, Any]:
    """Return what is there; an empty object where nothing is.

    :raises PathTaken: it is no audit.
    """
    if not place.size():
        return {}
    try:
        found = json.loads(place.read(_LONGEST))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("schema_version") != 1 or not isinstance(found.get("reviews"), list):
        raise PathTaken(f"There is a file at {place.path} that is no review of a clip.")
    return found


def _with(found: Mapping[str, Any], clip: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the audit with one more decision. What was decided about other bytes, or by this task before, goes."""
    decision = {"decision": clip["decision"], "note": clip["note"], **about}
    others = found.get("reviews", []) if found.get("sha256") == clip["sha256"] else []
    kept = [
        each
        for each in others
        if isinstance(each, dict) and any(each.get(name) != decision.get(name) for name in _TASK)
    ]
    return {"schema_version": 1, "sha256": clip["sha256"], "reviews": [*kept[-_MOST + 1 :], decision]}
