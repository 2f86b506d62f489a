"""From an operator's arguments to what is sent: checked as soon as a value is known, and again before it is sent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.fal.ids import app_of
from airflow_provider_pika.fal.inputs import SubmitControls, TextToVideoInput, python_number
from airflow_provider_pika.get_provider_info import LIMITS
from airflow_provider_pika.strict_json import is_strict, shown
from airflow_provider_pika.task.templates import check_known_endpoint, holds_templates, known_now
from airflow_provider_pika.task.terms import ClipTerms, SubmitTerms

if TYPE_CHECKING:
    from airflow_provider_pika.fal.account import Account
    from airflow_provider_pika.fal.budget import Budget
    from airflow_provider_pika.fal.recovery import Wanted
    from airflow_provider_pika.fal.reuse import Reuse

#: Seconds, some thirty years: what a date can be moved by.
_MOST_SECONDS = 1e9

#: A limit of money, and the largest one.
_AMOUNT, _MOST_MONEY = re.compile(r"\d{1,12}(\.\d{1,12})?", re.ASCII), 1_000_000_000

#: Parameters that take one of a few texts.
_CHOICES = {"on_unknown_submit": ("fail", "resubmit"), "on_clear": ("resubmit", "reuse")}

#: Switches that may be templates.
_SWITCHES = ("wait_for_completion", "cancel_on_kill", "cancel_on_timeout")
#: The texts that a template of a switch renders, in small letters.
_RENDERED = {"true": True, "false": False}


def check_what_is_known(values: Mapping[str, Any], is_template: Callable[[str], bool]) -> None:
    """Refuse those of an operator's arguments that are wrong already when the Dag is parsed.

    :param is_template: tells a template of the Dag (``templates.template_test_of``).
    :raises InvalidInput: naming the arguments.
    """
    known = known_now(values, is_template)
    for request in (TextToVideoInput, SubmitControls):
        request.check_known({name: known[name] for name in request.names() if name in known})
    check_lengths(known)
    if "extra_arguments" in known:
        later = holds_templates(known["extra_arguments"], is_template)
        check = _check_extra_arguments if later else extra_arguments_of
        check(known["extra_arguments"])
    check_known_terms(values, is_template)


def check_known_terms(values: Mapping[str, Any], is_template: Callable[[str], bool]) -> None:
    """Refuse what a task cannot go by, as far as it is known when the Dag is parsed.

    :param values: those that the task has of an endpoint, choices and switches.
    :raises InvalidInput: naming the argument.
    """
    known = known_now(values, is_template)
    check_choices(known)
    max_cost_of(known.get("max_cost"))
    for name in _SWITCHES:
        if name in known:
            switch_of(name, known[name])
    check_known_endpoint(values["endpoint"], is_template)


def switch_of(name: str, value: Any) -> bool:
    """Return a switch, which a template may have rendered to "true" or "false", in any case.

    :raises InvalidInput: it is neither, nor True or False.
    """
    if isinstance(value, bool):
        return value
    read = _RENDERED.get(value.strip().lower()) if isinstance(value, str) else None
    if read is None:
        raise InvalidInput(
            f"{name}={shown(value)} is not allowed: it takes True or False, or a template that renders 'true' or "
            "'false'."
        )
    return read


def with_readable_switches(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return an operator's arguments, with False for a switch that cannot be read.

    Who resumes a wait has a request that was paid for: a template that renders nothing now must not fail it.
    """
    readable = dict(values)
    for name in readable.keys() & set(_SWITCHES):
        try:
            switch_of(name, readable[name])
        except InvalidInput:
            readable[name] = False
    return readable


def check_switches(task: Any, *names: str) -> None:
    """Refuse a switch that is no template, and anything but True or False: every text would count as True.

    :raises InvalidInput: naming it.
    """
    for name in names:
        if not isinstance(value := getattr(task, name), bool):
            raise InvalidInput(f"{name}={shown(value)} is not allowed: it takes True or False, and no template.")


def max_cost_of(value: Any) -> str | None:
    """Return a limit of money as a decimal text; None: there is none.

    :raises InvalidInput: it is no amount.
    """
    if value is None:
        return None
    with suppress(ValueError, ArithmeticError):
        text = value.strip() if isinstance(value, str) else str(value)
        amount = Decimal(text) if not isinstance(value, bool) and _AMOUNT.fullmatch(text) else Decimal(0)
        if 0 < amount <= _MOST_MONEY:
            return text
    raise InvalidInput(f"max_cost={shown(value)} is not allowed: it takes an amount above 0, such as '0.50'.")


def number_of(value: Any) -> Any:
    """Return a number as Python's own, and what is none as it is: it is refused then."""
    try:
        return python_number(value)
    except (ValueError, ArithmeticError):
        return value


def check_fail_on(fail_on: Any) -> None:
    """Refuse what says nothing about how many clips may fail (``batch.item.is_failure``).

    :raises InvalidInput: naming what it takes.
    """
    share = isinstance(fail_on, int | float) and not isinstance(fail_on, bool) and 0 <= fail_on < 1
    if not share and not (isinstance(fail_on, str) and fail_on in ("any", "all")):
        raise InvalidInput(f"fail_on={fail_on!r} is not allowed: it takes 'any', 'all', or a share, 0 to below 1.")


