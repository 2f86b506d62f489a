"""The commands that ask fal: each takes the parsed arguments, prints, and returns the exit code."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from airflow_provider_pika.cli.clips import generate, result
from airflow_provider_pika.cli.errors import UsageError
from airflow_provider_pika.cli.inputs import QuietHook, inputs_of
from airflow_provider_pika.cli.output import csv_text, json_text, say, table, tell
from airflow_provider_pika.cli.spend import csv_of, moment, text_of
from airflow_provider_pika.fal import books
from airflow_provider_pika.fal.ids import app_of, check_request_id
from airflow_provider_pika.fal.models import PastRequest
from airflow_provider_pika.fal.spend import is_span
from airflow_provider_pika.hooks.spend import endpoints_of, report_of

#: Lines of fal's log that are shown, and requests in a table.
_MOST_LINES, _MOST_REQUESTS = 20, 100

#: Bytes of a file with Dags.
_MOST_BYTES = 8 << 20


def spend(args: Namespace) -> int:
    """Show what was spent."""
    _one_form(args)
    since, until = _span(args)
    endpoints = endpoints_of(args.endpoint or ())
    known = None if args.known_dags is None else _known_dags(args.known_dags)
    report = report_of(QuietHook(args.conn_id), since, until, args.by, endpoints, known)
    for note in report.notes:
        tell(f"Note: {note}")
    _print(args, report.as_json, lambda: csv_of(report), lambda: text_of(report))
    return 0


def requests(args: Namespace) -> int:
    """List the requests that run or have ended lately."""
    _one_form(args)
    since, until = _span(args)
    app_of(args.endpoint)
    with QuietHook(args.conn_id).get_conn() as queue:
        platform_url = queue.account.platform_url
        rows = queue.hold(books.past(platform_url, args.endpoint, since, until, lambda row: row))
    rows.sort(key=lambda row: row.sent_at or "", reverse=True)
    header = ("request_id", "state", "status_code", "sent_at", "started_at", "ended_at")
    cells = [tuple(_past(row)[name] for name in header) for row in rows]

    def text() -> str:
        more = f"... and {len(cells) - _MOST_REQUESTS} more: see --json\n" if len(cells) > _MOST_REQUESTS else ""
        return table(header, cells[:_MOST_REQUESTS]) + more

    _print(args, lambda: [_past(row) for row in rows], lambda: csv_text(header, cells), text)
    return 0


def status(args: Namespace) -> int:
    """Show where a request stands."""
    check_request_id(args.request_id)
    seen = QuietHook(args.conn_id).status(args.endpoint, args.request_id, logs=True)

    def text() -> str:
        place = "" if seen.queue_position is None else f", position {seen.queue_position}"
        lines = [f"fal: {line.message}" for line in seen.logs[-_MOST_LINES:]]
        ended = ["It has ended. The command result says how."] if seen.status == "COMPLETED" else []
        failed = [f"Error: {seen.error}"] if seen.error else []
        return "".join(map(_line, [f"{seen.status}{place}", *lines, *failed, *ended]))

    _print(args, lambda: {"request_id": args.request_id, **seen.model_dump()}, None, text)
    return 0


def cancel(args: Namespace) -> int:
    """Cancel a request."""
    check_request_id(args.request_id)
    taken = QuietHook(args.conn_id).cancel(args.endpoint, args.request_id)
    message = (
        "fal accepted the cancellation. A request that runs may still complete, and may be charged."
        if taken
        else "It had completed before, so there is nothing to cancel."
    )
    _print(args, lambda: {"request_id": args.request_id, "cancelled": taken}, None, lambda: message)
    return 0 if taken else 1


def estimate(args: Namespace) -> int:
    """Show what clips will cost."""
    told = QuietHook(args.conn_id).estimate(inputs_of(args), endpoint=args.endpoint)

    def text() -> str:
        sums = [f"{amount} {currency}" for currency, amount in told["amounts"].items()]
        sums += [f"{told['unknown']} unknown"] if told["unknown"] else []
        lines = [f"{told['clips']} clip(s): {' and '.join(sums)} (estimated)"]
        for each in told["sources"]:
            day = f" of {each['priced_at']}" if each["priced_at"] else ""
            lines.append(f"- {each['clips']} by the price of: {each['source']}{day}")
        return "".join(map(_line, [*lines, *(f"- {each['clips']} x {each['reason']}" for each in told["reasons"])]))

    _print(args, lambda: told, None, text)
    return 0


#: The commands that ask fal.
BY_NAME: dict[str, Callable[[Namespace], int]] = {
    "spend": spend,
    "requests": requests,
    "status": status,
    "result": result,
    "cancel": cancel,
    "estimate": estimate,
    "generate": generate,
}


def _span(args: Namespace) -> tuple[float, float]:
    now = time.time()
    times = {"--since": args.since, "--until": args.until}
    read = {}
    for option, text in times.items():
        try:
            read[option] = now if text is None else moment(text, now)
        except (ValueError, OverflowError):
            raise UsageError(f"{option} {text!r} is not a time: use 2026-11-01, 2026-11-01T20:00, 12h or 7d.") from None
    since, until = read["--since"], min(read["--until"], now)
    if not is_span(since, until):
        raise UsageError("--since must be before --until and before now, and 366 days before it at most.")
    return since, until


def _known_dags(text: str) -> Collection[str]:
    path = Path(text)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):  # a long list is no name of a file
        is_file = False
    if is_file:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(_MOST_BYTES)
    return {dag for line in text.splitlines() for each in line.split(",") if (dag := each.strip())}


def _past(row: PastRequest) -> dict[str, Any]:
    state = "ended" if row.status_code is not None else "running"
    if row.status_code is not None and not 200 <= row.status_code < 300:
        state = "failed"
    return {
        **row.model_dump(include={"request_id", "sent_at", "started_at", "ended_at", "status_code"}),
        "state": state,
    }


def _one_form(args: Namespace) -> None:
    if args.json and args.csv:
        raise UsageError("Use --json or --csv, not both.")


def _print(
    args: Namespace, as_json: Callable[[], Any], as_csv: Callable[[], str] | None, as_text: Callable[[], str]
) -> None:
    if args.json:
        say(json_text(as_json()))
    elif as_csv is not None and args.csv:
        say(as_csv())
    else:
        say(as_text())


def _line(text: str) -> str:
    from airflow_provider_pika.strict_json import one_line

    return one_line(text, 2000) + "\n"
