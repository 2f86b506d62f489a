"""What is a list of inputs, and what is only like one."""

from __future__ import annotations

import collections
import types
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk.definitions.xcom_arg import _ConcatResult, _MapResult
from airflow.sdk.execution_time.lazy_sequence import LazyXComSequence

from airflow_provider_pika.batch.inputs import batch_inputs_of
from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator


def prompts_of(inputs: Any) -> list[str]:
    return [arguments["prompt"] for arguments in batch_inputs_of(inputs, None).arguments]


class Outputs(LazyXComSequence[Any]):
    """The outputs of a mapped task, without an Airflow to ask for them."""

    def __init__(self, values: list[Any]) -> None:
        self._len, self._values = len(values), values

    def __getitem__(self, key: Any) -> Any:
        return self._values[key]


Outputs.__module__ = LazyXComSequence.__module__


@pytest.mark.parametrize(
    "inputs",
    [
        ["a fox", {"prompt": "an owl"}],
        ("a fox", {"prompt": "an owl"}),
        '["a fox", {"prompt": "an owl"}]',
        "['a fox', {'prompt': 'an owl'}]",
        Outputs(["a fox", {"prompt": "an owl"}]),
        _MapResult(["a", "an"], [lambda word: f"{word} {'fox' if word == 'a' else 'owl'}"]),
        _ConcatResult([Outputs(["a fox"]), ["an owl"]]),
        [collections.OrderedDict(prompt="a fox"), "an owl"],
    ],
    ids=lambda inputs: type(inputs).__name__,
)
def test_a_list_a_tuple_and_the_outputs_of_a_mapped_task_are_inputs(inputs: Any) -> None:
    assert prompts_of(inputs) == ["a fox", "an owl"]


class Columns:
    """As a table of any package: what it yields are its columns' names."""

    resolution = "a column"

    def __iter__(self) -> Iterator[str]:
        return iter(["prompt", "resolution"])

    def __len__(self) -> int:
        return 2

    def __getitem__(self, name: str) -> Any:
        return self

    def __bool__(self) -> bool:
        raise ValueError("The truth value of a DataFrame is ambiguous.")

    def __eq__(self, other: object) -> Any:
        return self

    __hash__ = None  # type: ignore[assignment]


def of_package(module: str, name: str) -> Any:
    """Return what is like a value of a package's class: its name and its module are."""
    return type(name, (Columns,), {"__module__": module})()


Pair = collections.namedtuple("Pair", ["prompt", "negative_prompt"])

NO_LISTS: dict[str, tuple[Any, str]] = {
    "pandas.DataFrame": (of_package("pandas.core.frame", "DataFrame"), 'df.to_dict("records")'),
    "polars.DataFrame": (of_package("polars.dataframe.frame", "DataFrame"), "df.to_dicts()"),
    "pyspark.DataFrame": (of_package("pyspark.sql.dataframe", "DataFrame"), "row.asDict()"),
    "pandas.Series": (of_package("pandas.core.series", "Series"), "series.tolist()"),
    "numpy.ndarray": (of_package("numpy", "ndarray"), "array.tolist()"),
    "pyarrow.Table": (of_package("pyarrow.lib", "Table"), "table.to_pylist()"),
    "dict": ({"prompt": "a fox", "negative_prompt": "ugly"}, "[inputs] for one input"),
    "dict_keys": ({"prompt": "a fox"}.keys(), "list(inputs)"),
    "dict_values": ({"prompt": "a fox"}.values(), "list(inputs)"),
    "set": ({"a fox", "an owl"}, "sorted(inputs)"),
    "frozenset": (frozenset({"a fox"}), "sorted(inputs)"),
    "generator": ((prompt for prompt in ["a fox"]), "list(inputs)"),
    "map": (map(str, ["a fox"]), "list(inputs)"),
    "collections.deque": (collections.deque(["a fox"]), "list(inputs)"),
    "range": (range(3), "list(inputs)"),
    "bytes": (b"a fox", "a list of texts"),
    "bytearray": (bytearray(b"a fox"), "list(inputs)"),
    "int": (5, "list(inputs)"),
    "NoneType": (None, "nothing was returned"),
    "types.SimpleNamespace": (types.SimpleNamespace(prompt="a fox"), "list(inputs)"),
}


@pytest.mark.parametrize(("kind", "inputs", "instead"), [(kind, *each) for kind, each in NO_LISTS.items()])
def test_anything_else_is_refused_by_its_type_with_what_to_write(kind: str, inputs: Any, instead: str) -> None:
    with pytest.raises(InvalidInput, match="takes a list or a tuple") as refused:
        batch_inputs_of(inputs, None)
    assert f"inputs of type {kind} is not allowed" in str(refused.value)
    assert instead in str(refused.value)
    with pytest.raises(AirflowFailException, match="is not allowed"):
        PikaTextToVideoBatchOperator(task_id="batch", inputs=inputs)


