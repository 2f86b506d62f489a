"""From a batch's inputs to what is sent for each: all checked before the first one is sent."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_pika.batch.manifest import check_total
from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.fal.ids import is_base_name
from airflow_provider_pika.fal.inputs import python_number
from airflow_provider_pika.saving.clip_paths import ClipPaths
from airflow_provider_pika.strict_json import shown
from airflow_provider_pika.task.arguments import input_of, most_of
from airflow_provider_pika.task.templates import has_braces, holds_templates, known_now, read_text

#: Wrong inputs that an error describes; of the others it gives the places.
_DESCRIBED = 20

#: Above all seeds that are sent, for a clip whose seed is not known yet.
_SEEDS = 1 << 32

#: What to write for a value that is no list, by the name of its class.
_INSTEAD = {
    "DataFrame": 'its rows, df.to_dict("records")',
    "Series": "series.tolist()",
    "Index": "index.tolist()",
    "ndarray": "array.tolist()",
    "Table": "its rows, table.to_pylist()",
    "dict": "a list, [inputs] for one input or list(inputs.values()) for several",
    "str": "a list, [inputs], or JSON in the template ('{{ ... | tojson }}')",
    "bytes": "a list of texts",
    "NoneType": "a list: nothing was returned, or rendered",
    "set": "sorted(inputs), so that every attempt has the same order",
    "frozenset": "sorted(inputs), so that every attempt has the same order",
}

#: As ``_INSTEAD``, where the class of one package differs from others of its name.
_INSTEAD_IN = {
    "polars.DataFrame": "its rows, df.to_dicts()",
    "pyspark.DataFrame": "its rows, [row.asDict() for row in df.collect()]",
}


@dataclass(frozen=True)
class BatchInputs:
    """What is asked for, in the order of the items.

    :param arguments: the endpoint's input for each item.
    :param names: what each item is called: a user's own word, which is never sent.
    """

    arguments: list[dict[str, Any]] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)

    def of(self, index: int) -> tuple[dict[str, Any] | None, str | None]:
        """Return an item's input and its name; None for what is not known, of a list that cannot be used any more."""
        return (self.arguments[index], self.names[index]) if index < len(self.names) else (None, None)

    def label(self, index: int) -> str:
        """Return what a log line calls an item: its place, and its name if it has one."""
        _, name = self.of(index)
        return str(index) if name is None else f"{index} ({name})"


def batch_inputs_of(inputs: Any, defaults: Any) -> BatchInputs:
    """Return the endpoint's input for each item, and its name.

    :param inputs: prompts, or dicts of the endpoint's inputs, ``extra_arguments`` and ``name``: a list, a tuple, the
        outputs of a mapped task, or a text that has a list as JSON.
    :param defaults: inputs that hold where an item has none of its own.
    :raises InvalidInput: naming all items that are wrong, by their place, from 0.
    """
    items = _list_of(inputs)
    if len(items) > (most := most_of("max_batch_size")):
        raise InvalidInput(
            f"inputs has {len(items)} items, and {most} are allowed. To allow more, set max_batch_size in the section "
            "[pika] of Airflow's configuration."
        )
    longest = most_of("max_prompt_length")  # once: it costs as much as all other checks of an item
    common = {} if defaults is None or _is_empty_text(defaults) else _mapping("defaults", defaults)
    checked = BatchInputs()
    wrong: dict[int, str] = {}
    for place, item in enumerate(items):
        try:
            own = {"prompt": item} if isinstance(item, str) else dict(_mapping("an input", item))
            checked.names.append(_name_of(own.pop("name", None)))
            checked.arguments.append(input_of({**common, **own}, longest))
        except InvalidInput as error:
            wrong[place] = error.message
    if wrong:
        raise InvalidInput(_in_words(wrong, len(items)))
    return checked


