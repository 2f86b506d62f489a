"""Until when a task waits: the earlier of its ``timeout`` and Airflow's ``execution_timeout``."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_pika.exceptions import PikaError

#: Seconds, and the share of ``execution_timeout``, by which a wait in a worker ends before Airflow's own alarm for it:
#: the last poll, and the message, then come first.
BEFORE_THE_ALARM, SHARE_BEFORE_THE_ALARM = 1.0, 0.05


@dataclass(frozen=True)
class Limit:
    """When a task's wait is given up.

    :param deadline: unix seconds.
    :param seconds: as the user set them.
    :param name: of the parameter that they are set by, as ``fal/polling.py`` has it.
    """

    deadline: float
    seconds: float
    name: str

    def before_the_alarm(self) -> Limit:
        """Return the limit of a wait that Airflow ends in its own way, where it does, unless this one is earlier."""
        from airflow_provider_pika.fal.polling import EXECUTION_TIMEOUT

        if self.name != EXECUTION_TIMEOUT:
            return self
        early = max(0.0, min(BEFORE_THE_ALARM, self.seconds * SHARE_BEFORE_THE_ALARM))
        return replace(self, deadline=self.deadline - early)


def limit_of(task: Any, ti: Any) -> Limit:
    """Return the earlier limit of a wait that begins: ``timeout`` from now, or the task's ``execution_timeout``.

    Airflow 3 counts ``execution_timeout`` anew in each worker, and not at all while a task is deferred
    (airflow-facts.md, section 0, rule 7). Here it counts from the first start of the attempt: the deadline that is
    made of it is handed on, and 3.3 keeps ``start_date`` when a worker resumes.
    """
    from airflow_provider_pika.fal.polling import EXECUTION_TIMEOUT, TIMEOUT

    now = time.time()
    timeout = Limit(now + task.timeout, task.timeout, TIMEOUT)
    if task.execution_timeout is None:
        return timeout
    start_date = getattr(ti, "start_date", None)
    started = min(start_date.timestamp(), now) if start_date else now
    seconds = task.execution_timeout.total_seconds()
    return min(timeout, Limit(started + seconds, seconds, EXECUTION_TIMEOUT), key=lambda limit: limit.deadline)


def shorter_limit_of(task: Any) -> str:
    """Return the name of the limit that ends a task's waits, where it is not known when they began."""
    from airflow_provider_pika.fal.polling import EXECUTION_TIMEOUT, TIMEOUT

    limit: timedelta | None = task.execution_timeout
    return EXECUTION_TIMEOUT if limit is not None and limit.total_seconds() < task.timeout else TIMEOUT


def as_airflows_timeout(error: PikaError) -> AirflowTaskTimeout:
    """Return Airflow's own error for an ``execution_timeout`` that has passed: it is retried, and skips, as that is."""
    timeout = AirflowTaskTimeout(str(error))
    timeout.__cause__ = error
    return timeout