def test_a_tuple_with_names_is_a_row_and_no_list() -> None:
    with pytest.raises(InvalidInput, match="Pair is not allowed"):
        batch_inputs_of(Pair("a fox", "ugly"), None)


@pytest.mark.parametrize("text", ["a word", "None", '{"prompt": "a fox"}', "{'a fox', 'an owl'}", "b'a fox'", "null"])
def test_a_text_that_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not allowed"):
        batch_inputs_of(text, None)


@pytest.mark.parametrize("empty", [[], (), "[]", Outputs([])], ids=lambda empty: type(empty).__name__)
def test_a_list_without_items_is_refused(empty: Any) -> None:
    with pytest.raises(InvalidInput, match="inputs has no items"):
        batch_inputs_of(empty, None)


@pytest.mark.parametrize(
    "item", [of_package("pandas.core.frame", "DataFrame"), ["a fox"], b"a fox", None, 5, {1: "a fox"}, Pair("a", "b")]
)
def test_an_item_that_is_no_text_and_no_dict_is_named(item: Any) -> None:
    with pytest.raises(InvalidInput, match=r"1 of 2 inputs are wrong. item 1: an input .* is not allowed"):
        batch_inputs_of(["a fox", item], None)


@pytest.mark.parametrize("defaults", [of_package("pandas.core.frame", "DataFrame"), ["480p"], "480p", 5])
def test_defaults_that_are_no_dict_are_refused_and_never_a_raw_error(defaults: Any) -> None:
    with pytest.raises(InvalidInput, match=r"defaults .* is not allowed"):
        batch_inputs_of(["a fox"], defaults)


@pytest.mark.parametrize("defaults", [None, "", " ", {}, "{}"])
def test_defaults_may_be_empty(defaults: Any) -> None:
    assert prompts_of_defaults(defaults) == ["a fox"]


def prompts_of_defaults(defaults: Any) -> list[str]:
    return [arguments["prompt"] for arguments in batch_inputs_of(["a fox"], defaults).arguments]


def test_a_dict_with_templates_is_refused_when_the_dag_is_parsed() -> None:
    with pytest.raises(AirflowFailException, match="inputs of type dict is not allowed"):
        PikaTextToVideoBatchOperator(task_id="batch", inputs={"prompt": "{{ run_id }}"})  # type: ignore[arg-type]


HUNDRED = [f"prompt {n}" for n in range(100)]
MANY: list[Any] = [
    [*HUNDRED, "one more"],
    (*HUNDRED, "one more"),
    [*HUNDRED, "{{ run_id }}"],
    str([*HUNDRED, "one more"]),
]


@pytest.mark.parametrize("inputs", MANY, ids=["list", "tuple", "with a template", "text"])
def test_a_literal_list_over_a_hundred_without_a_manifest_is_refused_when_the_dag_is_parsed(inputs: Any) -> None:
    with pytest.raises(AirflowFailException, match="manifest_path=None is not allowed for 101 inputs"):
        PikaTextToVideoBatchOperator(task_id="batch", inputs=inputs)
    PikaTextToVideoBatchOperator(task_id="batch", inputs=inputs, manifest_path="s3://bucket/{{ run_id }}.jsonl")


def test_a_hundred_need_no_manifest_and_what_is_still_to_come_is_counted_later() -> None:
    PikaTextToVideoBatchOperator(task_id="batch", inputs=HUNDRED)
    PikaTextToVideoBatchOperator(task_id="batch", inputs="{{ params.prompts | tojson }}")


@pytest.mark.parametrize(("given", "name"), [("sku-1", "sku-1"), (4711, "4711"), ("ż ó.x", "ż ó.x"), (None, None)])
def test_an_item_may_have_a_name_which_is_not_sent(given: Any, name: str | None) -> None:
    asked = batch_inputs_of([{"prompt": "a fox", "name": given}, "an owl"], None)
    plain = batch_inputs_of(["a fox", "an owl"], None)
    assert asked.arguments == plain.arguments
    assert asked.names == [name, None]


@pytest.mark.parametrize(
    "name", ["", " ", "..", "../x", "a/b", "a\\b", "%2e%2e", "a\0b", "x\ny", "\ud83d", "x" * 256, True, 1.5, ["x"], {}]
)
def test_a_name_that_no_file_can_have_is_refused_before_anything_is_paid(name: Any) -> None:
    with pytest.raises(InvalidInput, match="item 1: name="):
        batch_inputs_of(["a fox", {"prompt": "an owl", "name": name}], None)
    with pytest.raises(AirflowFailException, match="item 1: name="):
        PikaTextToVideoBatchOperator(task_id="t", inputs=["a fox", {"prompt": "an owl", "name": name}])


def test_all_items_have_not_one_name() -> None:
    with pytest.raises(InvalidInput, match="name"):
        batch_inputs_of(["a fox", "an owl"], {"name": "x"})