def check_paths(save_to: str, asked: BatchInputs, manifest_path: str | None) -> None:
    """Refuse a path in which two clips would meet, or that no store can hold.

    :param save_to: the clips' path, with fields for each.
    :raises InvalidInput: as :class:`ClipPaths`.
    """
    paths = ClipPaths(save_to, "save_to", consequence=None)
    if manifest_path:
        paths.reserve(manifest_path)
    for index, (arguments, name) in enumerate(zip(asked.arguments, asked.names, strict=True)):
        seed = arguments.get("seed")
        line = {"index": index, "name": name, "seed": _SEEDS + index if seed is None else seed}
        paths.of({**line, "request_id": str(uuid.UUID(int=index))})


def check_known_batch(
    inputs: Any, defaults: Any, manifest_path: Any, is_template: Callable[[str], bool] = has_braces
) -> BatchInputs | None:
    """Refuse what is wrong already when the Dag is parsed; what holds templates is checked when the task runs.

    :param is_template: tells a template of the Dag (``templates.template_test_of``).
    :return: what is asked for, if that is known.
    :raises InvalidInput: as :func:`batch_inputs_of`, and for a list that is too long to go without a manifest.
    """
    if known_now({"inputs": inputs}, is_template):
        check_total(len(_list_of(inputs)), manifest_path)
    if holds_templates([inputs, defaults], is_template):
        return None
    return batch_inputs_of(inputs, defaults)


def _name_of(value: Any) -> str | None:
    """Return what an item is called, so that a file can be called so, too: a text, or an integer.

    :raises InvalidInput: no folder can hold a file of that name, or it leads out of it.
    """
    if value is None:
        return None
    try:
        name = str.__str__(value) if isinstance(value, str) else python_number(value)
    except (ValueError, ArithmeticError):
        name = None
    name = str(name) if isinstance(name, int) and not isinstance(name, bool) else name
    if not is_base_name(name):
        raise InvalidInput(
            f"name={shown(value)[:200]} is not allowed: it takes a text that a file can be called by, without / or \\, "
            "255 bytes at most."
        )
    return name


def _list_of(inputs: Any) -> list[Any]:
    """Return the items of a list, and of nothing that is only like one: a table's items are the names of its columns.

    :raises InvalidInput: naming the type, and what to write.
    """
    read = read_text(inputs)
    if not (isinstance(read, list) or type(read) is tuple or _is_of_mapped_task(read)):
        what = f"inputs={shown(read)}" if isinstance(read, str) else f"inputs of type {_kind_of(read)}"
        raise InvalidInput(
            f"{what} is not allowed: it takes a list or a tuple of prompts or dicts, the outputs of a mapped task, or "
            f"a template that renders a JSON list. Write {_instead_of(read)}."
        )
    if not (items := list(read)):
        raise InvalidInput("inputs has no items: it takes a list with at least one prompt or dict.")
    return items


def _is_of_mapped_task(value: Any) -> bool:
    """Return whether it is one of Airflow's own sequences: a mapped task's outputs, or what ``.map`` makes of them."""
    return isinstance(value, Sequence) and type(value).__module__.startswith("airflow.sdk.")


def _kind_of(value: Any) -> str:
    """Return the class's name after the package that has it: ``pandas.DataFrame``."""
    package = type(value).__module__.partition(".")[0]
    name = type(value).__qualname__
    return name if package == "builtins" else f"{package}.{name}"


def _instead_of(value: Any) -> str:
    return _INSTEAD_IN.get(_kind_of(value)) or _INSTEAD.get(type(value).__name__, "list(inputs)")


def _mapping(what: str, value: Any) -> Mapping[str, Any]:
    read = read_text(value)
    if isinstance(read, Mapping) and all(isinstance(name, str) for name in read):
        return read
    given = f"{shown(value)[:200]} of type {_kind_of(value)}"
    raise InvalidInput(f"{what} {given} is not allowed: it takes a dict of the endpoint's inputs.")


def _is_empty_text(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()


def _in_words(wrong: Mapping[int, str], total: int) -> str:
    described = [f"item {place}: {message}" for place, message in list(wrong.items())[:_DESCRIBED]]
    others = ", ".join(map(str, list(wrong)[_DESCRIBED:]))
    more = f" And so are the items {others}." if others else ""
    return f"{len(wrong)} of {total} inputs are wrong. {' '.join(described)}{more}"
