"""What a team makes of our operators: subclasses with other template fields, and Dags with other brackets."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator
from airflow.sdk import DAG

from airflow_provider_pika.decorators import pika as decorators
from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from airflow_provider_pika.operators.cancel import PikaCancelOperator
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor
from airflow_provider_pika.transfers.batch_to_object_storage import PikaBatchToObjectStorageOperator
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator
from tests.support.rendering import rendered

REQUEST_ID = "019e1951-c778-7120-9c82-16efcf40ec82"

GIVEN: dict[type[BaseOperator], dict[str, Any]] = {
    PikaTextToVideoOperator: {"prompt": "a fox"},
    decorators._PikaTextToVideoDecoratedOperator: {"python_callable": lambda: "a fox", "op_args": [], "op_kwargs": {}},
    PikaVideoSensor: {"request_id": REQUEST_ID},
    PikaTextToVideoBatchOperator: {"inputs": ["a fox"]},
    PikaVideoToObjectStorageOperator: {"video": {"url": "x", "request_id": "y"}, "path": "/tmp/x.mp4"},
    PikaBatchToObjectStorageOperator: {"batch": {"clips": []}, "path": "/tmp/{index}.mp4"},
    PikaCancelOperator: {"request_id": REQUEST_ID},
}

KIND = pytest.mark.parametrize("kind", list(GIVEN), ids=lambda kind: kind.__name__)

#: What a task asks of its own arguments before it sends anything.
ASK = ("_ask", "_check_terms")


@KIND
def test_a_subclass_may_add_a_template_field_and_set_it_after_ours(kind: Any) -> None:
    class Mine(kind):  # type: ignore[misc]
        template_fields = (*kind.template_fields, "mine")

        def __init__(self, *, mine: str, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.mine = mine

    with DAG("mine"):
        task = rendered(Mine(task_id="t", mine="on {{ ds }}", **GIVEN[kind]))
        mapped = rendered(Mine.partial(task_id="many", **GIVEN[kind]).expand(mine=["on {{ ds }}"]))
    assert task.mine == mapped.mine == "on 2026-10-01"


def pairs(table: dict[type[BaseOperator], tuple[str, ...]]) -> list[tuple[Any, str]]:
    return [(kind, name) for kind, names in table.items() for name in names]


FIELDS = {kind: tuple(kind.template_fields) for kind in GIVEN}


@pytest.mark.parametrize(("kind", "name"), pairs(FIELDS), ids=lambda value: getattr(value, "__name__", value))
def test_a_subclass_may_drop_a_template_field(kind: Any, name: str) -> None:
    class Mine(kind):  # type: ignore[misc]
        template_fields = tuple(field for field in kind.template_fields if field != name)

    with DAG("mine"):
        task = rendered(Mine(task_id="t", **GIVEN[kind]))
    for ask in ASK:
        if hasattr(task, ask):
            getattr(task, ask)(*([{"ti": None}] if ask == "_ask" else []))


# --- brackets of a Dag's own

BRACKETS = {
    "square": ({"variable_start_string": "[[", "variable_end_string": "]]"}, "[[ params.value ]]"),
    "block": ({"block_start_string": "<%", "block_end_string": "%>"}, "<% if 1 %>x<% endif %>"),
    "dollar": ({"variable_start_string": "${", "variable_end_string": "}"}, "${ params.value }"),
    "one": ({"variable_start_string": "~", "variable_end_string": "~"}, "~ params.value ~"),
    "upwards": ({"variable_start_string": "[[", "variable_end_string": "]]"}, "/[[ '../x'[3:] ]]"),
    "line": ({"line_statement_prefix": "#"}, "# if 1\nx\n# endif"),
}

#: An argument of each kind that would be refused if the template in it were a literal.
LATER: dict[type[BaseOperator], tuple[str, ...]] = {
    PikaTextToVideoOperator: (
        *("resolution", "duration", "seed", "endpoint", "start_timeout", "priority", "on_unknown_submit", "on_clear"),
        *("wait_for_completion", "cancel_on_kill", "cancel_on_timeout", "extra_arguments"),
    ),
    PikaVideoSensor: ("request_id", "endpoint", "cancel_on_timeout"),
    PikaTextToVideoBatchOperator: ("inputs", "endpoint", "manifest_path", "save_to", "cancel_on_kill"),
    PikaVideoToObjectStorageOperator: ("path",),
    PikaBatchToObjectStorageOperator: ("path", "manifest_path"),
}


@pytest.mark.parametrize(("environment", "template"), BRACKETS.values(), ids=BRACKETS)
@pytest.mark.parametrize(("kind", "name"), pairs(LATER), ids=lambda value: getattr(value, "__name__", value))
def test_a_template_in_the_dags_own_brackets_is_judged_when_it_is_rendered(
    kind: Any, name: str, environment: dict[str, Any], template: str
) -> None:
    value = {"aspect_ratio": template} if name == "extra_arguments" else template
    with DAG("brackets", jinja_environment_kwargs=environment):
        kind(task_id="t", **{**GIVEN[kind], name: value})


@pytest.mark.parametrize("where", ["other brackets", "usual brackets"])
def test_a_text_in_brackets_that_the_dag_does_not_have_is_a_literal(where: str) -> None:
    environment, text = ({"variable_start_string": "[["}, "{{ x }}") if where == "other brackets" else (None, "[[ x ]]")
    with (
        DAG("brackets", jinja_environment_kwargs=environment),
        pytest.raises(AirflowFailException, match="resolution="),
    ):
        PikaTextToVideoOperator(task_id="t", prompt="a fox", resolution=text)


@pytest.mark.parametrize("template", ["[[ x ]]", "<% x %>", "${ x }", "((x))", "{{ x }}"])
def test_a_task_that_has_no_dag_yet_is_not_judged_by_brackets(template: str) -> None:
    task = PikaTextToVideoOperator(task_id="t", prompt="a fox", resolution=template, wait_for_completion=template)
    environment = {"variable_start_string": "[[", "variable_end_string": "]]"}
    DAG("later", jinja_environment_kwargs=environment).add_task(task)
    with pytest.raises(AirflowFailException, match="resolution='4k'"):
        PikaTextToVideoOperator(task_id="t", prompt="a fox", resolution="4k")


def test_a_template_in_the_dags_own_brackets_is_rendered_and_checked() -> None:
    environment = {"variable_start_string": "[[", "variable_end_string": "]]"}
    with DAG("brackets", jinja_environment_kwargs=environment):
        task = PikaTextToVideoOperator(
            task_id="t", prompt="[[ ds ]]", duration="[[ 5 ]]", cancel_on_timeout="[[ 1 > 0 ]]"
        )
    terms = rendered(task)._ask({})
    assert (terms.arguments["prompt"], terms.arguments["duration"], terms.cancel_on_timeout) == ("2026-10-01", 5, True)
