"""A resume that does not come too soon."""

from __future__ import annotations

import asyncio
import time

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
