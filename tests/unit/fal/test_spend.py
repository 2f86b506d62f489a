"""What was spent: exact sums, an unknown cost that is never 0, and rows that people should look at."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_pika.fal import SPENT_BY, TEXT_TO_VIDEO
from airflow_provider_pika.fal.models import BillingEvent, PastRequest
from airflow_provider_pika.fal.prices import CONNECTION, Price, Prices
from airflow_provider_pika.fal.rate_card import RATE_CARD
from airflow_provider_pika.fal.spend import BOOKS, HISTORY, Report, Spent, of_event, of_past

OURS = Prices({TEXT_TO_VIDEO: Price("seconds", Decimal("0.06"), "USD", CONNECTION)})


#: Whatever fal might say of a bill.
anything_billed = st.dictionaries(
    st.sampled_from(["timestamp", "output_units", "unit_price", "cost_total", "currency", "tags"]),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda each: st.lists(each) | st.dictionaries(st.text(), each),
        max_leaves=4,
    ),
)


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


@pytest.mark.parametrize("by", SPENT_BY)
def test_all_that_can_be_asked_for_can_be_grouped_by(by: str) -> None:
    [group] = report(spent(), by=by).as_json()["groups"]
    assert by in group


def test_a_day_is_one_in_utc() -> None:
    assert spent(timestamp="2026-11-27T01:00:00+05:00").at == "2026-11-26T20:00:00Z"


def test_requests_without_a_dag_and_of_unknown_dags_are_listed_as_a_hint() -> None:
    rows = (spent(1), spent(2, tags={"team": "x"}), spent(3, tags={"dag": "elsewhere"}), spent(4, tags=None))
    said = report(*rows, known_dags={"nightly"})
    listed = said.as_json()
    assert [row["request_id"] for row in listed["without_dag"]["named"]] == ["r-2", "r-4"]
    assert [row["request_id"] for row in listed["of_unknown_dags"]["named"]] == ["r-3"]
    assert listed["of_unknown_dags"]["amount"] == "0.30"
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


@given(anything_billed)
def test_whatever_fal_says_of_a_bill_is_a_row_of_the_report(fields: dict[str, Any]) -> None:
    said = report(spent(**fields), by="task", known_dags={"nightly"})
    json.dumps(said.as_json(), allow_nan=False)
    assert (said.as_json()["total"]["amount"] is None) == (said.rows[0].cost.amount is None)


@pytest.mark.parametrize("status", [None, 499, 500, 504, 400])
def test_the_history_counts_nothing_that_fal_does_not_charge(status: int | None) -> None:
    assert past(status) is None


def test_nothing_spent_is_a_report_too() -> None:
    assert (report().as_json()["total"]["amount"], report().as_json()["groups"]) == (None, [])
