"""Which of an operator's values are known when the Dag is parsed, and can be refused right then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from airflow_provider_pika.fal import TEXT_TO_VIDEO

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


def check_known_endpoint(endpoint: str) -> None:
    """Refuse an endpoint's id that is known now and cannot be one.

    :raises InvalidInput: as ``app_of``.
    """
    if endpoint != TEXT_TO_VIDEO and known_now({"endpoint": endpoint}):  # the usual one costs no import
        from airflow_provider_pika.fal.calls import app_of

        app_of(endpoint)
