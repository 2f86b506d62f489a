"""What Airflow does with our errors: fail the task for good, or retry it as usual; and what other tasks are told."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from airflow.exceptions import AirflowRescheduleException  # the one path that 3.1 and 3.3 share
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
)

from airflow_provider_pika.exceptions import (
    LONGEST_MESSAGE,
    LONGEST_NAME,
    NOT_SENT,
    GenerationFailed,
    InvalidInput,
    PikaError,
    UnknownStatus,
)
from airflow_provider_pika.strict_json import one_line
from airflow_provider_pika.task.xcom import pull_request_id, push_error

P = ParamSpec("P")
T = TypeVar("T")

#: Where a task keeps the error that other tasks have been told of: it passes through several of the task's methods.
_TOLD = "_told_error"


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
def failing_what_sends_nothing(consequence: str = "") -> Iterator[None]:
    """Run what submits nothing: the same, but a refused value is not said to be kept from fal.

    :param consequence: what a refused value means instead.
    """
    with failing_when_a_submit_cannot_help():
        try:
            yield
        except InvalidInput as error:
            if error.consequence == NOT_SENT:
                error.consequence = consequence
            raise


@contextmanager
def failing_when_a_poll_cannot_help() -> Iterator[None]:
    """Run what only waits: a retry would poll the same request, so its failed generation is final too."""
    try:
        with failing_what_sends_nothing():
            yield
    except GenerationFailed as error:
        raise AirflowFailException(
            f"{error} A retry of this task polls the same request, so it does not help. Clear the task that "
            "submitted it."
        ) from error
    except AirflowFailException as error:
        if not isinstance(error.__cause__, UnknownStatus):
            raise
        raise AirflowFailException(
            f"{error} If you clear this task, it polls again, and submits nothing."
        ) from error.__cause__


def tells_why_it_fails(method: Callable[P, T]) -> Callable[P, T]:
    """Decorate a method that a worker begins with: when it fails, push the XCom ``pika_error`` for the next tasks.

    The method takes ``context``. A skip is pushed where a failure is its cause (``soft_fail``).
    """
    signature = inspect.signature(method)

    @wraps(method)
    def telling(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except AirflowRescheduleException:
            raise
        except (Exception, AirflowTaskTimeout) as error:  # which is a BaseException
            with suppress(Exception):  # the task fails with its own error, whatever becomes of this
                given = signature.bind(*args, **kwargs).arguments
                _tell(given["self"], given["context"], error)
            raise

    return telling


def _tell(task: Any, context: Any, error: BaseException) -> None:
    if (why := _why(error, task)) is not None and vars(task).get(_TOLD) is not error:
        vars(task)[_TOLD] = error
        push_error(context, _in_short(error, why, task, context), task.log)


def _why(error: BaseException, task: Any) -> BaseException | None:
    """Return the error of ours in which a failure began, else the failure itself; None for a skip that is none."""
    skipped = isinstance(error, AirflowSkipException)
    if skipped and not (getattr(task, "soft_fail", False) or getattr(task, "never_fail", False)):
        return None  # the user's own, whatever it came of
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and not any(cause is each for each in causes):  # "raise error from error" makes a ring
        if isinstance(cause, PikaError):
            return cause
        causes.append(cause)
        cause = cause.__cause__
    return error.__cause__ if skipped else error


def _in_short(error: BaseException, why: BaseException, task: Any, context: Any) -> dict[str, Any]:
    """Return what the next tasks are told: JSON of bounded size."""
    ours = isinstance(why, PikaError)
    return {
        "class": one_line(type(why).__name__, LONGEST_NAME),
        "error_type": why.error_type if isinstance(why, PikaError) else None,
        "retry_helps": why.retry_helps if isinstance(why, PikaError) else _passes(why),
        "request_id": (why.request_id if isinstance(why, PikaError) else None) or _request_of(task, context),
        "charged": why.charged if isinstance(why, GenerationFailed) else None,
        "billable_units": why.billable_units if isinstance(why, GenerationFailed) else None,
        "message": one_line(_masked(str(error if ours else why)) or (str(why) if ours else ""), LONGEST_MESSAGE),
    }


def _passes(error: BaseException) -> bool | None:
    """Return whether an error of Airflow's own may pass; None for what nobody knows."""
    if isinstance(error, AirflowFailException):
        return False
    return True if isinstance(error, AirflowSensorTimeout | AirflowTaskTimeout) else None


def _request_of(task: Any, context: Any) -> str | None:
    """Return the request that a task was given, where it is given one; else the one that it made in this attempt."""
    video = getattr(task, "video", None)
    given = video.get("request_id") if isinstance(video, Mapping) else getattr(task, "request_id", None)
    if not given:  # a template of it may render nothing by now
        given = getattr(vars(task).get("_agreed_terms"), "request_id", None) or _pushed_by(context)
    return one_line(given, LONGEST_NAME) if isinstance(given, str) else None


def _pushed_by(context: Any) -> str | None:
    try:
        return pull_request_id(context)
    except (Exception, AirflowTaskTimeout):  # what is told is worth more than the id
        return None


def _masked(text: str) -> str:
    """Return the text of an error of somebody else's, with Airflow's secrets hidden as in a log."""
    try:
        from airflow.sdk._shared.secrets_masker import redact
    except ImportError:  # it is Airflow's own, the same from 3.1.8 to 3.3.2
        return ""
    return str(redact(text))
