"""What the commands print: tables, CSV and JSON on stdout, and lines on stderr with a bar where a person watches."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from airflow_provider_pika.strict_json import clean_json, one_line

#: What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

#: Characters of a cell in a table, and of a line on stderr.
_LONGEST_CELL, _LONGEST_LINE = 120, 4000

#: Places of the bar.
_WIDTH = 20

#: Back to the line's beginning, and the line away.
_WIPE = "\r\x1b[K"


def harmless(value: Any) -> str:
    """Return a cell of a CSV file that no spreadsheet runs as a formula; what came from outside may be one."""
    text = "" if value is None else one_line(str(value), _LONGEST_LINE)
    return f"'{text}" if text.startswith(_FORMULA) else text


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([harmless(cell) for cell in row] for row in rows)
    return text.getvalue()


def json_text(value: Any) -> str:
    """Return a value as strict JSON, indented for people."""
    return json.dumps(clean_json(value), indent=2, allow_nan=False) + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return rows in columns, as wide as they must be."""
    cells = [[_cell(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    return "" if value is None else one_line(str(value), _LONGEST_CELL)


def say(text: str) -> None:
    """Print on stdout, which has results only."""
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
    sys.stdout.flush()


def tell(text: str) -> None:
    """Print a line on stderr."""
    sys.stderr.write(f"{one_line(text, _LONGEST_LINE)}\n")
    sys.stderr.flush()


class Bar:
    """Shows on a terminal that a wait goes on. Elsewhere it prints the lines that are told, and nothing more."""

    def __init__(self) -> None:
        self.is_shown = sys.stderr.isatty()
        self._told = ""

    def tell(self, line: str) -> None:
        """Print a line, and keep it beside the bar."""
        self.clear()
        tell(line)
        self._told = line

    def show(self, seconds: float) -> None:
        """Draw it.

        :param seconds: how long the wait has taken.
        """
        if self.is_shown:
            place = int(2 * seconds) % _WIDTH
            bar = " " * place + "=" + " " * (_WIDTH - place - 1)
            sys.stderr.write(f"{_WIPE}[{bar}] {seconds:.0f} s  {one_line(self._told, 60)}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Take it away."""
        if self.is_shown:
            sys.stderr.write(_WIPE)
            sys.stderr.flush()
