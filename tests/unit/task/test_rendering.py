"""What Airflow renders of a task: the text of the Dag file, and no value that came of data."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator, ObjectStoragePath, task, task_group

from airflow_provider_pika.decorators.pika import pika_text_to_video_task
from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from airflow_provider_pika.operators.cancel import PikaCancelOperator
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor
from airflow_provider_pika.transfers.batch_to_object_storage import PikaBatchToObjectStorageOperator
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator
from tests.support.rendering import CANARY, CANARY_CONNECTION, HOSTILE, rendered

NATIVE = pytest.mark.parametrize("native", [False, True], ids=["text", "native"])


@pytest.fixture(autouse=True)
def canary(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CANARY_CONNECTION.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def dag() -> Iterator[DAG]:
    with DAG("rendering", default_args={"endpoint": "{{ ds }}"}) as made:
        yield made


@pytest.fixture
def rows(dag: DAG) -> Any:
    """The output of a task that reads a table."""
    return BaseOperator(task_id="rows").output


def clip(**arguments: Any) -> Any:
    return PikaTextToVideoOperator.partial(task_id="clip", **arguments)


def write(subject: Any = "a fox", season: Any = "winter", **_: Any) -> str:
    return f"{subject} in {season}"


decorated: Any = pika_text_to_video_task(task_id="clip", negative_prompt="{{ ds }}")(write)


def test_the_canary_can_be_read_by_a_template_of_the_authors(dag: DAG) -> None:
    assert rendered(PikaTextToVideoOperator(task_id="clip", prompt=HOSTILE)).prompt == CANARY


# --- rows of .expand_kwargs


@NATIVE
def test_a_row_of_expand_kwargs_is_not_rendered_and_the_rest_is(dag: DAG, rows: Any, native: bool) -> None:
    dag.render_template_as_native_obj = native
    one = rendered(clip(negative_prompt="{{ ds }}").expand_kwargs(rows), {"rows": [{"prompt": HOSTILE}]})
    assert (one.prompt, one.negative_prompt, one.endpoint) == (HOSTILE, "2026-10-01", "2026-10-01")


@pytest.mark.parametrize(
    "hostile",
    [
        "{% if 1 %}{{ conn.canary.password }}{% endif %}",
        "{{ conn.canary.password }}",
        "{%- set x = conn.canary.password -%}{{- x -}}",
        "{# {{ conn.canary.password }} #}",
        "} {{'{{'}} {{ conn.canary.password }}\n",
    ],
)
def test_no_kind_of_template_in_a_row_is_rendered(dag: DAG, rows: Any, hostile: str) -> None:
    assert rendered(clip().expand_kwargs(rows), {"rows": [{"prompt": hostile}]}).prompt == hostile


def test_nothing_inside_of_a_row_is_rendered(dag: DAG, rows: Any) -> None:
    row = {"prompt": "x", "extra_arguments": {"style": [HOSTILE, {"deep": HOSTILE, HOSTILE: 1}]}}
    assert rendered(clip().expand_kwargs(rows), {"rows": [row]}).extra_arguments == row["extra_arguments"]


def test_a_row_is_kept_to_the_letter_in_native_mode_too(dag: DAG, rows: Any) -> None:
    dag.render_template_as_native_obj = True
    row = {"prompt": "['a', 'b']\n", "duration": "5", "seed": "007"}
    one = rendered(clip(negative_prompt="5").expand_kwargs(rows), {"rows": [row]})
    assert {name: getattr(one, name) for name in row} == row
    assert one.negative_prompt == 5  # the author's, although Python has one object for both


@pytest.mark.parametrize("index", [0, 1])
def test_of_the_rows_in_a_list_those_of_the_dag_file_are_templates(dag: DAG, rows: Any, index: int) -> None:
    mapped = clip().expand_kwargs([rows, {"prompt": "on {{ ds }}", "negative_prompt": HOSTILE}])
    one = rendered(mapped, {"rows": {"prompt": HOSTILE}}, map_index=index)
    assert (one.prompt, one.negative_prompt) == [(HOSTILE, "ugly, bad, terrible"), ("on 2026-10-01", CANARY)][index]


@pytest.mark.parametrize(("row", "prompt"), [({"prompt": HOSTILE}, HOSTILE), ({"seed": 1}, "on 2026-10-01")], ids=str)
def test_a_row_that_overrides_the_partial_is_not_rendered(dag: DAG, rows: Any, row: Any, prompt: str) -> None:
    mapped = clip(prompt="on {{ ds }}").expand_kwargs(rows, strict=False)
    assert rendered(mapped, {"rows": [row]}).prompt == prompt


@pytest.mark.parametrize(
    "derive",
    [
        lambda rows: rows.map(lambda row: {"prompt": row["prompt"] + "!"}),
        lambda rows: rows.zip(rows).map(lambda pair: {"prompt": pair[1]["prompt"] + "!"}),
        lambda rows: rows.concat(rows).map(lambda row: {"prompt": row["prompt"] + "!"}),
    ],
    ids=["map", "zip", "concat"],
)
def test_rows_that_went_through_a_function_are_not_rendered(dag: DAG, rows: Any, derive: Any) -> None:
    one = rendered(clip().expand_kwargs(derive(rows)), {"rows": [{"prompt": HOSTILE}]})
    assert one.prompt == HOSTILE + "!"


# --- .expand


@NATIVE
@pytest.mark.parametrize("derive", [lambda given: given, lambda given: given.map(lambda text: text + "")], ids=[1, 2])
def test_a_value_of_expand_that_came_of_data_is_not_rendered(dag: DAG, rows: Any, native: bool, derive: Any) -> None:
    dag.render_template_as_native_obj = native
    mapped = clip(negative_prompt="5", resolution="{{ ds }}").expand(prompt=derive(rows), seed=["5", "{{ ds }}"])
    one = rendered(mapped, {"rows": [HOSTILE]}, map_index=1)
    assert (one.prompt, one.resolution) == (HOSTILE, "2026-10-01")
    assert str(one.seed) == "2026-10-01"
    assert one.negative_prompt == (5 if native else "5")


def test_a_pair_of_zip_and_an_item_of_a_dict_are_not_rendered(dag: DAG, rows: Any) -> None:
    zipped = rendered(decorated.expand(subject=rows.zip(rows)), {"rows": [HOSTILE]})
    assert zipped.op_kwargs == {"subject": (HOSTILE, HOSTILE)}
    item = rendered(decorated.override(task_id="item").expand(subject=rows), {"rows": {"title": HOSTILE}})
    assert item.op_kwargs == {"subject": ("title", HOSTILE)}


def test_literals_of_expand_are_templates_as_ever(dag: DAG, rows: Any) -> None:
    assert rendered(clip().expand(prompt=["on {{ ds }}", HOSTILE]), map_index=1).prompt == CANARY
    of_a_dict = decorated.override(task_id="of_a_dict").expand(subject={"a": HOSTILE})
    assert rendered(of_a_dict).op_kwargs == {"subject": ("a", CANARY)}
    of_outputs = PikaTextToVideoOperator.partial(task_id="of_outputs").expand(prompt=["{{ ds }}", rows])
    assert rendered(of_outputs, {"rows": HOSTILE}, map_index=1).prompt == HOSTILE


def test_a_literal_is_a_template_beside_a_hostile_value_too(dag: DAG, rows: Any) -> None:
    mapped = clip(extra_arguments={"of": [rows, "{{ ds }}"]}).expand(prompt=rows, negative_prompt=["{{ ds }}"])
    one = rendered(mapped, {"rows": [HOSTILE]})
    assert (one.prompt, one.negative_prompt) == (HOSTILE, "2026-10-01")
    assert one.extra_arguments == {"of": [[HOSTILE], "2026-10-01"]}
    of_a_dict = decorated.override(task_id="of_a_dict").expand(subject=rows, season={"a": "{{ ds }}"})
    assert rendered(of_a_dict, {"rows": [HOSTILE]}).op_kwargs == {"subject": HOSTILE, "season": ("a", "2026-10-01")}


# --- the decorator


@pytest.mark.parametrize(
    "mapping",
    [
        lambda rows: decorated.partial(season="{{ ds }}").expand_kwargs(rows.map(lambda text: {"subject": text + ""})),
        lambda rows: decorated.partial(season="{{ ds }}").expand(subject=rows),
        lambda rows: decorated.expand(subject=rows, season=["{{ ds }}"]),
        lambda rows: decorated.partial(subject=1, season="{{ ds }}").expand_kwargs(
            rows.map(lambda text: {"subject": text + ""}), strict=False
        ),
    ],
    ids=["expand_kwargs", "expand", "expand with literals", "overriding"],
)
@NATIVE
def test_a_mapped_argument_of_a_function_is_not_rendered(dag: DAG, rows: Any, mapping: Any, native: bool) -> None:
    dag.render_template_as_native_obj = native
    one = rendered(mapping(rows), {"rows": [HOSTILE]})
    assert one.op_kwargs["subject"] == HOSTILE
    assert str(one.op_kwargs["season"]) == "2026-10-01"
    assert str(one.negative_prompt) == "2026-10-01"
    assert one.execute.__func__  # it is a task like any other


def test_nothing_inside_of_a_mapped_argument_of_a_function_is_rendered(dag: DAG, rows: Any) -> None:
    row = {"subject": {"names": [HOSTILE, (1, HOSTILE)][:1]}, "other": [[HOSTILE]]}
    one = rendered(decorated.expand_kwargs(rows), {"rows": [row]})
    assert one.op_kwargs == row


def test_literals_of_a_function_are_templates_as_ever(dag: DAG, rows: Any) -> None:
    called = decorated("{{ ds }}", season=["{{ ds }}", {"of": rows}])
    one = rendered(called, {"rows": HOSTILE})
    assert one.op_args == ("2026-10-01",)
    assert one.op_kwargs == {"season": ["2026-10-01", {"of": HOSTILE}]}
    mapped = decorated.override(task_id="many").expand_kwargs([{"subject": "{{ ds }}", "season": HOSTILE}])
    assert rendered(mapped).op_kwargs == {"subject": "2026-10-01", "season": CANARY}


def test_a_default_of_the_dag_for_an_argument_of_a_function_is_a_template(rows: Any) -> None:
    with DAG("defaults", default_args={"season": "{{ ds }}"}):
        of_rows = BaseOperator(task_id="rows").output
        mapped = decorated.expand(subject=of_rows)
    assert rendered(mapped, {"rows": [HOSTILE]}).op_kwargs == {"subject": HOSTILE, "season": "2026-10-01"}


# --- a mapped task group


@pytest.mark.parametrize("by_rows", [False, True], ids=["expand", "expand_kwargs"])
def test_an_argument_of_a_mapped_task_group_is_not_rendered(dag: DAG, rows: Any, by_rows: bool) -> None:
    inside: list[Any] = []

    @task_group
    def group(prompt: Any, season: Any) -> None:
        inside.append(PikaTextToVideoOperator(task_id="clip", prompt=prompt, negative_prompt=season))
        inside.append(decorated.override(task_id="of_function")(prompt, season=[season]))

    given = {"rows": [{"prompt": HOSTILE}]}
    if by_rows:
        group.partial(season="{{ ds }}").expand_kwargs(rows)
    else:
        group.partial(season="{{ ds }}").expand(prompt=rows.map(lambda row: row["prompt"]))
    operator, of_function = (rendered(each, given) for each in inside)
    assert (operator.prompt, operator.negative_prompt) == (HOSTILE, "2026-10-01")
    assert (of_function.op_args, of_function.op_kwargs) == ((HOSTILE,), {"season": ["2026-10-01"]})


# --- without mapping


@NATIVE
@pytest.mark.parametrize(
    ("prompt", "more"),
    [
        ("{{ ti.xcom_pull('rows') }}", {}),
        ("{{ params.x }}", {"params": {"x": HOSTILE}}),
        ("{{ dag_run.conf.x }}", {"conf": {"x": HOSTILE}}),
        (None, {}),
    ],
    ids=["xcom_pull", "params", "conf", "output"],
)
def test_what_a_template_or_an_output_brings_is_not_rendered(
    dag: DAG, rows: Any, prompt: Any, more: Any, native: bool
) -> None:
    dag.render_template_as_native_obj = native
    one = PikaTextToVideoOperator(task_id="clip", prompt=rows if prompt is None else prompt)
    assert rendered(one, {"rows": HOSTILE}, **more).prompt == HOSTILE


# --- the other operators


def test_a_batch_renders_its_own_inputs_and_no_output(dag: DAG, rows: Any) -> None:
    inputs = [rows, {"prompt": "{{ ds }}", "negative_prompt": rows}, "{{ ti.xcom_pull('rows') }}"]
    one = rendered(PikaTextToVideoBatchOperator(task_id="b", inputs=inputs, defaults=rows), {"rows": HOSTILE})
    assert one.inputs == [HOSTILE, {"prompt": "2026-10-01", "negative_prompt": HOSTILE}, HOSTILE]
    assert one.defaults == HOSTILE
    whole = PikaTextToVideoBatchOperator(task_id="whole", inputs=rows, defaults={"negative_prompt": "{{ ds }}"})
    assert rendered(whole, {"rows": [{"prompt": HOSTILE}]}).inputs == [{"prompt": HOSTILE}]


@pytest.mark.parametrize(
    ("operator", "fields"),
    [
        (PikaTextToVideoOperator, PikaTextToVideoOperator.template_fields),
        (PikaTextToVideoBatchOperator, PikaTextToVideoBatchOperator.template_fields),
        (PikaVideoSensor, PikaVideoSensor.template_fields),
        (PikaCancelOperator, PikaCancelOperator.template_fields),
        (PikaVideoToObjectStorageOperator, PikaVideoToObjectStorageOperator.template_fields),
        (PikaBatchToObjectStorageOperator, PikaBatchToObjectStorageOperator.template_fields),
    ],
)
def test_no_field_of_any_operator_is_rendered_in_a_row(dag: DAG, rows: Any, operator: Any, fields: Any) -> None:
    row = {field: f"{HOSTILE} {field}" for field in fields}
    one = rendered(operator.partial(task_id="one").expand_kwargs(rows), {"rows": [row]})
    assert {field: getattr(one, field) for field in fields} == row


def test_a_path_of_the_authors_may_use_the_video_of_a_row(dag: DAG, rows: Any) -> None:
    mapped = PikaVideoToObjectStorageOperator.partial(
        task_id="save", path="/clips/{{ ds }}/{{ task.video.request_id }}.mp4"
    ).expand_kwargs(rows)
    assert rendered(mapped, {"rows": [{"video": {"request_id": "abc"}}]}).path == "/clips/2026-10-01/abc.mp4"


@pytest.mark.parametrize("made", [ObjectStoragePath, Path])
@pytest.mark.parametrize(
    "video", [{"request_id": "abc"}, {"request_id": "abc", "said": "{{ ds }}"}, Path("/data")], ids=str
)
def test_a_path_object_of_the_authors_is_a_template_beside_any_data(dag: DAG, rows: Any, made: Any, video: Any) -> None:
    path = made("/clips") / "{{ ds }}" / "fox.mp4"
    mapped = PikaVideoToObjectStorageOperator.partial(task_id="save", path=path).expand(video=rows)
    assert rendered(mapped, {"rows": [str(video) if isinstance(video, Path) else video]}).path == (
        "/clips/2026-10-01/fox.mp4"
    )
    batch = PikaTextToVideoBatchOperator.partial(task_id="batch", manifest_path=path).expand(inputs=[["x"]])
    assert rendered(batch).manifest_path == "/clips/2026-10-01/fox.mp4"


def test_a_path_object_of_a_batch_is_a_template(dag: DAG) -> None:
    path = ObjectStoragePath("s3://conn@clips") / "{{ ds }}.jsonl"
    batch = PikaTextToVideoBatchOperator(task_id="batch", inputs=["x"], manifest_path=path)
    assert rendered(batch).manifest_path == "s3://conn@clips/2026-10-01.jsonl"


# --- subclasses


class Trailer(PikaTextToVideoOperator):
    """A user's own, which writes the prompt."""

    def __init__(self, *, title: Any = "", negative_prompt: Any = "rain on {{ ds }}", **kwargs: Any) -> None:
        super().__init__(prompt=f"A trailer of {title}, {{{{ ds }}}}", negative_prompt=negative_prompt, **kwargs)


