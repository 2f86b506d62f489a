"""What was spent, as the command takes and prints it: moments, a table for people, and CSV."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from airflow_provider_pika.cli.output import csv_text, table
from airflow_provider_pika.fal.spend import BOOKS, Report, Spent, sums, total_of

#: Requests that a table has.
_MOST_SHOWN = 20

#: What stands for a missing key, by what is grouped.
_NONE = {"day": "(no time)", "dag": "(no Dag)", "task": "(no task)", "endpoint": "(none)"}

#: The columns of the CSV, after the group.
_COLUMNS = ("requests", "amount", "currency", "basis", "known", "unknown", "differing")


def csv_of(report: Report) -> str:
    """Return a report's groups as CSV."""
    groups = [(key, sums(rows)) for key, rows in report.groups()]
    return csv_text((report.by, *_COLUMNS), [(key, *(said[name] for name in _COLUMNS)) for key, said in groups])


def text_of(report: Report) -> str:
    """Return a report for people."""
    billed = "billed" if report.source == BOOKS else "estimated"
    none = _NONE[report.by] if report.source == BOOKS else "(unknown)"
    groups = [(key or none, rows) for key, rows in report.groups()]
    lines = [(key, len(rows), total_of(rows), _differing(rows)) for key, rows in [*groups, ("total", report.rows)]]
    parts = [
        f"{report.since} to {report.until}, from {report.source}\n",
        table((report.by, "requests", billed, "differing"), lines),
        *_hints(report),
    ]
    return "\n".join(parts)


def moment(text: str, now: float) -> float:
    """Return the unix seconds that an argument means: a date or time in UTC, or an age such as 7d.

    :raises ValueError: it means none.
    """
    text = text.strip().lower()
    unit = {"m": 60.0, "h": 3600.0, "d": 86400.0}.get(text[-1:])
    if unit and text[:-1].isdecimal() and len(text) < 10:
        return now - int(text[:-1]) * unit
    at = datetime.fromisoformat(text.upper())
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _hints(report: Report) -> Iterable[str]:
    if rows := report.differing:
        yield f"Requests that fal billed otherwise than our price times its units: {len(rows)}.\n\n" + table(
            ("request", "billed", "our price"),
            [(row.request_id, row.cost, row.ours) for row in rows[:_MOST_SHOWN]],
        )
    hints = ((report.without_dag, "name no Dag"), (report.of_strangers, "name a Dag that is not in your list"))
    for rows, what in hints:
        if rows:
            told = f"Requests whose tags {what}: {len(rows)} ({total_of(rows)}). Keys are shared, so this is a hint."
            yield f"{told}\n\n" + table(
                ("request", "dag", "cost", "at"),
                [(row.request_id, row.dag, row.cost, row.at) for row in rows[:_MOST_SHOWN]],
            )
    if reasons := total_of(report.rows).reasons:
        yield "Unknown costs:\n\n" + "".join(f"- {count} x {reason}\n" for reason, count in reasons.items())


def _differing(rows: Iterable[Spent]) -> int | None:
    return sum(row.differs for row in rows) or None
