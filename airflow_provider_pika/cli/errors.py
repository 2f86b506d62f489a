"""What becomes of an error: one line for the user, and an exit code."""

from __future__ import annotations

from airflow_provider_pika.exceptions import (
    InvalidInput,
    MissingConnection,
    MissingKey,
    PikaError,
    UnusableCertificates,
    UnusableProxy,
)

#: The exit codes, as the shell's: 130 is SIGINT's.
DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

#: Errors whose advice is for whoever sets up Airflow; the advice of others speaks of tasks and retries.
_SETTING_UP = (MissingConnection, MissingKey, UnusableCertificates, UnusableProxy)


class UsageError(Exception):
    """Something in the arguments that the user can put right; its text says how."""


class Stopped(Exception):
    """The user stopped it; the text says what goes on all the same."""


def code_of(error: BaseException) -> int:
    """Return the exit code of an error."""
    if isinstance(error, UsageError | InvalidInput):
        return USAGE
    return INTERRUPTED if isinstance(error, Stopped | KeyboardInterrupt) else FAILED


def said(error: BaseException) -> str:
    """Return an error as one line. What is not ours may quote a password, so its text counts only where it is known."""
    if isinstance(error, PikaError):
        return _told(error)
    if isinstance(error, UsageError | Stopped):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "Interrupted."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return _foreign(error)


def _told(error: PikaError) -> str:
    """Return what happened, about which request, and what becomes of it."""
    named = error.request_id and error.request_id not in error.message
    parts = (
        error.message,
        f"Request ID: {error.request_id}." if named else "",
        error.consequence,
        error.advice if isinstance(error, _SETTING_UP) else "",
    )
    return " ".join(part for part in parts if part)


def _foreign(error: BaseException) -> str:
    from airflow.providers.common.compat.sdk import AirflowNotFoundException

    if isinstance(error, AirflowNotFoundException):
        return str(error)  # the hook's own words about a connection
    return f"This did not work, and it is not fal's doing: {type(error).__name__}."
