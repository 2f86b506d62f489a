"""The failures that fal answers with, as outcomes: model errors (4.1) and infrastructure errors (4.2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from airflow_provider_pika.emulator.engine.records import Outcome

#: Where fal's docs explain an error; its type follows.
DOCS = "https://docs.fal.ai/errors/#"

#: What a request is charged for, times the unit's price. Only the result has it (fal-protocol.md N11).
BILLABLE_UNITS = "X-Fal-Billable-Units"

#: The header by which a runner asks fal's queue to run the request again.
NEEDS_RETRY = "X-Fal-Needs-Retry"

#: The headers of an input that the endpoint refuses: not run again, and not charged.
REFUSED_INPUT = {"X-Fal-Retryable": "false", NEEDS_RETRY: "0", BILLABLE_UNITS: "0"}

#: The types of errors here after which a caller may try again (4.2). The caller's own start deadline is not one.
TEMPORARY = frozenset({"internal_error", "runner_disconnected", "runner_server_error"})


def detail(loc: list[str | int], message: str, kind: str, **extra: Any) -> dict[str, Any]:
    """Return one entry of a model error's ``detail``. That pydantic's types have a ``url`` too is not established."""
    return {"loc": loc, "msg": message, "type": kind, "url": DOCS + kind, **extra}


def model_error(status: int, entry: dict[str, Any], *, retryable: bool = False) -> Outcome:
    """Return an error of the model, with both spellings of the retry header (0.1)."""
    headers = {"X-Fal-Retryable": str(retryable).lower(), NEEDS_RETRY: str(int(retryable))}
    return Outcome(status, {"detail": [entry]}, headers)


def infrastructure_error(status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> Outcome:
    """Return an error of fal itself, which the status names as well as the result."""
    body = {"detail": message, "error_type": kind}
    return Outcome(status, body, {"X-Fal-Error-Type": kind, **(headers or {})}, message, kind)


def invalid_input(error: ValidationError) -> Outcome:
    """Return pydantic's errors with their types, as fal passes them through. Nothing is billed (4.1)."""
    entries = []
    for item in error.errors(include_url=False):
        context = {"ctx": {key: str(value) for key, value in item["ctx"].items()}} if "ctx" in item else {}
        entries.append(detail(["body", *item["loc"]], item["msg"], item["type"], **context, input=item["input"]))
    return Outcome(422, {"detail": entries}, REFUSED_INPUT)


def invalid_json() -> Outcome:
    """Return the error of a body that is no JSON object.

    fal's answer is not established. This is the answer of FastAPI, which fal's apps use.
    """
    entry = detail(["body"], "JSON decode error", "json_invalid", input={})
    return Outcome(422, {"detail": [entry]}, REFUSED_INPUT)


def unknown_path(path: str) -> Outcome:
    """Return the error of a path that the app does not have. fal notices when the request runs (2.4)."""
    return Outcome(404, {"detail": f"Path /{path} not found"}, {BILLABLE_UNITS: "0"})


def content_policy_violation(prompt: str, units: str | None = None) -> Outcome:
    """Return the error of a refused prompt. With ``units`` it is charged for, as a 422 may be (N11)."""
    message = "The content could not be processed because it contained material flagged by a content checker."
    outcome = model_error(422, detail(["body", "prompt"], message, "content_policy_violation", input=prompt))
    if units is not None:
        outcome.headers[BILLABLE_UNITS] = units
    return outcome


def generation_error(*, retryable: bool) -> Outcome:
    """Return the error of a model that broke down."""
    return model_error(
        500, detail(["body"], "An internal error occurred.", "internal_server_error"), retryable=retryable
    )


def downstream_error(*, retryable: bool) -> Outcome:
    """Return the error of Pika, behind fal. fal's pages say 400 or 500 (0.1); here it is 400."""
    entry = detail(["body"], "The downstream service returned an error.", "downstream_service_error")
    return model_error(400, entry, retryable=retryable)


def start_timeout() -> Outcome:
    """Return the error of a passed start deadline. Its type is not established; this one is plausible (4.2)."""
    headers = {"X-Fal-Request-Timeout-Type": "user"}
    return infrastructure_error(504, "startup_timeout", "Request timed out", headers)


def on_the_run_host(outcome: Outcome) -> Outcome:
    """Return the outcome as the run host has it.

    There nothing is tried again by itself. So fal says of its own errors that pass that they do (N7).
    """
    if outcome.error_type not in TEMPORARY:
        return outcome
    return replace(outcome, headers={**outcome.headers, NEEDS_RETRY: "1"})


def runner_disconnected() -> Outcome:
    """Return the error of a lost runner, after all of fal's own retries."""
    return infrastructure_error(503, "runner_disconnected", "Runner disconnected")


def runner_broke() -> Outcome:
    """Return the error of an emulator that failed itself, say on a full disk. Its own log has the reason."""
    return infrastructure_error(500, "runner_server_error", "Runner server error")


def cancelled_in_queue() -> Outcome:
    """Return the outcome of a cancel in the queue.

    It is not established. The list of error types has 499 and `client_cancelled` (2.4).
    """
    return infrastructure_error(499, "client_cancelled", "Request cancelled by the client.")


def cancelled_while_running() -> Outcome:
    """Return the app's own answer to a cancel. The status names no error (2.4)."""
    return Outcome(499, {"detail": "Request cancelled by the client."})


def client_disconnected() -> Outcome:
    """Return the outcome of a synchronous run whose caller went away (2.6)."""
    return infrastructure_error(499, "client_disconnected", "Client disconnected")
