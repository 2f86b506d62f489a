"""What a task tells other tasks, and its trigger's ``on_kill``, beside its return value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_pika.strict_json import for_airflow

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

#: The XCom's key. It is for reading elsewhere, not for recovery: Airflow wipes it when the task is retried.
REQUEST_ID = "request_id"

#: The key of what was asked for: ``request_id``, ``endpoint``, ``input`` (with the seed), ``submitted_at`` (ISO 8601).
REQUEST = "pika_request"

#: The key of why an attempt failed: ``class``, ``error_type``, ``retry_helps``, ``request_id``, ``message``.
ERROR = "pika_error"

#: The key of what was saved, for the pages of Airflow's UI (``saving/clip_index.py``).
CLIP = "pika_clip"

#: The keys of what a review asks, and of what was decided (``operators/review.py``).
REVIEW, DECISION = "pika_review", "review"


def push_request_id(context: Context, request_id: str, log: Any) -> None:
    """Push the id; a request that was paid for must not be lost because that fails."""
    _push(context, REQUEST_ID, request_id, log)


def push_request(context: Context, request: Mapping[str, Any], log: Any) -> None:
    """Push what was asked for, for the metadata of the file; that must cost nothing, either."""
    _push(context, REQUEST, dict(request), log)


def push_error(context: Context, error: Mapping[str, Any], log: Any) -> None:
    """Push why the task fails; it must fail with that, and not with this."""
    _push(context, ERROR, dict(error), log)


def push_clip(context: Context, entry: Callable[[], Mapping[str, Any]], log: Any) -> None:
    """Push what was saved, for the pages of Airflow's UI; the file is there, and must not be lost for this.

    :param entry: makes it; that must fail nothing, either.
    """
    try:
        made = entry()
    except (Exception, AirflowTaskTimeout):
        log.warning("What was saved is not shown in Airflow's UI", exc_info=True)
    else:
        _push(context, CLIP, made, log)


def pull_request(context: Context, task_ids: Iterable[str], request_id: str) -> Mapping[str, Any]:
    """Return what one of these tasks asked for under this id, in this Dag run; an empty one where none did.

    Of a mapped task it is the one of the same map index: looking through all of them would cost a call each.
    """
    ti = context["ti"]
    for map_index in dict.fromkeys((ti.map_index, -1)):
        for task_id in task_ids:
            pulled = ti.xcom_pull(task_ids=task_id, key=REQUEST, map_indexes=map_index)
            if isinstance(pulled, Mapping) and pulled.get("request_id") == request_id:
                return pulled
    return {}


def asked_for(context: Context, task_ids: Iterable[str], request_id: str) -> dict[str, Any]:
    """Return the ``prompt`` and the ``seed`` of a request, as :func:`pull_request`, and whether it was ``reused``.

    Prompt and seed are null where they are not known.
    """
    asked: Mapping[str, Any] = {}
    with suppress(Exception, AirflowTaskTimeout):  # the clip is there, and must not be lost for this
        asked = pull_request(context, task_ids, request_id)
    sent = asked.get("input")
    known = sent if isinstance(sent, Mapping) else {}
    prompt, seed = known.get("prompt"), known.get("seed")
    return {
        "prompt": prompt if isinstance(prompt, str) else None,
        "seed": seed if isinstance(seed, int) and not isinstance(seed, bool) else None,
        "reused": asked.get("reused") is True,
    }


def _push(context: Context, key: str, value: Any, log: Any) -> None:
    try:
        context["ti"].xcom_push(key=key, value=for_airflow(value))
    except (Exception, AirflowTaskTimeout):  # which is a BaseException
        log.warning("The XCom %r could not be pushed; it would be %s", key, value, exc_info=True)


def pull_request_id(context: Context) -> str | None:
    """Return the id that this task pushed in this attempt; None if it did not."""
    ti = context["ti"]
    pulled = ti.xcom_pull(task_ids=ti.task_id, key=REQUEST_ID, map_indexes=ti.map_index)
    return pulled if isinstance(pulled, str) else None
