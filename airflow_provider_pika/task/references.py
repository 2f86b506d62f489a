"""What a Dag file hands over of another task: what it returns, not the task itself; one value, not a whole list."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.task.templates import leaves_of


def check_references(task: Any, values: Mapping[str, Any], lists: Collection[str] = ()) -> None:
    """Refuse what is wrong already when the Dag is parsed, and would be found out when others have been paid for.

    :param values: the task's arguments.
    :param lists: those that may be a list.
    :raises InvalidInput: naming the argument, and what to write.
    """
    for name, value in values.items():
        for leaf in leaves_of(value):
            if instead := _instead_of(leaf):
                raise InvalidInput(f"{name}={_name_of(leaf)} is not allowed: {instead}.")
        if name not in lists and _is_a_list(task, value):
            raise InvalidInput(
                f"{name}={_name_of(value)} is not allowed: that is a list, of what each task of a mapped one returned. "
                f"Map over it: {type(task).__name__}.partial(...).expand({name}=...)."
            )


def _instead_of(value: Any) -> str | None:
    """Return what to write for a task, a group or a decorated function; None for what is no such thing."""
    kind = type(value)
    if kind.__module__ == "builtins":
        return None
    if hasattr(kind, "output") and hasattr(value, "task_id"):
        return f"that is a task, not what it returns. Write .output behind it: {value.task_id}.output"
    if hasattr(value, "group_id") and hasattr(value, "children"):
        return "that is a task group. Write the output of a task in it"
    if hasattr(value, "function") and hasattr(value, "operator_class"):
        return "that is a decorated function. Call it"
    return None


def _name_of(value: Any) -> str:
    source = getattr(value, "operator", None)
    if source is not None:
        return f"{source.task_id}.output"
    for name in ("task_id", "group_id"):
        if isinstance(found := getattr(value, name, None), str):
            return found
    return str(getattr(getattr(value, "function", None), "__name__", type(value).__name__))


def _is_a_list(task: Any, value: Any) -> bool:
    """Return whether an output is what all tasks of a mapped one returned, or what was made of a list."""
    if not any(each.__name__ == "XComArg" for each in type(value).__mro__):
        return False
    source = getattr(value, "operator", None)
    if source is None:  # .map, .zip and .concat
        return True
    return hasattr(source, "expand_input") or not _mapped_groups(source) <= _mapped_groups(task)


def _mapped_groups(task: Any) -> set[str]:
    return {group.group_id for group in task.iter_mapped_task_groups()} if task.task_group is not None else set()
