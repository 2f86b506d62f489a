"""The limit of what a task may spend: in all attempts, and under every answer of fal's."""

from __future__ import annotations

from decimal import Decimal

import pytest

from airflow_provider_pika.exceptions import CostLimitExceeded
from airflow_provider_pika.fal.budget import TaskBudget
from airflow_provider_pika.fal.prices import Cost

CLIP = Cost(Decimal("0.30"), "USD", "estimated")


@pytest.mark.parametrize(
    ("limit", "spent", "allowed"),
    [("0.30", "0", True), ("0.29", "0", False), ("0.60", "0.30", True), ("0.59", "0.30", False), ("1", "0.70", True)],
)
def test_a_submission_is_allowed_if_it_and_those_before_it_are_within_the_limit(
    limit: str, spent: str, allowed: bool
) -> None:
    budget = TaskBudget(Decimal(limit), lambda: CLIP)
    if allowed:
        budget.allow(Decimal(spent), budget.cost())
    else:
        with pytest.raises(CostLimitExceeded, match=rf"would cost 0\.30.*max_cost={limit}"):
            budget.allow(Decimal(spent), budget.cost())


def test_what_has_no_price_is_not_allowed_and_the_error_says_how_to_tell_it() -> None:
    budget = TaskBudget(Decimal(1), lambda: Cost(None, None, "estimated", reason="The price is unknown: add this."))
    with pytest.raises(CostLimitExceeded, match=r"max_cost=1\.00 allows nothing whose cost.*The price is unknown"):
        budget.cost()


def test_an_error_says_that_nothing_was_submitted_and_that_no_retry_helps() -> None:
    error = CostLimitExceeded("Too much.")
    assert "Nothing was submitted." in str(error)
    assert not error.retry_helps
