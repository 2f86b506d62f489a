"""A batch never submits beyond its ``max_cost``: random prices, endings and crashes, and what fal bills on the way."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_pika.batch.item import Item
from airflow_provider_pika.batch.spending import Spending
from airflow_provider_pika.exceptions import (
    ContentPolicyViolation,
    CostLimitExceeded,
    GenerationInterrupted,
    PikaError,
    StartTimeout,
    SubmitUnknown,
)
from airflow_provider_pika.fal.models import Video
from airflow_provider_pika.fal.prices import CONNECTION, Price, Prices
from airflow_provider_pika.fal.record import Record

ENDPOINT = "fal-ai/pika/v2.2/text-to-video"
PRICES = Prices({ENDPOINT: Price("videos", Decimal("0.20"), "USD", CONNECTION)})


def record(state: Any = "submitted", cost: str | None = "0.20", spent: str = "0") -> Record:
    return Record(
        state=state,
        request_id="r-1" if state == "submitted" else None,
        endpoint=ENDPOINT,
        queue_url="q",
        fingerprint="f",
        seed=1,
        generation=0,
        attempt=1,
        intended_at=0.0,
        reason="",
        cost=cost,
        spent=spent,
    )


def video(units: float | None) -> Video:
    return Video(url="https://x/y.mp4", request_id="r-1", endpoint=ENDPOINT, billable_units=units)


def committed(*items: Item) -> Decimal:
    return Spending(Decimal(100), [], items, PRICES).committed


@pytest.mark.parametrize(
    ("item", "may_be_billed"),
    [
        (Item(), "0"),
        (Item(record("refused")), "0"),
        (Item(record("refused", spent="0.40")), "0.40"),
        (Item(record("intent")), "0.20"),
        (Item(record()), "0.20"),
        (Item(record(), SubmitUnknown("lost")), "0.20"),
        (Item(record(), ContentPolicyViolation("no")), "0.20"),
        (Item(record(), GenerationInterrupted("broken", status_code=503)), "0"),
        (Item(record(spent="0.20"), GenerationInterrupted("broken", status_code=503)), "0.20"),
        (Item(record(), GenerationInterrupted("busy", status_code=400)), "0.20"),
        (Item(record(), StartTimeout("late")), "0"),
        (Item(record(), ContentPolicyViolation("no", billable_units=0.0)), "0"),
        (Item(record(), ContentPolicyViolation("no", billable_units=2.0)), "0.40"),
        (Item(record(), video(1.0)), "0.20"),
        (Item(record(), video(2.25)), "0.45"),
        (Item(record(), video(None)), "0.20"),
        (Item(record(spent="0.20"), video(1.0)), "0.40"),
    ],
)
def test_what_may_be_billed_of_an_item_counts(item: Item, may_be_billed: str) -> None:
    assert committed(item) == Decimal(may_be_billed)


@pytest.mark.parametrize(("replaced", "may_be_billed"), [([], "0.30"), (["r-0"], "0.60"), (["r-0", "r-00"], "0.90")])
def test_what_was_submitted_without_a_limit_counts_as_the_dearest_clip(replaced: list[str], may_be_billed: str) -> None:
    unnoted = record(cost=None).model_copy(update={"replaced": replaced})
    spending = Spending(Decimal(100), [Decimal("0.20"), Decimal("0.30")], [Item(unnoted)], PRICES)
    assert spending.committed == Decimal(may_be_billed)


def test_what_fal_billed_corrects_what_the_others_are_taken_to_cost() -> None:
    assert committed(Item(record(), video(2.0)), Item(record())) == Decimal("0.80")
    assert committed(Item(record(), video(0.5)), Item(record())) == Decimal("0.20")
    spending = Spending(Decimal("1.19"), [Decimal("0.20")], [Item(record(), video(2.0)), Item(record())], PRICES)
    with pytest.raises(CostLimitExceeded, match=r"may cost 0\.80, and the next clip 0\.40"):
        spending.take(Decimal("0.20"))


def test_a_submission_is_allowed_up_to_the_limit_and_not_beyond() -> None:
    spending = Spending(Decimal("0.60"), [Decimal("0.20")] * 4, [], PRICES)
    for index in range(3):
        spending.of(index).allow(Decimal(0), spending.of(index).cost())
    with pytest.raises(CostLimitExceeded, match=r"max_cost=0\.60 allows no more"):
        spending.of(3).allow(Decimal(0), spending.of(3).cost())
    assert spending.committed == Decimal("0.60")


class Night:
    """Rounds of submissions, endings and crashes; fal bills at most what was estimated."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.estimates = [Decimal(self.chance.randrange(1, 100)) / 100 for _ in range(30)]
        self.limit = Decimal(self.chance.randrange(50, 1000)) / 100
        self.items: dict[int, Item] = {}
        self.paid = Decimal(0)

    def submit(self) -> None:
        """Submit what is queued or failed, in a round that may be killed."""
        spending = Spending(self.limit, self.estimates, self.items.values(), PRICES)
        for index in range(len(self.estimates)):
            if self.items.get(index, Item()).state in ("done", "in flight"):
                continue
            try:
                self._submit(spending, index)
            except CostLimitExceeded:
                return
            if self.chance.random() < 0.1:
                return

    def _submit(self, spending: Spending, index: int) -> None:
        item, cost = self.items.get(index, Item()), self.estimates[index]
        before = item.record
        is_free = isinstance(item.outcome, GenerationInterrupted) or (before and before.state == "refused")
        spent = Decimal(before.spent) + (0 if is_free else cost) if before else Decimal(0)
        spending.of(index).allow(spent, cost)
        state = self.chance.choice(["submitted", "submitted", "intent", "refused"])
        self.items[index] = Item(record(state, format(cost, "f"), format(spent, "f")))
        if state != "refused":  # at the worst, fal has accepted it, and bills it
            self.paid += cost

    def end(self) -> None:
        """End some of what is in flight, in one of the ways there are."""
        for index, item in self.items.items():
            if item.state == "in flight" and self.chance.random() < 0.5:
                self.items[index] = item.ended(self._ending(index), 1)

    def _ending(self, index: int) -> Video | PikaError:
        broken = GenerationInterrupted("broken", status_code=503)
        units = float(self.estimates[index] / Decimal("0.20"))
        ending = self.chance.choice([video(units), ContentPolicyViolation("no"), broken])
        self.paid -= self.estimates[index] if ending is broken else 0
        return ending  # type: ignore[return-value]


@pytest.mark.parametrize("seed", range(40))
def test_a_batch_never_submits_beyond_its_limit_whatever_happens(seed: int) -> None:
    night = Night(seed)
    for _ in range(20):
        night.submit()
        assert night.paid <= night.limit
        night.end()
