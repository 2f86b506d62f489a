"""What a batch has spent, and may spend, pure: a submission is allowed if all that may be billed stays within a limit.

What fal has billed for a clip counts in place of its estimate, and corrects the estimates of the others: by the worst
ratio that was seen. What is in flight, failed after it ran, or has an unknown outcome counts in full.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from airflow_provider_pika.batch.item import Item
from airflow_provider_pika.exceptions import CostLimitExceeded, GenerationFailed
from airflow_provider_pika.fal.models import Video
from airflow_provider_pika.fal.prices import Cost, Prices, billed, money, reused


def cost_of(item: Item, prices: Prices) -> Cost:
    """Return what fal billed for the clip of an item that is done: nothing, where an earlier request paid for it."""
    video = item.outcome
    assert isinstance(video, Video)
    if item.record and item.record.reused:
        return reused(video.endpoint, prices)
    return billed(video.endpoint, video.billable_units, prices)


class Spending:
    """The budget of a batch, for one round of submissions.

    :param limit: the batch's ``max_cost``.
    :param estimates: what the clip of each input costs.
    :param items: all that are on record, of inputs that the list has no more, too.
    :param prices: by which clips are billed.
    """

    def __init__(self, limit: Decimal, estimates: Sequence[Decimal], items: Iterable[Item], prices: Prices) -> None:
        self._limit, self._estimates = limit, estimates
        #: What a submission counts as that was made without a limit, so that nobody noted its cost.
        self._unnoted = max(estimates, default=Decimal(0))
        on_record = [item for item in items if item.record]
        ratios = [ratio for item in on_record if (ratio := _ratio(item, prices)) is not None]
        self._factor = max(ratios, default=Decimal(1))
        #: What may be billed of all that was submitted.
        self.committed = sum((self._of(item, prices) for item in on_record), Decimal(0))

    def of(self, index: int) -> ItemBudget:
        """Return the budget of the input at a place."""
        return ItemBudget(self, self._estimates[index])

    def take(self, cost: Decimal) -> None:
        """Count one more submission.

        :raises CostLimitExceeded: it could be billed above the limit.
        """
        corrected = cost * self._factor
        if self.committed + corrected > self._limit:
            raise CostLimitExceeded(
                f"What is billed and in flight may cost {money(self.committed)}, and the next clip {money(corrected)}. "
                f"max_cost={money(self._limit)} allows no more.",
                consequence="Nothing more was submitted. What is in flight goes on.",
            )
        self.committed += corrected

    def _of(self, item: Item, prices: Prices) -> Decimal:
        """Return what may be billed for an item, with all submissions that it took."""
        record = item.record
        assert record
        before, cost = Decimal(record.spent), Decimal(record.cost or self._unnoted)
        if record.cost is None:
            before += self._unnoted * len(record.replaced)
        failed = item.outcome if isinstance(item.outcome, GenerationFailed) else None
        if record.reused or record.state == "refused" or (failed and failed.charged == "no"):
            return before
        if failed or isinstance(item.outcome, Video):
            amount = billed(record.endpoint, getattr(item.outcome, "billable_units", None), prices).amount
            return before + (cost if amount is None else amount)
        return before + cost * self._factor


class ItemBudget:
    """The budget of one of a batch's clips: what it costs, and what the whole batch may."""

    def __init__(self, spending: Spending, estimate: Decimal) -> None:
        self._spending = spending
        self._estimate = estimate

    def cost(self) -> Decimal:
        """Return what the clip costs."""
        return self._estimate

    def allow(self, spent: Decimal, cost: Decimal) -> None:
        """Take the submission in; what the clip's earlier ones may have cost is counted already."""
        self._spending.take(cost)


def _ratio(item: Item, prices: Prices) -> Decimal | None:
    """Return how much more was billed than estimated; None where one of the two is not known."""
    if not isinstance(item.outcome, Video) or not item.record or not item.record.cost or item.record.reused:
        return None
    amount = billed(item.outcome.endpoint, item.outcome.billable_units, prices).amount
    return None if amount is None else amount / Decimal(item.record.cost)