def terms_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a wait goes by, of an operator's rendered arguments.

    :raises InvalidInput: naming the argument.
    """
    app_of(values["endpoint"])
    conn_id = values["pika_conn_id"]
    if not isinstance(conn_id, str) or not conn_id.strip():
        raise InvalidInput(f"pika_conn_id={shown(conn_id)} is not allowed: it takes the id of a connection.")
    return {
        "endpoint": str.__str__(values["endpoint"]),
        "pika_conn_id": str.__str__(conn_id),
        **{name: switch_of(name, values[name]) for name in _SWITCHES if name in values},
    }


def submit_terms_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a submit goes by, beside its input.

    :raises InvalidInput: naming every wrong value and what is allowed.
    """
    check_choices(values)
    controls = SubmitControls.checked({name: values[name] for name in SubmitControls.names()})
    choices = {name: str.__str__(values[name]) for name in _CHOICES}
    return {**terms_of(values), **vars(controls), **choices, "max_cost": max_cost_of(values["max_cost"])}


def clip_terms_of(values: Mapping[str, Any]) -> ClipTerms:
    """Return what a task goes by that asks for one clip.

    :raises InvalidInput: naming every wrong value and what is allowed.
    """
    return ClipTerms(arguments=arguments_of(values), **submit_terms_of(values))


def arguments_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the endpoint's input.

    :raises InvalidInput: naming every wrong value and what is allowed.
    """
    return input_of({name: values[name] for name in (*TextToVideoInput.names(), "extra_arguments")})


def input_of(values: Mapping[str, Any], longest: int | None = None) -> dict[str, Any]:
    """Return what is sent for one clip.

    :param values: the endpoint's inputs, perhaps with ``extra_arguments``, and nothing else.
    :param longest: characters of a prompt; None: as Airflow's configuration has it.
    :raises InvalidInput: naming every wrong value and what is allowed.
    """
    inputs = dict(values)
    extra = extra_arguments_of(inputs.pop("extra_arguments", None))
    arguments = TextToVideoInput.checked(inputs).arguments()
    check_lengths(arguments, longest)
    return arguments | extra


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
    """Return inputs that the operator has no parameter for: a copy, in Python's own types, that nobody else changes.

    :raises InvalidInput: it has one for them, or they are no JSON.
    """
    _check_extra_arguments(extra)
    try:
        values: dict[str, Any] = {} if _is_nothing(extra) else _plain(extra)
        json.dumps(values, sort_keys=True)  # as a record's fingerprint needs it
        strict = is_strict(values)
    except (TypeError, ValueError, ArithmeticError, RecursionError):
        strict = False
    if not strict:
        raise InvalidInput(
            f"extra_arguments={shown(extra)} is not allowed: it takes JSON, with finite numbers of 64 bits, and "
            "texts without NUL or half a surrogate pair."
        )
    return values


def _plain(value: Any) -> Any:
    """Return a JSON value without numpy's numbers, subclasses of texts and the like; what is none stays as it is.

    Integral floats stay floats: a record's fingerprint must stay what it was.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return python_number(value)


def seconds_of(name: str, value: timedelta | float) -> float:
    """Return seconds.

    :raises ValueError: they are none, or less.
    """
    try:
        if isinstance(value, timedelta):
            seconds = value.total_seconds()
        else:
            seconds = float(value if isinstance(value, str) else python_number(value))
    except (ValueError, ArithmeticError):
        seconds = 0.0
    if not 0 < seconds < _MOST_SECONDS:
        raise ValueError(f"{name}={value} is not allowed: it takes seconds, more than 0.")
    return seconds


def timeout_of(value: timedelta | float | None) -> float:
    """Return the seconds of a timeout; Airflow's ``[sensors] default_timeout`` where there is none.

    :raises ValueError: as :func:`seconds_of`.
    """
    from airflow.providers.common.compat.sdk import conf

    return seconds_of("timeout", conf.getfloat("sensors", "default_timeout") if value is None else value)


def wanted_of(
    terms: SubmitTerms,
    ti: Any,
    account: Account,
    arguments: Mapping[str, Any],
    budget: Budget | None = None,
    reuse: Reuse | None = None,
) -> Wanted:
    """Return what an attempt of a task wants."""
    from airflow_provider_pika.fal.recovery import Wanted
    from airflow_provider_pika.fal.tags import of_task

    origin = of_task(ti.dag_id, ti.task_id, ti.run_id) if account.tags else None
    return Wanted(
        endpoint=terms.endpoint,
        arguments=arguments,
        headers=terms.controls.headers(origin),
        budget=budget,
        reuse=reuse,
        queue_url=account.queue_url,
        generation=ti.max_tries,  # a clear changes it, a retry never does (airflow-facts.md, section 3.3)
        attempt=ti.try_number,
        on_unknown_submit=terms.on_unknown_submit,
        on_clear=terms.on_clear,
    )


def check_choices(values: Mapping[str, Any]) -> None:
    """Refuse a value that is none of the few that its argument takes.

    :raises InvalidInput: naming them.
    """
    for name in _CHOICES.keys() & values.keys():
        if not isinstance(values[name], str) or values[name] not in _CHOICES[name]:
            allowed = " or ".join(map(repr, _CHOICES[name]))
            raise InvalidInput(f"{name}={shown(values[name])} is not allowed: it takes {allowed}.")


def _is_nothing(extra: Any) -> bool:
    return extra is None or (isinstance(extra, Mapping | str | list | tuple | int) and not extra)


def _check_extra_arguments(extra: Any) -> None:
    if _is_nothing(extra):
        return
    if not isinstance(extra, Mapping) or extra.keys() & set(TextToVideoInput.names()):
        raise InvalidInput(
            f"extra_arguments={shown(extra)} is not allowed: it takes a dict of inputs that the operator has no "
            "parameter for."
        )
