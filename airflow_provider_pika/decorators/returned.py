"""What a decorated function returned, checked: the inputs that it gives, and no others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.fal.inputs import TextToVideoInput
from airflow_provider_pika.task.arguments import extra_arguments_of

#: What a function may give: the endpoint's inputs, and what another model takes besides.
INPUTS = (*TextToVideoInput.names(), "extra_arguments")

#: The end of an error about what a function returned.
_MAY_RETURN = f"It may return a prompt, or a dict with any of {', '.join(INPUTS)}."


class Returned:
    """Stands where a prompt would, as long as the function that returns it has not run.

    ``resolve`` makes it one of the values that come later (``task/templates.py``): Airflow renders it to itself.
    """

    def resolve(self, context: Any) -> Returned:
        """Return itself."""
        return self

    def serialize(self) -> str:
        """Return what Airflow's UI shows in its place."""
        return "(what the function returns, see the log)"


def inputs_of(returned: Any, function: str) -> dict[str, Any]:
    """Return the inputs that a function returned, unchanged.

    :param returned: a prompt, or a dict with some of ``INPUTS``.
    :param function: its name.
    :raises InvalidInput: naming the function, every wrong value and what is allowed.
    """
    given = {"prompt": returned} if isinstance(returned, str) else returned
    if not isinstance(given, Mapping):
        raise InvalidInput(f"{function}() returned {str(returned)[:200]}, which is not allowed. {_MAY_RETURN}")
    try:
        TextToVideoInput.check_known({name: given[name] for name in given if name != "extra_arguments"})
        extra_arguments_of(given.get("extra_arguments"))
    except InvalidInput as error:
        raise InvalidInput(f"{function}() returned what cannot be sent. {error.message} {_MAY_RETURN}") from None
    return dict(given)


def no_prompt(function: str) -> InvalidInput:
    """Return the error for a function that returned no prompt where the decorator names none either."""
    return InvalidInput(f"{function}() returned no prompt, and its decorator has none. {_MAY_RETURN}")
