"""From a batch's inputs to what is sent for each: all checked before the first one is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.fal.inputs import TextToVideoInput
from airflow_provider_pika.operators.inputs import check_lengths, extra_arguments_of, most_of
from airflow_provider_pika.templates import holds_templates, read_text

#: Wrong inputs that an error describes; of the others it gives the places.
_DESCRIBED = 20


def batch_inputs_of(inputs: Any, defaults: Any) -> list[dict[str, Any]]:
    """Give the endpoint's input for each item.

    :param inputs: prompts, or dicts of the endpoint's inputs and ``extra_arguments``; a list, or a text that has one.
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
    common = _mapping("defaults", defaults or {})
    checked: list[dict[str, Any]] = []
    wrong: dict[int, str] = {}
    for place, item in enumerate(items):
        try:
            checked.append(_arguments(item, common, longest))
        except InvalidInput as error:
            wrong[place] = error.message
    if wrong:
        raise InvalidInput(_in_words(wrong, len(items)))
    return checked


def check_known_batch(inputs: Any, defaults: Any) -> None:
    """Refuse what is wrong already when the Dag is parsed; what holds templates is checked when the task runs.

    :raises InvalidInput: as :func:`batch_inputs_of`.
    """
    if not holds_templates([inputs, defaults]):
        batch_inputs_of(inputs, defaults)


def _arguments(item: Any, common: Mapping[str, Any], longest: int) -> dict[str, Any]:
    values = {**common, **({"prompt": item} if isinstance(item, str) else _mapping("an input", item))}
    extra = extra_arguments_of(values.pop("extra_arguments", None))
    arguments = TextToVideoInput.checked(values).arguments()
    check_lengths(arguments, longest)
    return arguments | extra


def _list_of(inputs: Any) -> list[Any]:
    read = read_text(inputs)
    if hasattr(read, "__iter__") and not isinstance(read, str | Mapping):
        read = list(read)  # what Airflow makes of a mapped task's output is lazy
    if not isinstance(read, list) or not read:
        raise InvalidInput(
            f"inputs={str(inputs)[:200]!r} is not allowed: it takes a list of prompts or of dicts with at least one, "
            "another task's output, or a template that renders one ('{{ ... | tojson }}')."
        )
    return read


def _mapping(what: str, value: Any) -> Mapping[str, Any]:
    read = read_text(value)
    if isinstance(read, Mapping) and all(isinstance(name, str) for name in read):
        return read
    raise InvalidInput(f"{what} {str(value)[:200]!r} is not allowed: it takes a dict of the endpoint's inputs.")


def _in_words(wrong: Mapping[int, str], total: int) -> str:
    described = [f"item {place}: {message}" for place, message in list(wrong.items())[:_DESCRIBED]]
    others = ", ".join(map(str, list(wrong)[_DESCRIBED:]))
    more = f" And so are the items {others}." if others else ""
    return f"{len(wrong)} of {total} inputs are wrong. {' '.join(described)}{more}"
