"""What is printed cannot run in a spreadsheet, forge a line, or break a parser."""

from __future__ import annotations

import csv
import io
import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_pika.cli.errors import Stopped, UsageError, code_of, said
from airflow_provider_pika.cli.output import Bar, csv_text, harmless, json_text, table
from airflow_provider_pika.exceptions import InvalidInput, MissingKey, Unreachable


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_no_cell_of_csv_begins_as_a_formula_does(cells: list[str]) -> None:
    [_, row] = csv.reader(io.StringIO(csv_text([str(n) for n in range(len(cells))], [cells])))
    assert not [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_a_formula_becomes_text(text: str) -> None:
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize("text", ["0.30", "nightly", "a=b", ""])
def test_anything_else_stays(text: str) -> None:
    assert harmless(text) == text


@given(st.recursive(st.none() | st.floats() | st.integers() | st.text(), lambda each: st.lists(each, max_size=3)))
def test_json_is_strict(value: Any) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    json.loads(json_text({"value": value}), parse_constant=refuse)


@given(st.lists(st.tuples(st.text(), st.integers() | st.none()), max_size=5))
def test_a_table_has_a_line_for_each_row_whatever_it_holds(rows: list[tuple[str, int | None]]) -> None:
    assert len(table(("name", "number"), rows).splitlines()) == 1 + len(rows)
    assert "\x1b" not in table(("name", "number"), rows)


def test_a_bar_is_drawn_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    bar = Bar()
    bar.tell("In progress")
    bar.show(3.0)
    bar.clear()
    assert capsys.readouterr().err == "In progress\n"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    bar = Bar()
    bar.tell("In progress")
    bar.show(3.0)
    assert "] 3 s  In progress" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UsageError("Say more."), 2, "Say more."),
        (InvalidInput("seed='x' is not allowed."), 2, "Nothing was sent to fal."),
        (Unreachable("The queue cannot be reached.", request_id="r-1"), 1, "Request ID: r-1."),
        (MissingKey("There is no fal key."), 1, "set FAL_KEY"),
        (OSError(2, "No such file", "fox.mp4"), 1, "fox.mp4: No such file"),
        (RuntimeError("password=secret"), 1, "RuntimeError"),
        (Stopped("Interrupted. It goes on."), 130, "It goes on."),
        (KeyboardInterrupt(), 130, "Interrupted."),
    ],
)
def test_an_error_is_a_line_and_an_exit_code(error: BaseException, code: int, words: str) -> None:
    assert code_of(error) == code
    assert words in said(error)
    assert "\n" not in said(error)
    assert "secret" not in said(error)
