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


async def push_return_value(task_instance: Any, value: dict[str, Any]) -> None:
    """Push a task's return value from the triggerer; may raise anything, since it goes by names of Airflow's own.

    Not by ``TaskSuccessEvent(xcoms=...)``: that stores a text in place of the object, and passes an XCom backend by
    (run on 3.1.8 and 3.3.2).
    """
    import asyncio

    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import SetXCom
    from airflow.sdk.execution_time.xcom import XCom

    ti = task_instance
    place = {
        "key": "return_value",
        "dag_id": ti.dag_id,
        "run_id": ti.run_id,
        "task_id": ti.task_id,
        "map_index": -1 if ti.map_index is None else ti.map_index,
    }
    stored = await asyncio.to_thread(lambda: XCom.serialize_value(value, **place))  # a backend may write a file
    await task_runner.SUPERVISOR_COMMS.asend(SetXCom(value=stored, **place))
