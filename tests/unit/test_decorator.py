"""What a Dag file has of ``@task.pika_text_to_video``: its name, its price, its place in the Dag."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG, task
from airflow.serialization.helpers import serialize_template_field

from airflow_provider_pika.decorators.pika import pika_text_to_video_task
from airflow_provider_pika.get_provider_info import get_provider_info
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator


def write(subject: str = "a fox") -> str:
    return f"{subject} in fresh snow"


def test_it_is_found_by_its_name() -> None:
    decorated: Any = task.pika_text_to_video(resolution="480p")(write)
    assert isinstance(decorated("an owl").operator, PikaTextToVideoOperator)


def test_the_provider_info_names_the_function() -> None:
    [entry] = get_provider_info()["task-decorators"]
    path = f"{pika_text_to_video_task.__module__}.{pika_text_to_video_task.__qualname__}"
    assert entry == {"name": "pika_text_to_video", "class-name": path}


@pytest.mark.parametrize("wrong", [{"resolution": "4k"}, {"prompt": " "}, {"on_clear": "keep"}], ids=str)
def test_a_wrong_literal_in_the_decorator_fails_when_the_dag_is_parsed(wrong: dict[str, Any]) -> None:
    decorated: Any = pika_text_to_video_task(**wrong)(write)
    with pytest.raises(AirflowFailException, match=next(iter(wrong))):
        decorated()


def test_an_argument_from_another_task_puts_it_behind_that_task() -> None:
    @task
    def subject() -> str:
        return "a fox"

    decorated: Any = pika_text_to_video_task(write)
    with DAG("chained"):
        clip = decorated(subject()).operator
    assert clip.upstream_task_ids == {"subject"}


@pytest.mark.parametrize("copied", [False, True])
def test_the_page_of_the_task_says_where_the_prompt_comes_from(copied: bool) -> None:
    decorated: Any = pika_text_to_video_task(write)
    clip = decorated().operator
    shown = (copy.deepcopy(clip) if copied else clip).prompt  # Airflow copies Dags
    assert serialize_template_field(shown, "prompt") == "(what the function returns, see the log)"


def test_a_mapped_task_is_the_same_operator_with_the_arguments_of_the_decorator_and_of_partial() -> None:
    def written(subject: str, season: str) -> str:
        return f"{subject} in {season}"

    with DAG("mapped"):
        decorated: Any = pika_text_to_video_task(resolution="480p", retries=2)(written)
        many = decorated.partial(season="winter").expand(subject=["a fox", "an owl"]).operator
        one: Any = many.unmap({"op_kwargs": {"subject": "a fox", "season": "winter"}})
    assert (one.resolution, one.retries, one.op_kwargs["season"]) == ("480p", 2, "winter")
    assert isinstance(one, PikaTextToVideoOperator)


def test_it_can_be_overridden() -> None:
    decorated: Any = pika_text_to_video_task(resolution="480p", retries=1)(write)
    with DAG("overriding"):
        first = decorated("a fox").operator
        other = decorated.override(task_id="other", resolution="1080p")("an owl").operator
    assert (first.task_id, first.resolution, first.retries) == ("write", "480p", 1)
    assert (other.task_id, other.resolution, other.retries) == ("other", "1080p", 1)


def test_what_the_function_is_annotated_to_return_does_not_spread_the_result_over_xcoms() -> None:
    def annotated() -> dict[str, Any]:
        return {"prompt": "a fox"}

    plain: Any = pika_text_to_video_task(annotated)
    asked: Any = pika_text_to_video_task(multiple_outputs=True)(annotated)
    assert not plain().operator.multiple_outputs
    assert asked().operator.multiple_outputs
