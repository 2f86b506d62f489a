"""From an operator's arguments to what is sent: checked as soon as a value is known, and again before it is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.templates import check_known_endpoint, known_now

if TYPE_CHECKING:
    from airflow_provider_pika.fal.models import SubmitControls

_CHOICES = {"on_unknown_submit": ("fail", "resubmit"), "on_clear": ("resubmit", "reuse")}


def check_what_is_known(values: Mapping[str, Any]) -> None:
    """Refuse those of an operator's arguments that are wrong already when the Dag is parsed.

    :raises InvalidInput: naming the arguments.
    """
    from airflow_provider_pika.fal.models import SubmitControls, TextToVideoInput

    known = known_now(values)
    for model in (TextToVideoInput, SubmitControls):
        model.check_known({name: known[name] for name in model.model_fields if name in known})
    if "extra_arguments" in known:
        _check_extra_arguments(known["extra_arguments"])
    check_choices(known)
    check_known_endpoint(values["endpoint"])


def arguments_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give the endpoint's input.

    :raises InvalidInput: naming every wrong value and what is allowed.
    """
    from airflow_provider_pika.fal.models import TextToVideoInput

    arguments = TextToVideoInput.checked({name: values[name] for name in TextToVideoInput.model_fields}).arguments()
    extra = values["extra_arguments"] or {}
    _check_extra_arguments(extra)
    try:
        json.dumps(dict(extra), allow_nan=False)
    except (TypeError, ValueError):
        raise InvalidInput(f"extra_arguments={extra!r} is not allowed: it takes JSON values.") from None
    return arguments | dict(extra)


def controls_of(values: Mapping[str, Any]) -> SubmitControls:
    """Give fal's controls of the submit.

    :raises InvalidInput: naming every wrong value and what is allowed.
    """
    from airflow_provider_pika.fal.models import SubmitControls

    return SubmitControls.checked({name: values[name] for name in SubmitControls.model_fields})


def check_choices(values: Mapping[str, Any]) -> None:
    """Refuse a value that is none of the few that its argument takes.

    :raises InvalidInput: naming them.
    """
    for name in _CHOICES.keys() & values.keys():
        if values[name] not in _CHOICES[name]:
            allowed = " or ".join(map(repr, _CHOICES[name]))
            raise InvalidInput(f"{name}={values[name]!r} is not allowed: it takes {allowed}.")


def _check_extra_arguments(extra: Any) -> None:
    from airflow_provider_pika.fal.models import TextToVideoInput

    if not isinstance(extra or {}, Mapping) or TextToVideoInput.model_fields.keys() & (extra or {}).keys():
        raise InvalidInput(
            f"extra_arguments={extra!r} is not allowed: it takes a dict of inputs that the operator has no parameter "
            "for."
        )
