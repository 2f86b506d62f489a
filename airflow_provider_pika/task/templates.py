"""Which of an operator's values are known when the Dag is parsed, and can be refused right then."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.fal.ids import app_of

if TYPE_CHECKING:
    from airflow.sdk import XComArg

    T = TypeVar("T")
    #: A value, or the output of another task that will bring it.
    Templated: TypeAlias = T | XComArg


#: Jinja's options for what a template begins with, and what Airflow has for them unless a Dag says otherwise.
_OPENERS = {
    "variable_start_string": "{{",
    "block_start_string": "{%",
    "comment_start_string": "{#",
    "line_statement_prefix": None,
    "line_comment_prefix": None,
}

#: What may begin a template of a Dag that is not known yet.
_MAY_OPEN = re.compile(r"[\[{(<$%#@]{2}")


def has_braces(text: str) -> bool:
    return "{{" in text or "{%" in text


def template_test_of(task: Any) -> Callable[[str], bool]:
    """Return what tells whether a text is a template of the task's Dag, which may have brackets of its own.

    Where the task has no Dag yet, a text that may be one in some Dag counts: it is checked when the task runs.
    """
    dag = task.get_dag()
    if dag is None:
        return lambda text: _MAY_OPEN.search(text) is not None
    options = dag.jinja_environment_kwargs or {}
    openers = [opener for name, usual in _OPENERS.items() if (opener := options.get(name, usual))]
    return lambda text: any(opener in text for opener in openers)


def known_now(values: Mapping[str, Any], is_template: Callable[[str], bool] = has_braces) -> dict[str, Any]:
    """Return those of ``values`` that are final, so neither a Jinja template nor an XCom that is still to come.

    :param is_template: as :func:`template_test_of` returns it.
    """
    return {name: value for name, value in values.items() if not _comes_later(value, is_template)}


def _comes_later(value: Any, is_template: Callable[[str], bool] = has_braces) -> bool:
    if isinstance(value, str):
        return is_template(value)
    return hasattr(value, "resolve")  # XComArg and the other lazy arguments of Airflow's SDK


def holds_templates(value: Any, is_template: Callable[[str], bool] = has_braces) -> bool:
    """Return whether something in a value, however deep, is still to come."""
    return any(_comes_later(leaf, is_template) for leaf in leaves_of(value))


def holds_braces(value: Any) -> bool:
    """Return whether some text in a value, however deep, looks like a template."""
    return any(isinstance(leaf, str) and _comes_later(leaf) for leaf in leaves_of(value))


def leaves_of(value: Any) -> Iterator[Any]:
    """Yield what dicts, lists and the like hold, keys too, to any depth: data may be nested as deep as it likes."""
    rest = [value]
    while rest:
        match rest.pop():
            case Mapping() as mapping:
                rest += [*mapping.keys(), *mapping.values()]
            case list() | tuple() | set() | frozenset() as several:
                rest += several
            case leaf:
                yield leaf


#: Characters of a text that is read as JSON, and as Python writes it: Python's parser takes 500 bytes for each.
LONGEST_JSON, LONGEST_LITERAL = 16 << 20, 100_000


def read_text(value: Any) -> Any:
    """Read what a template has made a text of, as JSON or as Python writes it; anything else stays as it is.

    :raises InvalidInput: the text is too long to be read.
    """
    if not isinstance(value, str):
        return value
    for read, longest in ((json.loads, LONGEST_JSON), (ast.literal_eval, LONGEST_LITERAL)):
        if len(value) > longest:
            raise InvalidInput(
                f"A text of {len(value)} characters, which begins {value[:50]!r}, is not allowed: {LONGEST_JSON} are "
                f"read as JSON, {LONGEST_LITERAL} as Python writes them. Write JSON ('{{{{ ... | tojson }}}}'), or "
                "hand over the other task's output itself."
            )
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            return read(value)
    return value


def check_known_endpoint(endpoint: str, is_template: Callable[[str], bool] = has_braces) -> None:
    """Refuse an endpoint's id that is known now and cannot be one.

    :raises InvalidInput: as ``app_of``.
    """
    if known_now({"endpoint": endpoint}, is_template):
        app_of(endpoint)