@pytest.mark.parametrize("title", [HOSTILE, "{", "{% raw %}", ["a", {"b": HOSTILE}]], ids=str)
@pytest.mark.parametrize("by_rows", [False, True], ids=["expand", "expand_kwargs"])
def test_what_a_subclass_makes_of_hostile_data_is_not_rendered(dag: DAG, rows: Any, by_rows: bool, title: Any) -> None:
    partial = Trailer.partial(task_id="trailer")
    mapped = partial.expand_kwargs(rows) if by_rows else partial.expand(title=rows)
    one = rendered(mapped, {"rows": [{"title": title} if by_rows else title]})
    assert one.prompt == f"A trailer of {title}, {{{{ ds }}}}"
    assert one.negative_prompt == "rain on 2026-10-01"  # its own default
    assert one.endpoint == "2026-10-01"  # the Dag's


def test_what_a_subclass_makes_of_other_data_is_a_template_as_ever(dag: DAG, rows: Any) -> None:
    mapped = Trailer.partial(task_id="trailer").expand_kwargs(rows)
    row = {"title": "Alien", "seed": 1, "extra_arguments": {"a": [None, True, 0.5]}}
    assert rendered(mapped, {"rows": [row]}).prompt == "A trailer of Alien, 2026-10-01"


def test_a_dag_with_delimiters_of_its_own_renders_no_data_either(rows: Any) -> None:
    with DAG("other", jinja_environment_kwargs={"variable_start_string": "<<", "variable_end_string": ">>"}):
        of_rows = BaseOperator(task_id="rows").output
        mapped = Trailer.partial(task_id="trailer").expand_kwargs(of_rows)
    hostile = "<< conn.canary.password >>"
    one = rendered(mapped, {"rows": [{"title": hostile, "negative_prompt": hostile}]})
    assert (one.prompt, one.negative_prompt) == (f"A trailer of {hostile}, {{{{ ds }}}}", hostile)


