"""``max_cost``: what would cost more, or has no price, is never sent; in all attempts, and for a whole batch."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.fal import TEXT_TO_VIDEO, pricing
from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from tests.integration.conftest import KEY
from tests.support.airflow import StateStore, TaskInstance, context, run_to_the_end
from tests.support.emulator import RunningEmulator, accepted

PRICE = {TEXT_TO_VIDEO: {"unit": "seconds", "price": "0.06", "currency": "USD"}}


@pytest.fixture(autouse=True)
def priced(emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clip of 5 s costs 0.30 USD, by the connection."""
    connect(monkeypatch, emulator, prices=PRICE)


def connect(monkeypatch: pytest.MonkeyPatch, emulator: RunningEmulator, **extra: Any) -> None:
    connection = {"conn_type": "pika", "host": emulator.queue_url, "password": KEY, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_PIKA_DEFAULT", json.dumps(connection))


def forget_all_prices(monkeypatch: pytest.MonkeyPatch, emulator: RunningEmulator) -> None:
    """Let nobody tell a price: the emulator's average, too, has what other tests have paid."""
    connect(monkeypatch, emulator)
    emulator.fault("http_403", on="pricing", times=100)
    pricing.forget()


def generate(prompt: str = "a fox", here: Any = None, **arguments: Any) -> Any:
    options = {"resolution": "480p", "deferrable": False, "poll_interval": 0.1, **arguments}
    task = PikaTextToVideoOperator(task_id="task", prompt=prompt, wait_for_completion=True, **options)
    return task.execute(here or context(task_state_store=StateStore()))


def batch(inputs: list[Any], max_cost: Any, store: StateStore | None = None, **more: Any) -> Any:
    task = PikaTextToVideoBatchOperator(
        task_id="task", inputs=inputs, defaults={"resolution": "480p"}, max_cost=max_cost, poll_interval=0.1, **more
    )
    return run_to_the_end(task, task_state_store=store or StateStore())


@pytest.mark.parametrize("limit", ["0.30", 0.3, 1, Decimal("0.30"), " 0.5 "])
def test_what_is_within_the_limit_is_generated(emulator: RunningEmulator, limit: Any) -> None:
    assert generate(max_cost=limit)["cost"]["amount"] == "0.30"


def test_what_would_cost_more_is_not_sent_and_not_retried(emulator: RunningEmulator) -> None:
    with pytest.raises(
        AirflowFailException, match=r"would cost 0\.30.*max_cost=0\.29.*Nothing was submitted"
    ) as failed:
        generate(max_cost="0.29")
    assert isinstance(failed.value.__cause__, errors.CostLimitExceeded)
    assert accepted(emulator) == 0


def test_what_has_no_price_is_not_sent_and_the_error_has_the_json_to_paste(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_all_prices(monkeypatch, emulator)
    with pytest.raises(AirflowFailException, match=r'"prices": \{"fal-ai/pika/v2.5/text-to-video"'):
        generate(max_cost="100")
    assert accepted(emulator) == 0


@pytest.mark.parametrize("wrong", ["-1", "0", 0, "1e3", "nan", True, "0,50", [], float("inf"), "", "None", "9" * 13])
def test_a_limit_that_is_no_amount_is_refused_when_the_dag_is_parsed(wrong: Any) -> None:
    for make in (
        lambda: PikaTextToVideoOperator(task_id="task", prompt="a", max_cost=wrong),
        lambda: PikaTextToVideoBatchOperator(task_id="task", inputs=["a"], max_cost=wrong),
    ):
        with pytest.raises(AirflowFailException, match=r"max_cost=.*takes an amount above 0"):
            make()


def test_a_request_that_there_is_already_is_picked_up_whatever_the_limit(emulator: RunningEmulator) -> None:
    store = StateStore()
    first = generate("a patient fox", context(task_state_store=store), max_cost="0.30")
    again = generate("a patient fox", context(task_state_store=store, ti=TaskInstance(try_number=2)), max_cost="0.01")
    assert again["request_id"] == first["request_id"]
    assert len(emulator.requests("a patient fox")) == 1


def test_a_clear_pays_again_only_as_far_as_the_limit_goes(emulator: RunningEmulator) -> None:
    store = StateStore()
    generate("a fox cleared twice", context(task_state_store=store), max_cost="0.60")
    for cleared in (1, 2):
        here = context(task_state_store=store, ti=TaskInstance(try_number=1 + cleared, max_tries=2 + cleared))
        if cleared == 1:
            generate("a fox cleared twice", here, max_cost="0.60")
        else:
            with pytest.raises(AirflowFailException, match=r"earlier requests of this task may have cost 0\.60"):
                generate("a fox cleared twice", here, max_cost="0.60")
    assert len(emulator.requests("a fox cleared twice")) == 2


def test_clips_that_were_paid_for_before_there_was_a_limit_count_too(emulator: RunningEmulator) -> None:
    store = StateStore()
    for cleared in (0, 1):
        here = context(task_state_store=store, ti=TaskInstance(try_number=1 + cleared, max_tries=2 + cleared))
        generate("an early fox", here)
    here = context(task_state_store=store, ti=TaskInstance(try_number=3, max_tries=4))
    with pytest.raises(AirflowFailException, match=r"earlier requests of this task may have cost 0\.60"):
        generate("an early fox", here, max_cost="0.89")
    assert len(emulator.requests("an early fox")) == 2


def test_a_batch_that_began_without_a_limit_counts_what_it_has_submitted(emulator: RunningEmulator) -> None:
    store = StateStore()
    batch(["one", "two"], None, store)
    with pytest.raises(AirflowFailException, match=r"max_cost=0\.89 allows no more"):
        batch(["one", "two", "three"], "0.89", store)
    assert accepted(emulator) == 2


def test_an_error_of_fals_servers_which_is_never_billed_takes_nothing_from_the_limit(emulator: RunningEmulator) -> None:
    store = StateStore()
    prompt = "a broken fox"
    emulator.fault("runner_error", match=prompt)
    with pytest.raises(errors.GenerationInterrupted):
        generate(prompt, context(task_state_store=store), max_cost="0.30")
    here = context(task_state_store=store, ti=TaskInstance(try_number=2))
    assert generate(prompt, here, max_cost="0.30")["cost"]["amount"] == "0.30"


def test_a_batch_that_would_cost_more_submits_nothing(emulator: RunningEmulator) -> None:
    with pytest.raises(AirflowFailException, match=r"The 3 clips would cost 0\.90.*max_cost=0\.89"):
        batch(["one", "two", "three"], "0.89")
    assert accepted(emulator) == 0


def test_a_batch_without_a_price_submits_nothing(emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_all_prices(monkeypatch, emulator)
    with pytest.raises(AirflowFailException, match=r"price of fal-ai/pika/v2\.5/text-to-video is unknown"):
        batch(["one", "two"], 100)
    assert accepted(emulator) == 0


def test_a_batch_within_its_limit_is_generated(emulator: RunningEmulator) -> None:
    assert batch(["one", "two", "three"], "0.90")["cost"]["amount"] == "0.90"


def test_a_batch_submits_no_more_once_fal_has_billed_more_than_was_estimated(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_pika.batch.attempt.estimate", _half)
    with pytest.raises(AirflowFailException, match=r"max_cost=1\.00 allows no more") as failed:
        batch([f"clip {number}" for number in range(6)], "1.00", max_in_flight=2)
    assert "What is in flight goes on" in str(failed.value)
    assert accepted(emulator) == 3  # a fourth would make it 1.20


def _half(*given: Any) -> Any:
    from dataclasses import replace

    from airflow_provider_pika.fal.prices import estimate

    cost = estimate(*given)
    assert cost.amount is not None
    return replace(cost, amount=cost.amount / 2)
