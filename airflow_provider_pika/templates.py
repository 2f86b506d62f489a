"""Which of an operator's values are known when the Dag is parsed, and can be refused right then."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from airflow_provider_pika.fal.ids import app_of

if TYPE_CHECKING:
    from airflow.sdk import XComArg

    T = TypeVar("T")
    #: A value, or the output of another task that will bring it.
    Templated: TypeAlias = T | XComArg


def known_now(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give those of ``values`` that are final, so neither a Jinja template nor an XCom that is still to come."""
    return {name: value for name, value in values.items() if not _comes_later(value)}


def _comes_later(value: Any) -> bool:
    if isinstance(value, str):
        return "{{" in value or "{%" in value
    return hasattr(value, "resolve")  # XComArg and the other lazy arguments of Airflow's SDK


def holds_templates(value: Any) -> bool:
    """Tell whether something in a value, however deep, is still to come."""
    if isinstance(value, Mapping):
        return any(map(holds_templates, value.values()))
    if isinstance(value, list | tuple):
        return any(map(holds_templates, value))
    return _comes_later(value)


def read_text(value: Any) -> Any:
    """Read what a template has made a text of, as JSON or as Python writes it; anything else stays as it is."""
    for read in (json.loads, ast.literal_eval) if isinstance(value, str) else ():
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            return read(value)
    return value


def check_known_endpoint(endpoint: str) -> None:
    """Refuse an endpoint's id that is known now and cannot be one.

    :raises InvalidInput: as ``app_of``.
    """
    if known_now({"endpoint": endpoint}):
        app_of(endpoint)
