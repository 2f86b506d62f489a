"""What ``reuse_within`` means for an attempt: which earlier clips it may take, if any."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.strict_json import shown
from airflow_provider_pika.task.arguments import seconds_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_pika.fal.reuse import Reuse

#: Seconds within which a host must answer for a clip's file, and without a byte.
_ANSWERS_WITHIN, _STALL = 20.0, 10.0


def reuse_within_of(value: timedelta | float | None) -> float | None:
    """Return the seconds of ``reuse_within``; None: no earlier clip is taken.

    :raises ValueError: as :func:`seconds_of`.
    """
    return None if value is None else seconds_of("reuse_within", value)


def check_seeds(inputs: Iterable[Mapping[str, Any]]) -> None:
    """Refuse an input without a seed, of which no two clips are the same.

    :param inputs: what would be sent for each clip.
    :raises InvalidInput: naming the first one by its place, from 0.
    """
    for place, arguments in enumerate(inputs):
        if arguments.get("seed") is None:
            raise InvalidInput(
                f"reuse_within needs a seed, and input {place}, {shown(arguments.get('prompt'))[:100]}, has none. "
                "Without one, each clip gets a random seed, so no earlier clip is the same."
            )


def reuse_of(
    within: float | None, context: Context, retries: int | None, pika_conn_id: str, tell: Callable[[str], object]
) -> Reuse | None:
    """Return which earlier clips this attempt may take; None: none, or a person has cleared the task.

    :param within: seconds of ``reuse_within``.
    :param retries: the task's own; a clear raises ``ti.max_tries`` above it (airflow-facts.md, section 3.3).
    :param tell: takes a line for the task's log.
    """
    if within is None:
        return None
    if context["ti"].max_tries != retries:
        tell("The task was cleared, so no earlier clip is reused.")
        return None
    began = context["dag_run"].start_date
    if began is None:
        tell("Airflow does not say when the Dag run began, so no earlier clip is reused.")
        return None

    from airflow_provider_pika.fal.reuse import Reuse
    from airflow_provider_pika.hooks.pika import PikaHook
    from airflow_provider_pika.media.download import Download, Limits

    trust, limits = PikaHook(pika_conn_id).trust(), Limits(_ANSWERS_WITHIN, _STALL, size=0)  # nothing is taken in

    def answers(url: str) -> bool:
        return Download(io.BytesIO(), trust, limits, lambda _: None).answers(url)

    return Reuse(within, began.timestamp(), answers)
