"""What a template renders to nothing is refused before anything is sent; what its author wrote is not."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.execution_time.lazy_sequence import LazyXComSequence

from airflow_provider_pika.batch.inputs import batch_inputs_of
from airflow_provider_pika.decorators.pika import pika_text_to_video_task
from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from airflow_provider_pika.operators.cancel import PikaCancelOperator
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator
from tests.support.airflow import StateStore, context
from tests.support.rendering import rendered

NATIVE = pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
PULLED = "{{ ti.xcom_pull('writer') }}"
VIDEO = {"url": "https://v3b.fal.media/files/b/x/clip.mp4", "request_id": "r-1", "file_name": None}


def shown(task: Any, *, native: bool = False, dag: dict[str, Any] | None = None, **more: Any) -> Any:
    """Render a task whose writer returned nothing."""
    with DAG("nothing", render_template_as_native_obj=native, **(dag or {})) as made:
        made.add_task(task() if callable(task) else task)
    return rendered(made.tasks[0], {"writer": None, "rows": [None]}, **more)


def clip(**arguments: Any) -> Any:
    return PikaTextToVideoOperator(task_id="clip", **{"prompt": "a fox", **arguments})


def refusal(task: Any) -> InvalidInput:
    """Execute a task, and give what it was refused with; there is no connection, and nothing to talk to.

    :param task: or what renders it: a mapped task is made with its values only then.
    """
    with pytest.raises(AirflowFailException) as raised:
        (task() if inspect.isfunction(task) else task).execute(context(task_state_store=StateStore()))
    assert isinstance(raised.value.__cause__, InvalidInput)
    return raised.value.__cause__


# --- expressions


@NATIVE
@pytest.mark.parametrize(
    "prompt",
    [
        PULLED,
        f"  {PULLED}\n",
        f"the morning of {PULLED}",
        "{{ ti.xcom_pull('writer') | trim }}",
        "{{ ti.xcom_pull('writer') | upper }}",
        "{{ ti.xcom_pull('writer') | string }}",
        "{{ ti.xcom_pull('writer') | replace('a', 'b') }}",
        "{{ 'a fox and ' ~ ti.xcom_pull('writer') }}",
        "{{ 'a fox and %s' % ti.xcom_pull('writer') }}",
        "{{ '%s and %s' % ('a fox', ti.xcom_pull('writer')) }}",
        "{{ 'a fox and %s' | format(ti.xcom_pull('writer')) }}",
        "{{ 'a fox and {}'.format(ti.xcom_pull('writer')) }}",
        "{{ 'a fox and {who}'.format(who=ti.xcom_pull('writer')) }}",
        "{{ ['a fox', ti.xcom_pull('writer')] | join(' and ') }}",
        "{{ ti.xcom_pull('rows') | map('default', none) | join(' and ') }}",
        "{{ ' and '.join(['a fox', ti.xcom_pull('writer')]) if 0 else ti.xcom_pull('rows') }}",
        "{{ 'a fox and {}'.format(*ti.xcom_pull('rows')) }}",
        "{{ 'a fox and {who}'.format(**{'who': ti.xcom_pull('writer')}) }}",
        "{{ 'a fox and {who:>5}'.format(**dict(who=none)) }}",
        "{{ 'a fox and %(who)s' % {'who': ti.xcom_pull('writer')} }}",
        "{{ 'a fox and %(who).1f' % {'who': row.prompt} }}",
        "{{ 'a fox and %s' | format(*ti.xcom_pull('rows')) }}",
        "{{ 'a fox and %(who)s' | format(**{'who': none}) }}",
        "{{ [{'name': 'a fox'}, {'name': none}] | join(' and ', attribute='name') }}",
        "{{ [{'name': 'a fox'}, {'name': none}] | join(' and ', 'name') }}",
        "{{ [{'name': 'a fox'}, {}] | join(' and ', attribute='name') }}",
        "{{ ['a fox', none] | map('upper') | join(' and ') }}",
        "{% set who = 'a fox and ' ~ ti.xcom_pull('writer') %}{{ who }}",
        "{% for who in ['a fox', none] %}{{ who }} {% endfor %}",
        "{% filter upper %}a fox and {{ none }}{% endfilter %}",
        "{% macro who() %}{{ none }}{% endmacro %}a fox and {{ who() }}",
        "{{ params.typo }}",
        "a fox and {{ params.typo }}",
        "a fox and {{ typo }}",
        "{{ typo.deeper }}",
        "{{ ti.xcom_pull('writer').prompt }}",
        "{{ ti.xcom_pull('writer')['prompt'] }}",
        "{{ ti.xcom_pull('writer') | default('a fox') }}",  # which is for what is undefined
        "{{ row.prompt }}",
    ],
)
def test_an_expression_that_is_nothing_is_refused(prompt: str, native: bool) -> None:
    error = refusal(shown(clip(prompt=prompt), native=native, row={"prompt": float("nan")}))
    assert error.message.startswith("prompt has nothing for ")
    assert "or 'a text'" in error.message


@NATIVE
@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("None", "None"),
        ("{{ 'None' }}", "None"),
        ("None of them", "None of them"),
        ("a fox{{ ti.xcom_pull('writer') or '' }}", "a fox"),
        ("a {{ ti.xcom_pull('writer') | default('fox', true) }}", "a fox"),
        ("a {{ typo | default('fox') }}", "a fox"),
        ("a {{ 'red ' if params.red }}fox", "a fox"),
        ("a {{ ('red ' if params.red) ~ 'fox' }}", "a fox"),
        ("a {{ ('red' if params.red) | default('grey') }} fox", "a grey fox"),
        ("{% set hue = ('red' if params.red) %}a {{ hue if hue is defined else 'grey' }} fox", "a grey fox"),
        ("{% set hue = ('red ' if params.red) %}a {{ hue }}fox", "a fox"),
        ("a {{ ('red ' if params.red) | upper }}fox", "a fox"),
        ("{% if ti.xcom_pull('writer') %}{{ none }}{% endif %}a fox", "a fox"),
        ("a {{ 'fox' if ti.xcom_pull('writer') is none else 'cat' }}", "a fox"),
        ("a {{ '{who}'.format(**{'who': 'fox', 'hue': none}) }}", "a fox"),
        ("a {{ '%(who)s' % {'who': 'fox', 'hue': none} }}", "a fox"),
        ("a {{ '{}'.format(*['fox', none]) }}", "a fox"),
        ("a {{ [{'who': 'fox', 'hue': none}] | join(', ', attribute='who') }}", "a fox"),
        ("a {{ [{'who': 'fox'}, {'who': 'cat'}] | join(' or ', 'who') }}", "a fox or cat"),
        ("a {{ ['fox', 'cat'] | map('lower') | join(' or ') }}", "a fox or cat"),
        ("a {{ ['fox', none] | map('default', 'cat', true) | join(' or ') }}", "a fox or cat"),
        ("a fox of {{ '%s' % {'hue': none} }}", "a fox of {'hue': None}"),
        ("a fox in {{ 7 % 4 }} seconds", "a fox in 3 seconds"),
        ("a fox in {{ 0 }} {{ false }} seconds", "a fox in 0 False seconds"),
        ("{{ 'a fox' }}{{ '' }}", "a fox"),
        ("{% raw %}{{ none }}{% endraw %} fox", "{{ none }} fox"),
    ],
)
def test_what_the_author_wrote_is_kept(prompt: str, expected: str, native: bool) -> None:
    task = shown(clip(prompt=prompt), native=native, params={"red": False})
    task._refuse_nothing()
    assert task.prompt == expected


def test_an_error_names_each_expression_and_no_other() -> None:
    prompt = (
        "{{ params.a }} and {{  params.b  }}, {{ params.a.c }}, {% raw %}{{ raw }}{% endraw %} {{ 'x' ~ params.b }}"
    )
    error = refusal(shown(clip(prompt=prompt), params={"a": {"c": None}, "b": None}))
    named = ["{{  params.b  }} (it is None)", "{{ params.a.c }} (it is None)", "{{ 'x' ~ params.b }} (it is None)"]
    assert all(f"prompt has nothing for {name}" in error.message for name in named)
    assert error.message.count("has nothing for") == len(named)


def test_an_error_is_bounded() -> None:
    error = refusal(shown(clip(prompt=" ".join(f"{{{{ a{number} }}}}" for number in range(100)))))
    assert "; and 95 more" in error.message
    assert len(error.message) < 2000


class Outputs(LazyXComSequence[Any]):
    """The outputs of a mapped task."""

    def __init__(self, *values: Any) -> None:
        self.values = values

    def __repr__(self) -> str:
        return f"outputs {self.values}"

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Any:
        return iter(self.values)


class NAType:
    """As pandas has it: it says neither yes nor no."""

    def __ne__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")


class NaTType:
    """As pandas has it: no time."""

    def __ne__(self, other: object) -> bool:
        return True


class Array(NAType):
    """As numpy has it: it compares one by one."""

    def __len__(self) -> int:
        return 2


Outputs.__module__ = LazyXComSequence.__module__


@NATIVE
@pytest.mark.parametrize(
    "value",
    [
        None,
        float("nan"),
        Decimal("NaN"),
        NaTType(),
        NAType(),
        jinja2.Undefined(),
        Outputs(),
        Outputs(None, None),
        [None],
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_kind_of_nothing_is_refused(value: Any, native: bool) -> None:
    refusal(shown(clip(prompt="a fox and {{ value }}"), native=native, value=value))
    refusal(shown(clip(prompt="{{ value }}"), native=native, value=value))


@pytest.mark.parametrize(
    "value",
    [0, 0.0, False, "", "nan", [], [0], {}, date(2026, 10, 1), Array(), Outputs("a", None)],
    ids=lambda value: type(value).__name__,
)
def test_no_other_value_is_nothing(value: Any) -> None:
    shown(clip(prompt="a fox and {{ value }}"), value=value)._refuse_nothing()


class Table:
    """As pandas has it: what is in it are the names of its columns."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __iter__(self) -> Any:
        return iter(["column"])

    def __str__(self) -> str:
        return self.name

    def join(self, other: Any) -> str:
        return f"{self.name} and {other.name}"


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("{{ '%s' % table }}", "foxes"),
        ("{{ '%s and %s' % (table, 1) }}", "foxes and 1"),
        ("{{ table.join(table) }}", "foxes and foxes"),
        ("{{ '%s' % few }}", "{1}"),
        ("{{ '%s' % raw }}", "b'x'"),
        ("{{ words | join(' and ') }}", "a fox and a cat"),
        ("{{ ' and '.join(words) }}", "a fox and a cat"),
    ],
)
def test_a_value_that_is_judged_stays_what_it_is(prompt: str, expected: str) -> None:
    words = (f"a {each}" for each in ("fox", "cat"))
    task = shown(clip(prompt=prompt), table=Table("foxes"), few={1}, raw=b"x", words=words)
    task._refuse_nothing()
    assert task.prompt == expected


