"""What OpenLineage is told of a run beside its own facets. Only where its provider asks is its client imported."""

from __future__ import annotations

from typing import Any, Self

from airflow.providers.common.compat.openlineage.facet import RunFacet
from attrs import define

from airflow_provider_pika.fal.prices import Total, money


@define
class PikaCostRunFacet(RunFacet):
    """What fal billed for the clips that a run saved.

    :param amount: the sum of what is known, a decimal text; None: nothing is, or there are several currencies.
    :param currency: its currency, three letters.
    :param basis: "billed", or "estimated" if an estimate is among them.
    :param clips: how many there are; ``unknown``: those of which the cost is unknown.
    :param reason: why these, or the sum, are unknown, of most of them; None: nothing is.
    """

    amount: str | None
    currency: str | None
    basis: str
    clips: int
    unknown: int
    reason: str | None

    @classmethod
    def of(cls, total: Total) -> Self:
        """Make it of a sum."""
        amount = None if total.amount is None else money(total.amount)
        several = "The clips have several currencies." if len(total.amounts) > 1 else None
        reason = next(iter(total.reasons), several)
        return cls(amount, total.currency, total.basis, total.known + total.unknown, total.unknown, reason)


def cost_facets(total: Total) -> dict[str, Any]:
    """Return the facet by its name; none if there is no clip whose cost somebody wrote down."""
    return {"pika_cost": PikaCostRunFacet.of(total)} if total.known or total.unknown else {}
