"""The failures fal is known to answer with, as outcomes: model errors (4.1) and infrastructure errors (4.2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from airflow_provider_pika.emulator.engine.records import Outcome

DOCS = "https://docs.fal.ai/errors/#"

BILLABLE_UNITS = "X-Fal-Billable-Units"
"""What a request is charged for, times the unit's price; on the result alone (fal-protocol.md N11)."""

NEEDS_RETRY = "X-Fal-Needs-Retry"

REFUSED_INPUT = {"X-Fal-Retryable": "false", NEEDS_RETRY: "0", BILLABLE_UNITS: "0"}

TEMPORARY = frozenset({"internal_error", "runner_disconnected", "runner_server_error"})
"""Of the types answered here, those that a caller may try again after (4.2); not the caller's own start deadline."""


def detail(loc: list[str | int], message: str, kind: str, **extra: Any) -> dict[str, Any]:
    """One entry of a model error's ``detail``. The ``url`` of pydantic's own types is not established: same form."""
    return {"loc": loc, "msg": message, "type": kind, "url": DOCS + kind, **extra}


def model_error(status: int, entry: dict[str, Any], *, retryable: bool = False) -> Outcome:
    """An error of the model, with both spellings of the retry header (0.1)."""
    headers = {"X-Fal-Retryable": str(retryable).lower(), NEEDS_RETRY: str(int(retryable))}
    return Outcome(status, {"detail": [entry]}, headers)


def infrastructure_error(status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> Outcome:
    """An error of fal itself: named on the status as well as on the result."""
    body = {"detail": message, "error_type": kind}
    return Outcome(status, body, {"X-Fal-Error-Type": kind, **(headers or {})}, message, kind)


def invalid_input(error: ValidationError) -> Outcome:
    """pydantic's errors, passed through with their types; nothing is billed (4.1)."""
    entries = []
    for item in error.errors(include_url=False):
        context = {"ctx": {key: str(value) for key, value in item["ctx"].items()}} if "ctx" in item else {}
        entries.append(detail(["body", *item["loc"]], item["msg"], item["type"], **context, input=item["input"]))
    return Outcome(422, {"detail": entries}, REFUSED_INPUT)


def invalid_json() -> Outcome:
    """A body that is no JSON object. fal's answer is not established; this is that of FastAPI, under its apps."""
    entry = detail(["body"], "JSON decode error", "json_invalid", input={})
    return Outcome(422, {"detail": [entry]}, REFUSED_INPUT)


def unknown_path(path: str) -> Outcome:
    """A path that the app does not have, found out only when the request runs (2.4)."""
    return Outcome(404, {"detail": f"Path /{path} not found"}, {BILLABLE_UNITS: "0"})


def content_policy_violation(prompt: str, units: int | None = None) -> Outcome:
    """The provider's filter refused the prompt; with ``units`` it is charged for, as a 422 may be (N11)."""
    message = "The content could not be processed because it contained material flagged by a content checker."
    outcome = model_error(422, detail(["body", "prompt"], message, "content_policy_violation", input=prompt))
    if units is not None:
        outcome.headers[BILLABLE_UNITS] = str(units)
    return outcome


def generation_error(*, retryable: bool) -> Outcome:
    """The model broke down."""
    return model_error(
        500, detail(["body"], "An internal error occurred.", "internal_server_error"), retryable=retryable
    )


def downstream_error(*, retryable: bool) -> Outcome:
    """Pika, behind fal, broke down. 400 or 500 by the page one reads (0.1); we answer 400."""
    entry = detail(["body"], "The downstream service returned an error.", "downstream_service_error")
    return model_error(400, entry, retryable=retryable)


def start_timeout() -> Outcome:
    """The caller's start deadline passed. Its error type is not established; `startup_timeout` is plausible (4.2)."""
    headers = {"X-Fal-Request-Timeout-Type": "user"}
    return infrastructure_error(504, "startup_timeout", "Request timed out", headers)


def on_the_run_host(outcome: Outcome) -> Outcome:
    """The same, and if it is fal's own and passes, fal says so there: nothing tries it again by itself (N7)."""
    if outcome.error_type not in TEMPORARY:
        return outcome
    return replace(outcome, headers={**outcome.headers, NEEDS_RETRY: "1"})


def runner_disconnected() -> Outcome:
    """The runner was lost, after all of fal's own retries."""
    return infrastructure_error(503, "runner_disconnected", "Runner disconnected")


def runner_broke() -> Outcome:
    """The emulator itself failed, say on a full disk; its own log says how."""
    return infrastructure_error(500, "runner_server_error", "Runner server error")


def cancelled_in_queue() -> Outcome:
    """Not established; 499 and `client_cancelled` are what the list of error types offers (2.4)."""
    return infrastructure_error(499, "client_cancelled", "Request cancelled by the client.")


def cancelled_while_running() -> Outcome:
    """The app's own answer when it honours a cancel, so the status names no error (2.4)."""
    return Outcome(499, {"detail": "Request cancelled by the client."})


def client_disconnected() -> Outcome:
    """A synchronous run whose caller went away (2.6)."""
    return infrastructure_error(499, "client_disconnected", "Client disconnected")