# --- the Dag's own environment


def blank(value: Any) -> Any:
    return "" if value is None else value


@jinja2.pass_context
def blank_in_context(where: Any, value: Any) -> Any:
    assert "ti" in where
    return blank(value)


@jinja2.pass_environment
def blank_in_environment(where: Any, value: Any) -> Any:
    assert where.filters
    return blank(value)


@jinja2.pass_eval_context
def blank_in_eval_context(where: Any, value: Any) -> Any:
    assert not where.volatile
    return blank(value)


@NATIVE
@pytest.mark.parametrize("finalize", [blank, blank_in_context, blank_in_environment, blank_in_eval_context])
def test_a_finalize_of_the_dags_own_has_the_first_word(finalize: Any, native: bool) -> None:
    own = {"jinja_environment_kwargs": {"finalize": finalize}}
    task = shown(clip(prompt=f"a fox{PULLED}"), native=native, dag=own)
    task._refuse_nothing()
    assert task.prompt == "a fox"
    refusal(shown(clip(prompt="a fox{{ typo }}"), native=native, dag=own))


def test_a_finalize_of_the_dags_own_may_make_nothing_of_a_value() -> None:
    own = {"jinja_environment_kwargs": {"finalize": lambda value: None if value == "n/a" else value}}
    task = shown(clip(prompt="a fox and {{ 'n/a' }}"), dag=own)
    assert "n/a" not in task.prompt
    refusal(task)


