"""What OpenLineage is told of money: exact, or with the reason why not."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from openlineage.client.serde import Serde

from airflow_provider_pika.fal.prices import Cost, total
from airflow_provider_pika.saving.facets import PikaCostRunFacet, cost_facets


def cost(amount: str | None, currency: str = "USD", reason: str | None = None) -> Cost:
    return Cost(None if amount is None else Decimal(amount), amount and currency, "billed", reason=reason)


@pytest.mark.parametrize(
    ("costs", "said"),
    [
        ([cost("0.30")], {"amount": "0.30", "currency": "USD", "basis": "billed", "clips": 1, "unknown": 0}),
        ([cost("0")], {"amount": "0.00", "currency": "USD", "basis": "billed", "clips": 1, "unknown": 0}),
        ([cost("0.1"), cost("0.2")], {"amount": "0.30", "clips": 2, "unknown": 0}),
        ([cost("0.30"), cost(None, reason="No price.")], {"amount": "0.30", "clips": 2, "unknown": 1}),
        ([cost("0.30"), cost("1", "EUR")], {"clips": 2, "unknown": 0, "reason": "The clips have several currencies."}),
        ([cost(None, reason="No price.")], {"clips": 1, "unknown": 1, "reason": "No price."}),
    ],
)
def test_the_facet_has_the_exact_sum_of_what_is_known(costs: list[Cost], said: dict[str, Any]) -> None:
    facet: dict[str, Any] = json.loads(Serde.to_json(cost_facets(total(costs))["pika_cost"]))
    assert {name: facet[name] for name in said} == said
    assert ("amount" in said) == ("amount" in facet)
    assert facet["_producer"]
    assert facet["_schemaURL"].endswith("RunFacet")


def test_without_a_clip_there_is_no_facet() -> None:
    assert cost_facets(total([])) == {}


def test_a_facet_is_a_run_facet_that_the_client_redacts_by_its_own_fields() -> None:
    facet = PikaCostRunFacet.of(total([cost("0.30")]))
    assert facet.skip_redact == ["_producer", "_schemaURL"]
