"""What monitoring is told of a clip: names, units, tags; nothing that is unknown, nothing where it is off."""

from __future__ import annotations

import sys
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_pika.exceptions import ContentPolicyViolation, PikaError, tree
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.models import Video
from airflow_provider_pika.fal.prices import Cost
from airflow_provider_pika.task import metrics
from airflow_provider_pika.task.metrics import Metric, of_costs, of_ending, of_queue, send, send_once
from tests.support.airflow import StateStore, context
from tests.support.statsd import RunningStatsd, send_to, statsd

__all__ = ["statsd"]

TAG = "fal-ai_pika_v2.5_text-to-video"
DONE = Metric("pika.clips", 1, {"endpoint": TAG, "state": "done", "error": "none"})
ID = "019e1951-c778-7120-9c82-16efcf40ec82"


def video(inference_time: float | None = None) -> Video:
    return Video(url="https://a/b.mp4", request_id=ID, endpoint=TEXT_TO_VIDEO, inference_time=inference_time)


def cost(amount: str | None, currency: str | None = "USD") -> Cost:
    return Cost(None if amount is None else Decimal(amount), currency if amount else None, "billed", reason="why")


def test_a_clip_that_is_done_is_counted_with_what_it_cost_and_how_long_it_ran() -> None:
    assert of_ending(TEXT_TO_VIDEO, video(12.5), cost("0.30")) == [
        DONE,
        Metric("pika.run_time", timedelta(seconds=12.5), {"endpoint": TAG}),
        Metric("pika.cost_microusd", 300_000, {"endpoint": TAG}),
    ]


@pytest.mark.parametrize("unknown", [None, cost(None), cost("0.30", "EUR")])
def test_what_is_unknown_is_not_sent(unknown: Cost | None) -> None:
    assert of_ending(TEXT_TO_VIDEO, video(), unknown) == [DONE]


@pytest.mark.parametrize("error", tree(PikaError), ids=lambda error: error.__name__)
def test_a_failed_clip_is_counted_by_the_class_of_its_error(error: type[PikaError]) -> None:
    tags = {"endpoint": TAG, "state": "failed", "error": error.__name__}
    assert of_ending(TEXT_TO_VIDEO, error("No.")) == [Metric("pika.clips", 1, tags)]


@pytest.mark.parametrize(
    ("amounts", "sent"),
    [
        (["0"], 0),
        (["0.0000005"], 0),
        (["0.0000015"], 2),
        (["0.0000005"] * 2, 1),  # the sum is rounded, not each
        (["0.465", "1000000"], 1_000_000_465_000),
        (["123456789012345.000000000001"], 123_456_789_012_345_000_000),
    ],
)
def test_costs_are_whole_micro_dollars_rounded_once_half_to_even(amounts: list[str], sent: int) -> None:
    assert of_costs(TEXT_TO_VIDEO, map(cost, amounts)) == [Metric("pika.cost_microusd", sent, {"endpoint": TAG})]


def test_a_sum_has_only_what_is_known_in_us_dollars() -> None:
    some = [cost("0.30"), cost(None), cost("5", "EUR"), cost("0.45")]
    assert of_costs(TEXT_TO_VIDEO, some) == [Metric("pika.cost_microusd", 750_000, {"endpoint": TAG})]
    assert of_costs(TEXT_TO_VIDEO, [cost(None), cost("5", "EUR")]) == []
    assert of_costs(TEXT_TO_VIDEO, []) == []


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        (("2026-11-27T00:00:00Z", "2026-11-27T00:00:12.500000Z"), 12.5),
        (("2026-11-27T00:00:00Z", "2026-11-27T00:00:00Z"), 0.0),
        (("2026-11-27T00:00:12Z", "2026-11-27T00:00:00Z"), None),  # two clocks
        ((None, "2026-11-27T00:00:00Z"), None),
        (("2026-11-27T00:00:00Z", None), None),
    ],
)
def test_the_time_in_the_queue_is_that_between_fals_times(times: tuple[Any, Any], seconds: float | None) -> None:
    expected = [] if seconds is None else [Metric("pika.queue_time", timedelta(seconds=seconds), {"endpoint": TAG})]
    assert of_queue(TEXT_TO_VIDEO, *times) == expected
    assert of_queue(None, *times) == []


