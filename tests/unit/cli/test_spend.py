"""What was spent: exact sums, an unknown cost that is never 0, and rows that people should look at."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_pika.cli.spend import BOOKS, HISTORY, Report, Spent, moment, of_event, of_past
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.models import BillingEvent, PastRequest
from airflow_provider_pika.fal.prices import CONNECTION, Price, Prices
from airflow_provider_pika.fal.rate_card import RATE_CARD

OURS = Prices({TEXT_TO_VIDEO: Price("seconds", Decimal("0.06"), "USD", CONNECTION)})
NOW = 1_790_000_000.0


def event(number: int = 1, **fields: Any) -> BillingEvent:
    known = {
        "request_id": f"r-{number}",
        "endpoint_id": TEXT_TO_VIDEO,
        "timestamp": "2026-11-27T01:00:00+00:00",
        "output_units": 5,
        "cost_total": 0.3,
        "tags": {"dag": "nightly", "task": "generate"},
    }
    return BillingEvent.model_validate({**known, **fields})


def report(*rows: Spent, by: str = "dag", source: str = BOOKS, **more: Any) -> Report:
    return Report(rows, source, by, "2026-11-26T00:00:00Z", "2026-11-27T00:00:00Z", **more)


def spent(number: int = 1, **fields: Any) -> Spent:
    return of_event(event(number, **fields), OURS)


@given(st.lists(st.decimals(0, 1000, places=4), min_size=1, max_size=30))
def test_a_sum_is_exact(amounts: list[Decimal]) -> None:
    rows = [spent(number, cost_total=str(amount)) for number, amount in enumerate(amounts)]
    said = report(*rows).as_json()
    assert Decimal(said["total"]["amount"]) == sum(amounts)
    assert sum(Decimal(group["amount"]) for group in said["groups"]) == sum(amounts)
    assert json.loads(json.dumps(said, allow_nan=False)) == said


@pytest.mark.parametrize("cost", [None, "NaN", -1, True, "0.30 USD", [], 1e300])
def test_a_cost_that_cannot_be_read_is_unknown_and_never_0(cost: Any) -> None:
    said = report(spent(), spent(2, cost_total=cost)).as_json()["total"]
    assert (said["amount"], said["known"], said["unknown"]) == ("0.30", 1, 1)
    assert report(spent(2, cost_total=cost)).as_json()["total"]["amount"] is None
    assert "1 unknown" in report(spent(2, cost_total=cost)).as_text()


@pytest.mark.parametrize(
    ("fields", "differs"),
    [
        ({}, False),
        ({"cost_total": 0.30000000000000004}, False),
        ({"cost_total": 0.25}, True),
        ({"cost_total": 0}, True),
        ({"output_units": None}, False),
        ({"endpoint_id": "another/model"}, False),
        ({"currency": "EUR", "cost_total": 0.25}, False),
    ],
)
def test_a_row_is_marked_if_fal_billed_otherwise_than_our_price_times_its_units(
    fields: dict[str, Any], differs: bool
) -> None:
    said = report(spent(**fields)).as_json()
    assert [row["request_id"] for row in said["differing"]["named"]] == (["r-1"] if differs else [])
    assert said["groups"][0]["differing"] == int(differs)
    assert ("billed otherwise" in report(spent(**fields)).as_text()) is differs


@pytest.mark.parametrize(
    ("by", "keys"),
    [
        ("day", [None, "2026-11-26", "2026-11-27"]),
        ("dag", ["nightly", "weekly", None]),
        ("task", ["nightly.generate", "weekly.generate", None]),
        ("endpoint", [TEXT_TO_VIDEO]),
    ],
)
def test_rows_are_grouped_and_the_dearest_group_is_the_first(by: str, keys: list[str | None]) -> None:
    rows = (
        spent(1, cost_total=2),
        spent(2, tags={"dag": "weekly", "task": "generate"}, timestamp="2026-11-26T23:30:00-00:00", cost_total=1),
        spent(3, tags={}, timestamp="yesterday"),
    )
    assert [key for key, _ in report(*rows, by=by).groups()] == keys


def test_a_day_is_one_in_utc() -> None:
    assert spent(timestamp="2026-11-27T01:00:00+05:00").at == "2026-11-26T20:00:00Z"


def test_requests_without_a_dag_and_of_unknown_dags_are_listed_as_a_hint() -> None:
    rows = (spent(1), spent(2, tags={"team": "x"}), spent(3, tags={"dag": "elsewhere"}), spent(4, tags=None))
    said = report(*rows, known_dags={"nightly"})
    listed = said.as_json()
    assert [row["request_id"] for row in listed["without_dag"]["named"]] == ["r-2", "r-4"]
    assert [row["request_id"] for row in listed["of_unknown_dags"]["named"]] == ["r-3"]
    assert listed["of_unknown_dags"]["amount"] == "0.30"
    assert said.as_text().count("this is a hint") == 2
    assert report(*rows).as_json()["of_unknown_dags"] is None


def test_a_dag_is_known_by_its_tag_in_which_fal_takes_no_comma() -> None:
    assert report(spent(tags={"dag": "a_b"}), known_dags={"a,b"}).of_strangers == []


def past(status: int | None, **fields: Any) -> Spent | None:
    row = PastRequest(request_id="r-1", ended_at="2026-11-27T01:00:00Z", status_code=status, **fields)
    return of_past(row, TEXT_TO_VIDEO, OURS)


def test_the_history_estimates_clips_by_their_input() -> None:
    row = past(200, json_input={"duration": 10})
    assert row is not None
    assert (str(row.cost), row.cost.basis, row.tags) == ("0.60 USD", "estimated", None)
    said = report(row, source=HISTORY).as_json()
    assert (said["groups"][0]["dag"], said["total"]["basis"]) == (None, "estimated")
    assert "(unknown)" in report(row, source=HISTORY).as_text()


def test_the_history_does_not_know_what_a_refused_input_cost() -> None:
    row = past(422)
    assert row is not None
    assert row.cost.amount is None
    assert "422" in str(row.cost.reason)


@given(
    st.dictionaries(
        st.sampled_from(["duration", "resolution", "prompt", "image_urls", "transitions"]),
        st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=4),
    ),
    st.sampled_from(sorted(RATE_CARD)),
)
def test_whatever_a_stranger_has_sent_is_a_row_of_the_history(sent: dict[str, Any], endpoint: str) -> None:
    row = of_past(PastRequest(request_id="r-1", status_code=200, json_input=sent), endpoint, OURS)
    assert row is not None
    json.dumps(report(row, source=HISTORY).as_json(), allow_nan=False)


@given(
    st.dictionaries(
        st.sampled_from(["timestamp", "output_units", "unit_price", "cost_total", "currency", "tags"]),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            lambda each: st.lists(each) | st.dictionaries(st.text(), each),
            max_leaves=4,
        ),
    ),
)
def test_whatever_fal_says_of_a_bill_is_a_row_that_can_be_printed(fields: dict[str, Any]) -> None:
    said = report(spent(**fields), by="task", known_dags={"nightly"})
    json.dumps(said.as_json(), allow_nan=False)
    assert said.as_text() + said.as_csv()
    assert (said.as_json()["total"]["amount"] is None) == (said.rows[0].cost.amount is None)


@pytest.mark.parametrize("status", [None, 499, 500, 504, 400])
def test_the_history_counts_nothing_that_fal_does_not_charge(status: int | None) -> None:
    assert past(status) is None


def test_csv_has_a_line_for_each_group_and_no_formula_of_a_stranger() -> None:
    text = report(spent(tags={"dag": '=HYPERLINK("http://x")'}), spent(2)).as_csv()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["dag"] for row in rows} == {"nightly", '\'=HYPERLINK("http://x")'}
    assert {row["amount"] for row in rows} == {"0.30"}


def test_nothing_spent_is_a_report_too() -> None:
    assert "nothing" in report().as_text()
    assert report().as_json()["total"]["amount"] is None


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
