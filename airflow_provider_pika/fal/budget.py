"""What a task may spend, pure: whether one more submission is allowed, in all attempts of the task.

An earlier submission counts as what it may have cost, unless fal certainly charges nothing for it. So the limit holds
under every answer of fal's, but for an estimate that was too low.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Protocol

from airflow_provider_pika.exceptions import CostLimitExceeded
from airflow_provider_pika.fal.prices import Cost, money


class Budget(Protocol):
    """The limit of what a submission may cost."""

    def cost(self) -> Decimal:
        """Return what the submission costs, as far as it can be estimated.

        :raises CostLimitExceeded: its price is unknown.
        """

    def allow(self, spent: Decimal, cost: Decimal) -> None:
        """Take the submission in, if it is within the limit.

        :param spent: what earlier submissions for the same clip may have cost.
        :param cost: what this one costs.
        :raises CostLimitExceeded: it is not.
        """


class TaskBudget:
    """The budget of a task that asks for one clip.

    :param limit: the task's ``max_cost``.
    :param estimate: returns what the clip costs; it is called where something is to be submitted.
    """

    def __init__(self, limit: Decimal, estimate: Callable[[], Cost]) -> None:
        self._limit = limit
        self._estimate = estimate

    def cost(self) -> Decimal:
        """Return what the clip costs."""
        return known(self._estimate(), self._limit)

    def allow(self, spent: Decimal, cost: Decimal) -> None:
        """Refuse what is above the limit."""
        if spent + cost > self._limit:
            before = f", and earlier requests of this task may have cost {money(spent)}" if spent else ""
            raise CostLimitExceeded(
                f"This clip would cost {money(cost)}, by an estimate{before}. max_cost={money(self._limit)} allows no "
                "more."
            )


def known(estimate: Cost, limit: Decimal) -> Decimal:
    """Return the amount of an estimate.

    :raises CostLimitExceeded: it is unknown.
    """
    if estimate.amount is None:
        raise CostLimitExceeded(
            f"max_cost={money(limit)} allows nothing whose cost cannot be estimated. {estimate.reason or ''}".strip()
        )
    return estimate.amount