@given(st.text(max_size=300))
def test_any_endpoint_makes_a_tag_that_airflow_sends(endpoint: str) -> None:
    tag = of_ending(endpoint, video())[0].tags["endpoint"]
    assert len(tag) <= 100
    assert all(sign.isascii() and (sign.isalnum() or sign in "_.-") for sign in tag)


def test_packets_have_tags_where_the_format_has_them(statsd: RunningStatsd) -> None:
    send(of_ending(TEXT_TO_VIDEO, video(1.5), cost("0.30")))
    assert statsd.taken() == [
        f"clips,endpoint={TAG},state=done,error=none:1|c",
        f"run_time,endpoint={TAG}:1500.000000|ms",
        f"cost_microusd,endpoint={TAG}:300000|c",
    ]
    send(of_ending(TEXT_TO_VIDEO, ContentPolicyViolation("No.")))
    assert statsd.taken() == [f"clips,endpoint={TAG},state=failed,error=ContentPolicyViolation:1|c"]


def test_without_tags_the_state_is_in_a_name_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with RunningStatsd.start() as plain:
        send_to(plain, monkeypatch, tags=False)
        send(of_ending(TEXT_TO_VIDEO, video(), cost("0")))
        send(of_ending(TEXT_TO_VIDEO, ContentPolicyViolation("No.")))
        assert plain.ours() == [
            "clips:1|c",
            "clips.done:1|c",
            "cost_microusd:0|c",
            "clips:1|c",
            "clips.failed:1|c",
        ]


def test_where_metrics_are_off_nothing_is_asked_of_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    store = StateStore()
    monkeypatch.setattr(metrics, "_send", lambda _: pytest.fail("sent"))
    send(of_ending(TEXT_TO_VIDEO, video()))
    send_once(context(task_state_store=store), ID, of_ending(TEXT_TO_VIDEO, video()))
    assert store.values == {}


@pytest.mark.parametrize("switch", ["STATSD_ON", "STATSD_DATADOG_ENABLED", "OTEL_ON"])
def test_each_of_airflows_switches_switches_them_on(monkeypatch: pytest.MonkeyPatch, switch: str) -> None:
    assert not metrics.are_on()
    monkeypatch.setenv(f"AIRFLOW__METRICS__{switch}", "True")
    assert metrics.are_on()


def test_metrics_that_cannot_be_sent_fail_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "True")
    monkeypatch.setitem(sys.modules, "airflow.providers.common.compat.sdk", None)
    send(of_ending(TEXT_TO_VIDEO, video()))
    send_once(context(), ID, of_ending(TEXT_TO_VIDEO, video()))


def test_an_ending_that_the_task_finds_again_is_not_counted_again(statsd: RunningStatsd) -> None:
    here = context(task_state_store=StateStore())
    for _ in range(2):
        send_once(here, ID, of_ending(TEXT_TO_VIDEO, video()))
    assert len(statsd.taken()) == 1
    send_once(here, "another", of_ending(TEXT_TO_VIDEO, video()))
    assert len(statsd.taken()) == 1


def test_an_ending_that_became_another_is_counted(statsd: RunningStatsd) -> None:
    here = context(task_state_store=StateStore())
    send_once(here, ID, of_ending(TEXT_TO_VIDEO, PikaError("Nobody knows.", request_id=ID)))
    send_once(here, ID, of_ending(TEXT_TO_VIDEO, video()))
    assert [packet.partition("state=")[2][:4] for packet in statsd.taken()] == ["fail", "done"]


def test_refused_submits_are_counted_each(statsd: RunningStatsd) -> None:
    here = context(task_state_store=StateStore())
    for _ in range(2):
        send_once(here, None, of_ending(TEXT_TO_VIDEO, ContentPolicyViolation("No.")))
    assert len(statsd.taken()) == 2


class Broken(StateStore):
    def get(self, key: str, default: Any = None) -> Any:
        raise OSError("down")


def test_a_task_state_that_cannot_be_read_costs_no_count(statsd: RunningStatsd) -> None:
    send_once(context(task_state_store=Broken()), ID, of_ending(TEXT_TO_VIDEO, video()))
    assert len(statsd.taken()) == 1
