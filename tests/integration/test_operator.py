from __future__ import annotations

import signal
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout
from airflow.sdk import DAG

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from tests.integration.conftest import connect
from tests.support.airflow import context
from tests.support.emulator import RunningEmulator


def operator(**arguments: Any) -> PikaTextToVideoOperator:
    return PikaTextToVideoOperator(task_id="generate", **{"prompt": "a fox", **arguments})


def test_it_returns_the_request_id_and_sends_the_endpoints_inputs(emulator: RunningEmulator) -> None:
    request_id = operator(prompt="a heron", duration="10", seed="3").execute(context())
    [request] = [request for request in emulator.requests("a heron") if request["request_id"] == request_id]
    assert request["endpoint_id"] == "fal-ai/pika/v2.5/text-to-video"
    assert request["input"] == {
        "prompt": "a heron",
        "resolution": "720p",
        "duration": 10,
        "negative_prompt": "ugly, bad, terrible",
        "seed": 3,
    }


def test_another_model_gets_what_it_takes_besides(emulator: RunningEmulator) -> None:
    request_id = operator(
        endpoint="fal-ai/pika/v2.2/text-to-video", extra_arguments={"aspect_ratio": "9:16"}, prompt="a tower"
    ).execute(context())
    [request] = [request for request in emulator.requests("a tower") if request["request_id"] == request_id]
    assert request["endpoint_id"] == "fal-ai/pika/v2.2/text-to-video"
    assert request["input"]["aspect_ratio"] == "9:16"


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt": " "},
        {"resolution": "4k"},
        {"duration": 6},
        {"seed": "x"},
        {"seed": "1_000"},
        {"priority": "high"},
        {"start_timeout": 0},
        {"start_timeout": float("inf")},
        {"endpoint": "no endpoint"},
        {"endpoint": "workflows/x"},
        {"on_unknown_submit": "hope"},
        {"on_clear": "keep"},
        {"extra_arguments": {"seed": 1}},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_wrong_literal_fails_when_the_dag_is_parsed(wrong: dict[str, Any]) -> None:
    with pytest.raises(AirflowFailException, match=next(iter(wrong))):
        operator(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt": ""},
        {"resolution": "4k"},
        {"duration": "6"},
        {"seed": "1.5"},
        {"priority": "high"},
        {"start_timeout": "0"},
        {"endpoint": "no endpoint"},
        {"on_unknown_submit": "hope"},
        {"extra_arguments": {"seed": 1}},
        {"extra_arguments": "aspect_ratio"},
        {"extra_arguments": {"aspect_ratio": object()}},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_wrong_rendered_value_fails_for_good_before_anything_is_sent(
    emulator: RunningEmulator, wrong: dict[str, Any]
) -> None:
    task = operator()
    for name, value in wrong.items():  # as Airflow renders templates: after __init__
        setattr(task, name, value)
    with pytest.raises(AirflowFailException, match=next(iter(wrong))) as failed:
        task.execute(context())
    assert isinstance(failed.value.__cause__, errors.InvalidInput)
    assert emulator.counts()["submit"]["received"] == 0


def test_a_template_is_not_judged_before_it_is_rendered() -> None:
    operator(prompt="{{ params.prompt }}", duration="{{ params.duration }}", seed="{% if x %}1{% endif %}")


def test_a_value_among_the_extra_arguments_may_come_from_another_task() -> None:
    with DAG("with_extra"):
        ratio = PikaTextToVideoOperator(task_id="other", prompt="a").output
        task = operator(extra_arguments={"aspect_ratio": ratio, "style": "{{ params.style }}"})
    assert "other" in task.upstream_task_ids


def test_every_argument_is_a_template() -> None:
    own = {"prompt", "resolution", "duration", "negative_prompt", "seed", "endpoint", "extra_arguments"}
    ours = {"start_timeout", "priority", "tags", "max_cost", "on_unknown_submit", "on_clear", "pika_conn_id"}
    ours |= {"wait_for_completion", "cancel_on_kill", "cancel_on_timeout"}
    assert set(PikaTextToVideoOperator.template_fields) == own | ours


@pytest.mark.parametrize(("fault", "kind"), [("locked", errors.ExhaustedBalance), ("reset", errors.SubmitUnknown)])
def test_what_a_new_submit_cannot_mend_fails_without_retries(
    emulator: RunningEmulator, fault: str, kind: type[errors.PikaError]
) -> None:
    emulator.fault(fault)
    with pytest.raises(AirflowFailException) as failed:
        operator().execute(context())
    assert type(failed.value.__cause__) is kind


def test_a_wrong_key_fails_without_retries(emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, emulator.queue_url, key="wrong:wrong")
    with pytest.raises(AirflowFailException, match="Correct the key"):
        operator().execute(context())


@pytest.mark.parametrize("fault", ["http_429", "http_500"])
def test_what_passes_is_retried_as_usual(emulator: RunningEmulator, fault: str) -> None:
    emulator.fault(fault, times=3)
    task = operator()
    with pytest.raises(errors.TryLater):
        task.execute(context())
    assert task.execute(context())
    assert emulator.counts()["submit"]["accepted"] == 1


def test_an_execution_timeout_during_the_submit_is_not_retried(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def time_is_up(*_: object) -> None:  # as Airflow enforces execution_timeout: by a signal
        raise AirflowTaskTimeout("execution_timeout")

    emulator.fault("stall")
    before = signal.signal(signal.SIGALRM, time_is_up)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    try:
        with pytest.raises(AirflowFailException, match="may be charged"):
            operator().execute(context())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert emulator.counts()["submit"]["accepted"] == 1
