"""From a batch's inputs to what is sent for each: all checked before the first one is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.fal.inputs import TextToVideoInput
from airflow_provider_pika.operators.inputs import extra_arguments_of

#: Wrong inputs that an error describes; of the others it gives the places.
_DESCRIBED = 20


def batch_inputs_of(inputs: Any, defaults: Any) -> list[dict[str, Any]]:
    """Give the endpoint's input for each item.

    :param inputs: prompts, or dicts of the endpoint's inputs and ``extra_arguments``; a list, or the JSON text of one.
    :param defaults: inputs that hold where an item has none of its own.
    :raises InvalidInput: naming all items that are wrong, by their place, from 0.
    """
    items = _list_of(inputs)
    common = _mapping("defaults", defaults or {})
    checked: list[dict[str, Any]] = []
    wrong: dict[int, str] = {}
    for place, item in enumerate(items):
        try:
            checked.append(_arguments(item, common))
        except InvalidInput as error:
            wrong[place] = error.message
    if wrong:
        raise InvalidInput(_in_words(wrong, len(items)))
    return checked


def check_known_batch(known: Mapping[str, Any]) -> None:
    """Refuse what is wrong already when the Dag is parsed; a list with templates in it is checked when the task runs.

    :raises InvalidInput: as :func:`batch_inputs_of`.
    """
    inputs = known.get("inputs")
    if isinstance(inputs, list | tuple) and "{{" not in str(inputs) and "{%" not in str(inputs):
        batch_inputs_of(inputs, known.get("defaults"))


def _arguments(item: Any, common: Mapping[str, Any]) -> dict[str, Any]:
    values = {**common, **({"prompt": item} if isinstance(item, str) else _mapping("an input", item))}
    extra = extra_arguments_of(values.pop("extra_arguments", None))
    return TextToVideoInput.checked(values).arguments() | extra


def _list_of(inputs: Any) -> Sequence[Any]:
    if isinstance(inputs, str):
        try:
            inputs = json.loads(inputs)
        except ValueError:
            inputs = None
    elif hasattr(inputs, "__iter__") and not isinstance(inputs, Mapping):
        inputs = list(inputs)  # what Airflow makes of a mapped task's output is lazy
    if not isinstance(inputs, list) or not inputs:
        raise InvalidInput("inputs is not allowed: it takes a list of prompts or of dicts, not an empty one.")
    return inputs


def _mapping(what: str, value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return value
    raise InvalidInput(f"{what} {value!r} is not allowed: it takes a prompt, or a dict of the endpoint's inputs.")


def _in_words(wrong: Mapping[int, str], total: int) -> str:
    described = [f"item {place}: {message}" for place, message in list(wrong.items())[:_DESCRIBED]]
    others = ", ".join(map(str, list(wrong)[_DESCRIBED:]))
    more = f" And so are the items {others}." if others else ""
    return f"{len(wrong)} of {total} inputs are wrong. {' '.join(described)}{more}"
