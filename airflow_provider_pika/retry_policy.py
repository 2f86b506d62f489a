"""Which failures Airflow retries, and when: fal's own word on it. Airflow 3.3 and newer."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_pika.exceptions import PikaError

try:
    from airflow.sdk import RetryDecision, RetryPolicy
except ImportError as error:  # 3.1 and 3.2
    raise ImportError("PikaRetryPolicy needs Airflow 3.3 or newer; leave retry_policy out on an older one.") from error

if TYPE_CHECKING:
    from airflow.sdk import Context

#: Seconds: a Retry-After beyond this would park the task for longer than a person would.
LONGEST_DELAY = 3600.0


class PikaRetryPolicy(RetryPolicy):
    """Retry what a retry can help, after the pause that fal asked for. Fail the rest at once.

    Use it on any task that talks to fal through this provider, ``retry_policy=PikaRetryPolicy()``. Your own ``@task``
    with a ``PikaHook`` is one. It waits as long as fal's ``Retry-After`` says, an hour at most. Without one, the
    task's own ``retry_delay`` holds. Other errors are left to Airflow. It never adds to ``retries``. It needs Airflow
    3.3.
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide about one failure."""
        if not isinstance(exception, PikaError):
            return RetryDecision.default()
        if not exception.retry_helps:
            return RetryDecision.fail(reason=str(exception))
        asked = exception.retry_after
        delay = None if asked is None else timedelta(seconds=min(asked, LONGEST_DELAY))
        return RetryDecision.retry(delay=delay, reason=str(exception))
