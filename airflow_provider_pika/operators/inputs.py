"""From an operator's arguments to what is sent: checked as soon as a value is known, and again before it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.fal.inputs import SubmitControls, TextToVideoInput
from airflow_provider_pika.get_provider_info import LIMITS
from airflow_provider_pika.strict_json import is_strict, shown
from airflow_provider_pika.templates import check_known_endpoint, holds_templates, known_now

if TYPE_CHECKING:
    from airflow_provider_pika.fal.account import Account
    from airflow_provider_pika.fal.resuming import Wanted

#: Seconds, some thirty years: what a date can be moved by.
_MOST_SECONDS = 1e9

_CHOICES = {"on_unknown_submit": ("fail", "resubmit"), "on_clear": ("resubmit", "reuse")}


def check_what_is_known(values: Mapping[str, Any]) -> None:
    """Refuse those of an operator's arguments that are wrong already when the Dag is parsed.

    :raises InvalidInput: naming the arguments.
    """
    known = known_now(values)
    for request in (TextToVideoInput, SubmitControls):
        request.check_known({name: known[name] for name in request.names() if name in known})
    check_lengths(known)
    if "extra_arguments" in known:
        check = _check_extra_arguments if holds_templates(known["extra_arguments"]) else extra_arguments_of
        check(known["extra_arguments"])
    check_choices(known)
    check_known_endpoint(values["endpoint"])


def arguments_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give the endpoint's input.

    :raises InvalidInput: naming every wrong value and what is allowed.
    """
    arguments = TextToVideoInput.checked({name: values[name] for name in TextToVideoInput.names()}).arguments()
    check_lengths(arguments)
    return arguments | extra_arguments_of(values["extra_arguments"])


def check_lengths(arguments: Mapping[str, Any], most: int | None = None) -> None:
    """Refuse a text that is too long to be meant: a file, or a whole table, that a template has rendered.

    :param most: characters; None: as Airflow's configuration has it.
    :raises InvalidInput: naming the input and its length.
    """
    most = most_of("max_prompt_length") if most is None else most
    for name in ("prompt", "negative_prompt"):
        text = arguments.get(name)
        if isinstance(text, str) and len(text) > most:
            raise InvalidInput(
                f"{name} has {len(text)} characters, and {most} are allowed: it begins {text[:100]!r}. To allow more, "
                "set max_prompt_length in the section [pika] of Airflow's configuration."
            )


def most_of(limit: str) -> int:
    """Return a limit of the section ``[pika]`` in Airflow's configuration; ``get_provider_info.py`` has defaults."""
    from airflow.providers.common.compat.sdk import conf

    return int(conf.getint("pika", limit, fallback=int(LIMITS[limit]["default"])))


def extra_arguments_of(extra: Any) -> dict[str, Any]:
    """Give inputs that the operator has no parameter for.

    :raises InvalidInput: it has one for them, or they are no JSON.
    """
    _check_extra_arguments(extra)
    values: dict[str, Any] = dict(extra or {})
    if not is_strict(values):
        raise InvalidInput(
            f"extra_arguments={shown(extra)} is not allowed: it takes JSON, with finite numbers of 64 bits, and "
            "texts without NUL or half a surrogate pair."
        )
    return values


def controls_of(values: Mapping[str, Any]) -> SubmitControls:
    """Give fal's controls of the submit.

    :raises InvalidInput: naming every wrong value and what is allowed.
    """
    return SubmitControls.checked({name: values[name] for name in SubmitControls.names()})


def seconds_of(name: str, value: timedelta | float) -> float:
    """Give seconds.

    :raises ValueError: they are none, or less.
    """
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if not 0 < seconds < _MOST_SECONDS:
        raise ValueError(f"{name}={value} is not allowed: it takes seconds, more than 0.")
    return seconds


def timeout_of(value: timedelta | float | None) -> float:
    """Give the seconds of a timeout; Airflow's ``[sensors] default_timeout`` where there is none.

    :raises ValueError: as :func:`seconds_of`.
    """
    from airflow.providers.common.compat.sdk import conf

    return seconds_of("timeout", conf.getfloat("sensors", "default_timeout") if value is None else value)


def wanted_of(values: Mapping[str, Any], ti: Any, account: Account, arguments: Mapping[str, Any]) -> Wanted:
    """Give what an attempt of a task wants.

    :raises InvalidInput: naming every wrong value and what is allowed.
    """
    from airflow_provider_pika.fal.resuming import Wanted

    check_choices(values)
    return Wanted(
        endpoint=values["endpoint"],
        arguments=arguments,
        controls=controls_of(values),
        queue_url=account.queue_url,
        generation=ti.max_tries,  # a clear changes it, a retry never does (airflow-facts.md, section 3.3)
        attempt=ti.try_number,
        on_unknown_submit=values["on_unknown_submit"],
        on_clear=values["on_clear"],
    )


def check_choices(values: Mapping[str, Any]) -> None:
    """Refuse a value that is none of the few that its argument takes.

    :raises InvalidInput: naming them.
    """
    for name in _CHOICES.keys() & values.keys():
        if values[name] not in _CHOICES[name]:
            allowed = " or ".join(map(repr, _CHOICES[name]))
            raise InvalidInput(f"{name}={shown(values[name])} is not allowed: it takes {allowed}.")


def _check_extra_arguments(extra: Any) -> None:
    if not isinstance(extra or {}, Mapping) or (extra or {}).keys() & set(TextToVideoInput.names()):
        raise InvalidInput(
            f"extra_arguments={shown(extra)} is not allowed: it takes a dict of inputs that the operator has no "
            "parameter for."
        )
