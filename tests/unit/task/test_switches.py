"""Arguments that are on or off: which may be templates, and that no text counts as on because it is not empty."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG, BaseOperator

from airflow_provider_pika.decorators.pika import pika_text_to_video_task
from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor
from airflow_provider_pika.task.arguments import switch_of
from airflow_provider_pika.transfers.batch_to_object_storage import PikaBatchToObjectStorageOperator
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator
from tests.support.numbers import NumpyInteger
from tests.support.rendering import rendered

REQUEST_ID = "019e1951-c778-7120-9c82-16efcf40ec82"


def decorated(**given: Any) -> Any:
    made: Any = pika_text_to_video_task(task_id="t", **given)(lambda: "a fox")
    return made().operator


WAYS: dict[str, Callable[..., Any]] = {
    "operator": lambda **given: PikaTextToVideoOperator(task_id="t", prompt="a fox", **given),
    "decorator": lambda **given: decorated(**given),
    "sensor": lambda **given: PikaVideoSensor(task_id="t", request_id=REQUEST_ID, **given),
    "batch": lambda **given: PikaTextToVideoBatchOperator(task_id="t", inputs=["a fox"], **given),
    "saving": lambda **given: PikaVideoToObjectStorageOperator(task_id="t", video={}, path="/tmp/x.mp4", **given),
    "saving all": lambda **given: PikaBatchToObjectStorageOperator(task_id="t", batch={}, path="/tmp/{index}", **given),
}

#: The switches of each that are templates, and those that are none.
TEMPLATES = {
    "operator": ("wait_for_completion", "cancel_on_kill", "cancel_on_timeout"),
    "decorator": ("wait_for_completion", "cancel_on_kill", "cancel_on_timeout"),
    "sensor": ("cancel_on_kill", "cancel_on_timeout"),
    "batch": ("cancel_on_kill",),
}
OTHERS: dict[str, tuple[str, ...]] = {
    "operator": ("deferrable", "stream"),
    "decorator": ("deferrable", "stream"),
    "sensor": ("deferrable", "stream"),
    "saving": ("overwrite", "must_fit"),
    "saving all": ("overwrite", "must_fit"),
}


def pairs(table: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    return [(way, name) for way, names in table.items() for name in names]


TEMPLATE = pytest.mark.parametrize(("way", "name"), pairs(TEMPLATES))
PLAIN = pytest.mark.parametrize(("way", "name"), pairs(OTHERS))


@pytest.mark.parametrize(("given", "on"), [(True, True), (" True\n", True), ("TRUE", True), ("false", False)], ids=repr)
@TEMPLATE
def test_a_switch_that_a_template_renders_is_what_it_says(way: str, name: str, given: Any, on: bool) -> None:
    with DAG("switched"):
        task = rendered(WAYS[way](**{name: "{{ params.on }}"}), params={"on": given})
    assert switch_of(name, getattr(task, name)) is on
    assert switch_of(name, getattr(WAYS[way](**{name: given}), name)) is on


@pytest.mark.parametrize("native", [False, True])
@TEMPLATE
def test_a_switch_may_be_a_template_in_native_mode_too(way: str, name: str, native: bool) -> None:
    with DAG("switched", render_template_as_native_obj=native):
        task = rendered(WAYS[way](**{name: "{{ 1 > 2 }}"}))
    assert switch_of(name, getattr(task, name)) is False


@pytest.mark.parametrize("wrong", ["", " ", "no", "1", 1, 0, "None", [], [True]], ids=repr)
@TEMPLATE
def test_a_literal_that_is_no_switch_is_refused_when_the_dag_is_parsed(way: str, name: str, wrong: Any) -> None:
    with pytest.raises(AirflowFailException, match=f"{name}=.* is not allowed: it takes True or False"):
        WAYS[way](**{name: wrong})


@pytest.mark.parametrize("wrong", ["false", "true", "", "{{ params.on }}", 1, 0, None, [True]], ids=repr)
@PLAIN
def test_a_switch_that_is_no_template_takes_a_bool_only(way: str, name: str, wrong: Any) -> None:
    with pytest.raises(
        AirflowFailException, match=f"{name}=.* is not allowed: it takes True or False, and no template"
    ):
        WAYS[way](**{name: wrong})
    for right in (True, False):
        assert getattr(WAYS[way](**{name: right}), name) is right


def test_cancel_on_kill_without_a_value_is_as_wait_for_completion_renders() -> None:
    for waits in (True, False):
        with DAG("switched"):
            task = rendered(WAYS["operator"](wait_for_completion="{{ params.w }}"), params={"w": waits})
        assert task._check_terms().cancel_on_kill is waits


def test_a_switch_may_be_the_output_of_another_task_or_mapped() -> None:
    with DAG("switched"):
        asked = BaseOperator(task_id="asked").output
        one = WAYS["operator"](wait_for_completion=asked)
        many = PikaTextToVideoOperator.partial(task_id="many", prompt="x").expand(wait_for_completion=["{{ 1 }}", True])
        of_data = PikaVideoSensor.partial(task_id="all", request_id=REQUEST_ID).expand(cancel_on_timeout=asked)
    assert one.upstream_task_ids == {"asked"}
    assert rendered(many, map_index=0).wait_for_completion == "1"
    assert rendered(of_data, {"asked": ["{{ 1 }}"]}).cancel_on_timeout == "{{ 1 }}"  # which is refused: it is data


@pytest.mark.parametrize("waits", ["{{ params.wait }}", "True", True, "[[ params.wait ]]"])
def test_what_may_wait_may_be_saved(waits: Any) -> None:
    with DAG("saving", jinja_environment_kwargs={"variable_start_string": "[["} if "[[" in str(waits) else None):
        clip = PikaTextToVideoOperator(task_id="clip", prompt="x", wait_for_completion=waits)
        PikaVideoToObjectStorageOperator(task_id="save", video=clip.output, path="/tmp/x.mp4")


@pytest.mark.parametrize("waits", [False, "false", "FALSE"])
def test_what_does_not_wait_brings_no_video_to_save(waits: Any) -> None:
    with DAG("saving"):
        clip = PikaTextToVideoOperator(task_id="clip", prompt="x", wait_for_completion=waits)
        with pytest.raises(AirflowFailException, match="that is a request id"):
            PikaVideoToObjectStorageOperator(task_id="save", video=clip.output, path="/tmp/x.mp4")


def test_a_sensor_in_reschedule_mode_that_stays_deferrable_warns() -> None:
    with pytest.warns(UserWarning, match="mode='reschedule' has no effect.*deferrable=False"):
        WAYS["sensor"](mode="reschedule")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        WAYS["sensor"](mode="reschedule", deferrable=False)
        WAYS["sensor"]()


@pytest.mark.parametrize("wrong", [True, "soon", 0, -1, float("nan"), [5], "{{ params.seconds }}"], ids=repr)
@pytest.mark.parametrize("name", ["timeout", "poll_interval"])
def test_seconds_that_are_none_are_refused_when_the_dag_is_parsed(name: str, wrong: Any) -> None:
    with pytest.raises(ValueError, match=f"{name}=.* is not allowed: it takes seconds"):
        WAYS["operator"](**{name: wrong})


@pytest.mark.parametrize("seconds", [30, 30.0, "30", timedelta(seconds=30), NumpyInteger(30), Decimal(30)], ids=repr)
def test_seconds_may_be_a_number_of_any_kind(seconds: Any) -> None:
    assert WAYS["operator"](timeout=seconds).timeout == 30.0
