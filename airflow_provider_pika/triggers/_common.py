"""The triggerer's one client for each connection, from an Airflow that may have trouble with it for a moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from airflow_provider_pika.exceptions import PikaError
from airflow_provider_pika.hooks.pika import PikaHook

if TYPE_CHECKING:
    from airflow_provider_pika.fal.client_pool import SharedQueue


#: Seconds between two times that Airflow is asked for the connection.
CONNECT_PAUSES = (5.0, 10.0, 20.0, 40.0, 60.0)


@asynccontextmanager
async def connected(pika_conn_id: str, queue_url: str, deadline: float, log: Any) -> AsyncIterator[SharedQueue]:
    """Give the client that all triggers of this process share, once it leads where it shall: a clip may depend on it.

    :param queue_url: the queue that has the request.
    :param deadline: unix seconds; past it, Airflow is asked without pauses.
    :raises OtherQueue: the connection leads elsewhere, over and over.
    :raises Exception: what reading the connection raised, over and over.
    """
    from airflow_provider_pika.fal.client_pool import shared_queue

    async with shared_queue(pika_conn_id, queue_url, PikaHook(pika_conn_id).aget_conn) as queue:
        for pause in (*CONNECT_PAUSES, None):
            try:
                await queue.client()
                break
            except Exception as error:
                if pause is None or (isinstance(error, PikaError) and not error.retry_helps):
                    raise
                log.warning("The connection cannot be had: %s Asking again in %.0f s.", error, pause)
                await asyncio.sleep(min(pause, max(0.0, deadline - time.time())))
        yield queue


#: Seconds from a trigger's start to the earliest event that has a worker go on.
SETTLED_AFTER = 5.0


async def settled(began: float, task_instance: object) -> None:
    """Let Airflow's scheduler take in that the task was deferred before it hears that the task goes on.

    The end of the worker that deferred reaches the scheduler late, and if the next worker is there by then, it is taken
    for that one's: the task fails, or is retried, though nothing is wrong (apache/airflow#66374, #67287, #72716; run on
    3.1.8 and 3.3.2 with LocalExecutor on a busy machine). A generation takes longer than this anyway.

    :param began: when the trigger started, of the clock ``time.monotonic``.
    :param task_instance: the trigger's; None in ``airflow dags test``, which has no scheduler.
    """
    if task_instance is not None:
        await asyncio.sleep(max(0.0, began + SETTLED_AFTER - time.monotonic()))
