"""What one task may send: limits that refuse a mistake before it is paid for, and that a user can raise."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_pika.batch.inputs import batch_inputs_of
from airflow_provider_pika.decorators.returned import inputs_of
from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.get_provider_info import LIMITS, get_provider_info
from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.task.arguments import arguments_of, most_of
from airflow_provider_pika.task.templates import LONGEST_JSON, LONGEST_LITERAL, read_text

LONG = "x" * (int(LIMITS["max_prompt_length"]["default"]) + 1)
MANY = ["a fox"] * (int(LIMITS["max_batch_size"]["default"]) + 1)
KNOWN = {"resolution": "720p", "duration": 5, "negative_prompt": "", "seed": None, "extra_arguments": None}


@pytest.mark.parametrize(
    "send",
    [
        lambda: PikaTextToVideoOperator(task_id="t", prompt=LONG),
        lambda: PikaTextToVideoOperator(task_id="t", prompt="a fox", negative_prompt=LONG),
        lambda: PikaTextToVideoBatchOperator(task_id="t", inputs=["a fox", LONG]),
        lambda: PikaTextToVideoBatchOperator(task_id="t", inputs=[{"prompt": "a fox", "negative_prompt": LONG}]),
        lambda: PikaTextToVideoBatchOperator(task_id="t", inputs=["a fox"], defaults={"negative_prompt": LONG}),
        lambda: arguments_of({**KNOWN, "prompt": LONG}),
        lambda: batch_inputs_of(json.dumps([LONG]), None),
    ],
)
def test_a_prompt_that_is_longer_than_any_is_refused_and_can_be_allowed(
    monkeypatch: pytest.MonkeyPatch, send: Callable[[], object]
) -> None:
    with pytest.raises((InvalidInput, AirflowFailException), match="10001 characters, and 10000 are allowed"):
        send()
    monkeypatch.setenv("AIRFLOW__PIKA__MAX_PROMPT_LENGTH", "10001")
    send()


def test_a_batch_that_is_larger_than_any_is_refused_and_can_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="20001 items, and 20000 are allowed"):
        batch_inputs_of(MANY, None)
    monkeypatch.setenv("AIRFLOW__PIKA__MAX_BATCH_SIZE", "20001")
    assert len(batch_inputs_of(MANY, None).arguments) == 20001


def test_the_limits_are_options_of_airflows_configuration() -> None:
    assert get_provider_info()["config"]["pika"]["options"].items() >= LIMITS.items()
    assert {name: most_of(name) for name in LIMITS} == {"max_prompt_length": 10_000, "max_batch_size": 20_000}


def test_a_text_is_read_as_python_writes_it_only_while_it_is_short() -> None:
    assert read_text(str(["a fox"])) == ["a fox"]
    assert read_text(json.dumps(["a fox"] * 200_000)) == ["a fox"] * 200_000  # as JSON, a longer one is read, too
    literal = "['a fox'" + ", 'a fox'" * 799_999 + "]"  # Python's own parser takes 3 GB for it
    text = "[" + "1," * (LONGEST_JSON // 2) + "1]"
    tracemalloc.start()
    with pytest.raises(InvalidInput, match=f"{LONGEST_LITERAL} as Python writes them. Write JSON"):
        read_text(literal)
    with pytest.raises(InvalidInput, match=f"{LONGEST_JSON} are read as JSON"):
        read_text(text)
    assert tracemalloc.get_traced_memory()[1] < 100 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("bad", ["a\0b", "half a \ud83d smile"], ids=ascii)
@pytest.mark.parametrize(
    "send",
    [
        lambda bad: PikaTextToVideoOperator(task_id="t", prompt=bad),
        lambda bad: PikaTextToVideoOperator(task_id="t", prompt="a fox", negative_prompt=bad),
        lambda bad: PikaTextToVideoOperator(task_id="t", prompt="a fox", extra_arguments={"style": [{"x": bad}]}),
        lambda bad: PikaTextToVideoOperator(task_id="t", prompt="a fox", extra_arguments={bad: 1}),
        lambda bad: PikaTextToVideoBatchOperator(task_id="t", inputs=["a fox", bad]),
        lambda bad: PikaTextToVideoBatchOperator(task_id="t", inputs=[{"prompt": "a", "extra_arguments": {"x": bad}}]),
        lambda bad: arguments_of({**KNOWN, "prompt": bad}),
        lambda bad: inputs_of({"prompt": bad}, "f"),
        lambda bad: inputs_of({"extra_arguments": {"x": bad}}, "f"),
    ],
)
def test_a_text_that_no_database_takes_is_refused_before_it_is_sent(send: Callable[[str], object], bad: str) -> None:
    with pytest.raises((InvalidInput, AirflowFailException), match="not allowed"):
        send(bad)


@pytest.mark.parametrize("number", [2**63, -(2**64), 10**5000, float("nan"), float("inf")], ids=lambda _: "")
def test_a_number_that_no_database_takes_is_refused_before_it_is_sent(number: Any) -> None:
    with pytest.raises(AirflowFailException, match="not allowed"):
        PikaTextToVideoOperator(task_id="t", prompt="a fox", seed=number)
    with pytest.raises(AirflowFailException, match="not allowed"):
        PikaTextToVideoOperator(task_id="t", prompt="a fox", extra_arguments={"x": [number]})