# --- the log


@pytest.mark.parametrize(
    ("mapping", "names"),
    [
        (lambda rows: clip().expand_kwargs(rows), ["prompt"]),
        (lambda rows: clip(extra_arguments={"a": [HOSTILE]}).expand_kwargs(rows), ["prompt"]),
        (lambda rows: decorated.expand_kwargs(rows.map(lambda row: {"subject": row["prompt"]})), ["subject"]),
        (lambda rows: PikaTextToVideoOperator(task_id="clip", prompt=rows), ["prompt"]),
        (lambda rows: clip().expand(prompt=["{{ ds }}"]), []),
    ],
    ids=["row", "beside a template", "argument", "output", "literal"],
)
def test_the_log_names_what_looks_like_a_template_and_is_none(
    dag: DAG, rows: Any, mapping: Any, names: list[str], caplog: Any, capsys: Any
) -> None:
    caplog.set_level(logging.WARNING)
    rendered(mapping(rows), {"rows": [{"prompt": f"a {HOSTILE}"}]})
    log = [line for line in (capsys.readouterr().out + caplog.text).splitlines() if "is used as it is" in line]
    assert len(log) == len(names)
    assert all(name in line and ".partial(" in line for name, line in zip(names, log, strict=True))
    assert CANARY not in "".join(log)


def test_a_task_decorated_by_airflow_shows_what_the_rule_is_for(dag: DAG, rows: Any) -> None:
    """Airflow's own behaviour, on both versions: without it the rule could go."""

    @task
    def plain(x: str) -> None: ...

    assert rendered(plain.expand_kwargs(rows), {"rows": [{"x": HOSTILE}]}).op_kwargs == {"x": CANARY}
