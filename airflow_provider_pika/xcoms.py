"""The request id, where other tasks and a trigger's ``on_kill`` can read it while the task still runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

#: The XCom's key. It is for reading elsewhere, not for recovery: Airflow wipes it when the task is retried.
REQUEST_ID = "request_id"


def push_request_id(context: Context, request_id: str, log: Any) -> None:
    """Push the id; a request that was paid for must not be lost because that fails."""
    try:
        context["ti"].xcom_push(key=REQUEST_ID, value=request_id)
    except Exception:
        log.warning("The XCom %r could not be pushed; it would be %s", REQUEST_ID, request_id, exc_info=True)


def pull_request_id(context: Context) -> str | None:
    """Give the id that this task pushed in this attempt; None if it did not."""
    ti = context["ti"]
    pulled = ti.xcom_pull(task_ids=ti.task_id, key=REQUEST_ID, map_indexes=ti.map_index)
    return pulled if isinstance(pulled, str) else None
