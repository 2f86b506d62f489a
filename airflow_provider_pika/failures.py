"""What Airflow does with our errors: fail the task for good, or retry it as usual."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowFailException

from .exceptions import GenerationFailed, PikaError, UnknownStatus


@contextmanager
def failing_when_a_submit_cannot_help() -> Iterator[None]:
    """Run what submits: an error that a new submit cannot mend fails the task without using up its retries."""
    try:
        yield
    except PikaError as error:
        if error.retry_helps:
            raise
        raise AirflowFailException(str(error)) from error


@contextmanager
def failing_when_a_look_cannot_help() -> Iterator[None]:
    """Run what only waits: a retry would look at the same request, so its failed generation is final too."""
    try:
        with failing_when_a_submit_cannot_help():
            yield
    except GenerationFailed as error:
        raise AirflowFailException(
            f"{error} Retrying this task cannot help, since it looks at the same request: clear the task that "
            "submitted it."
        ) from error
    except AirflowFailException as error:
        if not isinstance(error.__cause__, UnknownStatus):
            raise
        raise AirflowFailException(f"{error} Clearing this task looks again, and submits nothing.") from error.__cause__
