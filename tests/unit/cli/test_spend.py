"""What was spent, printed: an unknown cost stands out, hints are named as hints, and CSV is safe to open."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given

from airflow_provider_pika.cli.spend import csv_of, moment, text_of
from airflow_provider_pika.fal.prices import Cost
from airflow_provider_pika.fal.spend import HISTORY, Spent
from tests.unit.fal.test_spend import anything_billed, report, spent

NOW = 1_790_000_000.0


def test_an_unknown_cost_is_counted_as_unknown_with_its_reason() -> None:
    text = text_of(report(spent(), spent(2, cost_total=None)))
    assert "0.30 USD and 1 unknown" in text
    assert "- 1 x fal's billing event has no cost that can be read." in text


@pytest.mark.parametrize(("cost", "differs"), [(0.3, False), (0.25, True)])
def test_what_fal_billed_otherwise_is_listed(cost: float, differs: bool) -> None:
    assert ("billed otherwise" in text_of(report(spent(cost_total=cost)))) is differs


def test_requests_without_a_dag_and_of_unknown_dags_are_listed_as_a_hint() -> None:
    rows = (spent(1), spent(2, tags={}), spent(3, tags={"dag": "elsewhere"}))
    text = text_of(report(*rows, known_dags={"nightly"}))
    assert text.count("this is a hint") == 2
    assert "(no Dag)" in text


def test_the_history_does_not_know_the_dags() -> None:
    row = Spent("r-1", "x/y", None, Cost(None, None, "estimated", reason="why"))
    text = text_of(report(row, source=HISTORY))
    assert "(unknown)" in text
    assert "estimated" in text


def test_nothing_spent_can_be_printed_too() -> None:
    assert "nothing" in text_of(report())
    assert len(csv_of(report()).splitlines()) == 1


@given(anything_billed)
def test_whatever_fal_says_of_a_bill_can_be_printed(fields: dict[str, Any]) -> None:
    said = report(spent(**fields), by="task", known_dags={"nightly"})
    assert text_of(said) + csv_of(said)


def test_csv_has_a_line_for_each_group_and_no_formula_of_a_stranger() -> None:
    text = csv_of(report(spent(tags={"dag": '=HYPERLINK("http://x")'}), spent(2)))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["dag"] for row in rows} == {"nightly", '\'=HYPERLINK("http://x")'}
    assert {row["amount"] for row in rows} == {"0.30"}


@pytest.mark.parametrize(
    ("text", "ago"),
    [("7d", 7 * 86400), ("12h", 43200), ("90M", 5400), ("0d", 0), (" 1d ", 86400)],
)
def test_an_age_is_counted_from_now(text: str, ago: float) -> None:
    assert moment(text, NOW) == NOW - ago


@pytest.mark.parametrize("text", ["2026-11-01", "2026-11-01T00:00", "2026-11-01t00:00Z", "2026-11-01T02:00+02:00"])
def test_a_time_is_one_in_utc_unless_it_says_otherwise(text: str) -> None:
    assert moment(text, NOW) == 1793491200.0


@pytest.mark.parametrize("text", ["", "d", "-1d", "7", "yesterday", "1.5d", "9999999999d", "2026-13-01"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (Python's own words)
        moment(text, NOW)