@NATIVE
def test_a_dag_with_brackets_of_its_own_is_judged_alike(native: bool) -> None:
    own = {"jinja_environment_kwargs": {"variable_start_string": "<<", "variable_end_string": ">>"}}
    assert "for << none >>" in refusal(shown(clip(prompt="a fox and << none >>"), native=native, dag=own)).message


@NATIVE
def test_an_undefined_variable_is_refused_where_the_dag_lets_it_pass(native: bool) -> None:
    lax = {"template_undefined": jinja2.Undefined}
    assert "'typo' is undefined" in refusal(shown(clip(prompt="a {{ typo }}"), native=native, dag=lax)).message
    shown(clip(seed="{{ typo }}"), native=native, dag=lax)._refuse_nothing()


def test_the_dags_own_filters_and_macros_work() -> None:
    own = {"user_defined_filters": {"loud": str.upper}, "user_defined_macros": {"who": lambda: "fox"}}
    task = shown(clip(prompt="a {{ who() | loud }} on {{ day | ds }}"), dag=own, day=date(2026, 10, 1))
    assert task.prompt == "a FOX on 2026-10-01"


class PlainOperator(BaseOperator):
    """Of somebody else, in the same Dag."""

    template_fields = ("text",)

    def __init__(self, *, text: str, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.text = text


@pytest.mark.parametrize("ours_first", [True, False])
def test_a_cache_of_compiled_templates_is_left_to_the_other_tasks(tmp_path: Path, ours_first: bool) -> None:
    (tmp_path / "who.txt").write_text("a fox and {{ params.who }}")
    (tmp_path / "cache").mkdir()
    cached = {"bytecode_cache": jinja2.FileSystemBytecodeCache(str(tmp_path / "cache"))}
    own = {"jinja_environment_kwargs": cached, "template_searchpath": str(tmp_path), "params": {"who": None}}
    text = "{% include 'who.txt' %}"
    for ours in (ours_first, not ours_first):
        if ours:
            refusal(shown(clip(prompt=text), dag=own, params={"who": None}))
        else:
            other = shown(PlainOperator(task_id="other", text=text), dag=own, params={"who": None})
            assert other.text == "a fox and None"


# --- fields


def save(**arguments: Any) -> Any:
    return PikaVideoToObjectStorageOperator(task_id="save", **{"video": VIDEO, "path": "/tmp/x.mp4", **arguments})


def batch(**arguments: Any) -> Any:
    return PikaTextToVideoBatchOperator(task_id="batch", **{"inputs": ["a fox"], **arguments})


def sensor(**arguments: Any) -> Any:
    return PikaVideoSensor(task_id="video", **{"request_id": "r-1", **arguments})


@NATIVE
@pytest.mark.parametrize(
    ("make", "field", "value"),
    [
        *((clip, name, PULLED) for name in ("negative_prompt", "resolution", "duration", "endpoint", "pika_conn_id")),
        *((clip, name, PULLED) for name in ("extra_arguments", "on_clear", "on_unknown_submit")),
        (clip, "negative_prompt", f"rain, {PULLED}"),
        (clip, "extra_arguments", {"style": {"names": ["x", PULLED]}}),
        (clip, "seed", f"1{PULLED}"),
        (clip, "seed", "{{ typo }}"),
        (clip, "start_timeout", "{{ typo }}"),
        (batch, "inputs", PULLED),
        (batch, "inputs", "[{{ ti.xcom_pull('writer') }}, 'a fox']"),
        (batch, "inputs", '["{{ ti.xcom_pull(\'writer\') }}", "a fox"]'),
        (batch, "inputs", ["a fox", PULLED]),
        (batch, "inputs", ["a fox", {"prompt": "a fox", "negative_prompt": f"no {PULLED}"}]),
        (batch, "inputs", [{"prompt": "a fox", "extra_arguments": {"style": PULLED}}]),
        (batch, "defaults", {"negative_prompt": PULLED}),
        (batch, "defaults", PULLED),
        (batch, "inputs", [{"prompt": "a fox", "seed": f"1{PULLED}"}]),
        (batch, "inputs", [{"prompt": "a fox", "seed": "{{ typo }}"}]),
        (batch, "inputs", [{"prompt": "a fox", "seed": "{{ none }}", "negative_prompt": "{{ none }}"}]),
        (clip, "extra_arguments", {"style": {"seed": "{{ none }}"}}),
        (batch, "manifest_path", f"/tmp/{PULLED}.jsonl"),
        (batch, "manifest_path", PULLED),
        (batch, "save_to", f"/tmp/{PULLED}/{{index}}.mp4"),
        (batch, "save_to", PULLED),
        (batch, "endpoint", PULLED),
        (batch, "pika_conn_id", PULLED),
        (sensor, "request_id", PULLED),
        (sensor, "endpoint", PULLED),
        (sensor, "pika_conn_id", PULLED),
        (save, "path", f"/tmp/{PULLED}.mp4"),
        (save, "path", "/tmp/{{ task.video.file_name }}"),
        (save, "path", "/tmp/{{ task.video['file_name'] }}"),
        (save, "path", "/tmp/{{ task.video.nope }}.mp4"),
        (save, "video", PULLED),
        (save, "pika_conn_id", PULLED),
        (save, "conn_id", f"a{PULLED}"),
        (lambda **given: PikaCancelOperator(task_id="cancel", request_id="r-1", **given), "endpoint", PULLED),
        (lambda **given: PikaCancelOperator(task_id="cancel", **given), "request_id", f"r-{PULLED}"),
        (lambda **given: PikaCancelOperator(task_id="cancel", **given), "request_id", "{{ typo }}"),
    ],
)
def test_every_field_that_is_paid_for_or_names_something_is_judged(
    make: Any, field: str, value: Any, native: bool
) -> None:
    assert f"{field} has nothing for" in refusal(shown(make(**{field: value}), native=native)).message


@NATIVE
@pytest.mark.parametrize("value", [None, float("nan")], ids=str)
@pytest.mark.parametrize(
    ("make", "field"),
    [(clip, "seed"), (clip, "start_timeout"), (clip, "priority"), (batch, "priority"), (save, "conn_id")],
)
def test_an_optional_value_may_be_nothing(make: Any, field: str, value: Any, native: bool) -> None:
    task = shown(make(**{field: " {{ value }} "}), native=native, value=value)
    task._refuse_nothing()
    assert getattr(task, field) is None


@NATIVE
@pytest.mark.parametrize("value", [None, float("nan"), 7], ids=str)
@pytest.mark.parametrize("seed", ["{{ value }}", " {{ value }}\n"], ids=["bare", "spaced"])
def test_the_seed_of_a_batchs_item_may_be_nothing(value: Any, native: bool, seed: str) -> None:
    items = [{"prompt": "a fox", "seed": seed}, {"prompt": "a {{ 'cat' }}"}]
    task = shown(batch(inputs=items, defaults={"seed": seed}), native=native, value=value)
    task._refuse_nothing()
    expected = 7 if value == 7 else None
    assert [item.get("seed") for item in batch_inputs_of(task.inputs, task.defaults).arguments] == [expected, expected]
    assert task.inputs[1] == {"prompt": "a cat"}


@pytest.mark.parametrize(
    ("make", "field", "value"),
    [
        (clip, "extra_arguments", lambda none: {"aspect_ratio": none}),
        (clip, "extra_arguments", lambda none: {"style": {"names": ["x", none]}}),
        (batch, "inputs", lambda none: ["a fox", none]),
        (batch, "inputs", lambda none: [{"prompt": "a fox", "extra_arguments": {"aspect_ratio": none}}]),
        (batch, "defaults", lambda none: {"extra_arguments": {"aspect_ratio": none}}),
        (save, "video", lambda none: {**VIDEO, "request_id": none}),
    ],
)
def test_an_output_that_is_none_inside_of_a_field_is_refused(make: Any, field: str, value: Any) -> None:
    with DAG("outputs"):
        task = make(**{field: value(BaseOperator(task_id="writer").output)})
    message = refusal(rendered(task, {"writer": None})).message
    assert f"{field} has nothing for the output of writer (it is None)" in message
    rendered(task, {"writer": "wide"})._refuse_nothing()


def test_an_output_that_is_none_may_be_a_seed_or_a_whole_field() -> None:
    with DAG("outputs"):
        none: Any = BaseOperator(task_id="writer").output
        one = clip(seed=none, extra_arguments=none, start_timeout=none)
        many = batch(inputs=[{"prompt": "a fox", "seed": none}], defaults=none)
    one, many = (rendered(each, {"writer": None}) for each in (one, many))
    one._refuse_nothing()
    many._refuse_nothing()
    assert (one.seed, one.extra_arguments, many.inputs[0]["seed"], many.defaults) == (None, None, None, None)


@pytest.mark.parametrize(
    ("make", "field", "a_text"), [(clip, "prompt", True), (clip, "duration", False), (batch, "defaults", False)]
)
def test_a_text_is_advised_where_a_text_may_stand(make: Any, field: str, a_text: bool) -> None:
    assert ("or 'a text'" in refusal(shown(make(**{field: PULLED}))).message) is a_text


@NATIVE
def test_an_optional_value_may_be_left_out(native: bool) -> None:
    task = shown(clip(seed="{{ 5 if params.again }}"), native=native, params={"again": False})
    task._refuse_nothing()
    assert task.seed == ""


@NATIVE
def test_without_a_request_there_is_nothing_to_cancel(native: bool) -> None:
    with pytest.raises(AirflowSkipException):
        shown(PikaCancelOperator(task_id="cancel", request_id=PULLED), native=native).execute(context())


def test_a_file_that_fal_did_not_name_costs_no_clip() -> None:
    error = refusal(shown(save(path="/tmp/{{ task.video.file_name }}")))
    assert "No clip is lost" in str(error)
    task = shown(save(path="/tmp/{{ task.video.file_name or 'clip.mp4' }}"))
    task._refuse_nothing()
    assert task.path == "/tmp/clip.mp4"


# --- where a value comes from


def test_a_function_takes_what_its_arguments_render() -> None:
    def write(subject: Any) -> str:
        return f"a fox and {subject}"

    with DAG("function") as dag:
        pika_text_to_video_task(task_id="clip")(write)(PULLED)
        pika_text_to_video_task(task_id="other", negative_prompt=PULLED)(write)("x")
    first, other = (rendered(dag.get_task(name), {"writer": None}) for name in ("clip", "other"))
    first._refuse_nothing()
    assert first.op_args == ("None",)
    assert "negative_prompt has nothing for" in refusal(other).message


def test_what_a_function_returns_takes_the_place_of_a_template(monkeypatch: pytest.MonkeyPatch) -> None:
    def write() -> dict[str, str]:
        return {"prompt": "a fox", "negative_prompt": "rain"}

    with DAG("function") as dag:
        pika_text_to_video_task(task_id="clip", negative_prompt=PULLED)(write)()
    task = rendered(dag.get_task("clip"), {"writer": None})
    task._take(write())
    task._refuse_nothing()


@pytest.mark.parametrize("name", ["prompt", "negative_prompt", "resolution", "duration"])
def test_none_that_a_function_returns_is_refused(name: str) -> None:
    with DAG("function") as dag:
        pika_text_to_video_task(task_id="clip")(lambda: {"prompt": "a fox", name: None})()
    assert f"{name}=None is not allowed" in refusal(rendered(dag.get_task("clip"))).message


@NATIVE
@pytest.mark.parametrize("none", [None, float("nan")], ids=str)
@pytest.mark.parametrize("of_data", [True, False], ids=["data", "literal"])
def test_a_value_that_is_mapped_is_refused_where_it_is_none(none: Any, of_data: bool, native: bool) -> None:
    with DAG("mapped", render_template_as_native_obj=native):
        rows: Any = BaseOperator(task_id="rows").output if of_data else ["a fox", none]
        mapped = PikaTextToVideoOperator.partial(task_id="clip").expand(prompt=rows)
        others = PikaTextToVideoOperator.partial(task_id="other").expand(prompt=["a fox", PULLED])
    assert "prompt=" in refusal(lambda: rendered(mapped, {"rows": ["a fox", none]}, map_index=1)).message
    assert "prompt has nothing for" in refusal(rendered(others, {"writer": None}, map_index=1)).message


class Trailer(PikaTextToVideoOperator):
    """A user's own, with a field of its own."""

    template_fields: Sequence[str] = (*PikaTextToVideoOperator.template_fields, "title")

    def __init__(self, *, title: Any, **kwargs: Any) -> None:
        self.title = title
        super().__init__(**kwargs)

    def execute(self, context: Any) -> Any:
        self.prompt = self.prompt if self.title else "a trailer"
        return super().execute(context)


def test_a_users_own_field_may_be_nothing_and_a_value_that_was_replaced_is_not_judged() -> None:
    task = shown(Trailer(task_id="trailer", prompt=f"{PULLED}", title=PULLED))
    assert task.title == "None"
    assert "prompt has nothing for" in refusal(task).message
    task.prompt = "a trailer"
    task._refuse_nothing()


def test_a_task_that_is_resumed_needs_its_templates_no_more() -> None:
    task = shown(clip(prompt=f"{PULLED} {{{{ typo.deeper }}}}", wait_for_completion=True))
    done = {"outcome": "done", "video": {**VIDEO, "endpoint": "fal-ai/pika/v2.5/text-to-video"}}
    video = task.execute_complete(context(dag_run=SimpleNamespace()), done)
    assert video["request_id"] == "r-1"
