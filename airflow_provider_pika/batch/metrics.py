"""What monitoring is told of a batch: each clip when its ending is taken in, and at an attempt's end what they cost.

The cost comes at the end, since only then fal is asked for its prices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from airflow_provider_pika.batch.spending import cost_of
from airflow_provider_pika.fal.models import Video
from airflow_provider_pika.fal.prices import Cost
from airflow_provider_pika.task import metrics

if TYPE_CHECKING:
    from airflow_provider_pika.batch.item import Item
    from airflow_provider_pika.batch.state import BatchState
    from airflow_provider_pika.fal.prices import Prices


def send_endings(items: Iterable[Item]) -> None:
    """Count items that have their ending since. Call it once they are kept so: they are not taken in again then."""
    if metrics.are_on():
        for item in items:
            if item.record and item.outcome is not None:
                metrics.send(metrics.of_ending(item.record.endpoint, item.outcome))


def send_costs(items: Iterable[Item], state: BatchState, attempt: int, prices: Callable[[], Prices]) -> None:
    """Count what the clips cost that ended since an attempt last did so: one that broke off did not."""
    if not metrics.are_on():
        return
    last, costs = state.counted(), dict[str, list[Cost]]()
    for item in items:
        if isinstance(item.outcome, Video) and item.attempt > last:
            costs.setdefault(item.outcome.endpoint, []).append(cost_of(item, prices()))
    if costs:
        state.note_counted(attempt)
        for endpoint, some in costs.items():
            metrics.send(metrics.of_costs(endpoint, some))
