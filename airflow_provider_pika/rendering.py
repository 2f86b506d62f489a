"""Rendering of template fields: what the Dag's author wrote is a template, a value that came of data is text.

Airflow (read and run on 3.1.8 and 3.3.2) renders no XCom, with one exception: it takes the rows of
``.expand_kwargs(xcom)`` for text of the Dag file. With ``{{ conn.pika_default.password }}`` in a row, the key would be
sent to fal as a prompt.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_pika.templates import holds_braces, leaves_of

if TYPE_CHECKING:
    from typing import Self

    from airflow.providers.common.compat.sdk import BaseOperator, Context
    from jinja2 import Environment

    _Operator = BaseOperator
else:
    _Operator = object

#: Where a mapped task keeps the arguments that it was made with, until it is rendered.
_ARGUMENTS = "_mapped_arguments"

#: Arguments that a mapped task gets from Airflow itself; no template field has such a name.
_OF_AIRFLOW = frozenset({"task_id", "dag", "task_group", "start_date", "end_date", "params", "_airflow_from_mapped"})

#: The arguments of a decorated function, and how their names begin among those of its task.
_OF_FUNCTION, _PREFIX = "op_kwargs", "op_kwargs."

_WITHOUT_TEXT = (type(None), bool, int, float, date, timedelta)


class RendersNoData(_Operator):
    """Renders no value of a mapped task that came of data; to be mixed into an operator, before Airflow's class.

    Where a field holds ``{{`` or ``{%`` once it is rendered, the log says that it is used as it is.
    """

    def __new__(cls, *_: Any, **arguments: Any) -> Self:
        """Keep the arguments of a mapped task: once ``__init__`` has run, nobody can tell where a value came from."""
        task: Self = super().__new__(cls)
        if "_airflow_from_mapped" in arguments:
            task.__dict__[_ARGUMENTS] = arguments
        return task

    def _do_render_template_fields(
        self, parent: Any, template_fields: Iterable[str], context: Context, jinja_env: Environment, seen_oids: set[int]
    ) -> None:
        """Render. Airflow calls this for a task, mapped or not, and for objects inside of its fields."""
        if parent is not self:
            super()._do_render_template_fields(parent, template_fields, context, jinja_env, seen_oids)
            return
        arguments = self.__dict__.pop(_ARGUMENTS, None)
        row = None if arguments is None else _Row.of(self, arguments, context["ti"].map_index, jinja_env)
        if row is None or not row.data:
            super()._do_render_template_fields(self, template_fields, context, jinja_env, seen_oids)
        else:
            self._render_templates_of(row, template_fields, context, jinja_env)
        self._warn_of_braces(template_fields)

    def _render_templates_of(
        self, row: _Row, template_fields: Iterable[str], context: Context, jinja_env: Environment
    ) -> None:
        given = dict(getattr(self, _OF_FUNCTION, {}))
        if given:
            templates = {name: value for name, value in given.items() if row.is_template(_PREFIX + name, value)}
            setattr(self, _OF_FUNCTION, templates)
        fields = [
            field for field in template_fields if field == _OF_FUNCTION or row.is_template(field, getattr(self, field))
        ]
        # Airflow's own set of ids would stop more than data: Python has one object for every "5".
        super()._do_render_template_fields(self, fields, context, jinja_env, set())
        if given:
            setattr(self, _OF_FUNCTION, {**given, **getattr(self, _OF_FUNCTION)})

    def _warn_of_braces(self, template_fields: Iterable[str]) -> None:
        for field in template_fields:
            value = getattr(self, field)
            named = value if field == _OF_FUNCTION else {field: value}
            for name in [name for name, each in named.items() if holds_braces(each)]:
                self.log.warning(
                    "%s holds '{{' or '{%%' and is used as it is: a value that came of data is not rendered. Write a "
                    "template in .partial(...) or as a literal in .expand(...), or have the task that makes the rows "
                    "render it.",
                    name,
                )


@dataclass(frozen=True)
class _Row:
    """The arguments of one mapped task.

    :param arguments: those that may have come of data, by name.
    :param written: what the Dag's author wrote, or the class has as a default, by name.
    :param openers: the characters with which a template may begin.
    """

    arguments: Mapping[str, Any]
    written: Mapping[str, Any]
    openers: Set[str]

    @classmethod
    def of(cls, task: Any, arguments: Mapping[str, Any], map_index: int | None, jinja_env: Environment) -> _Row:
        """Return a task's row. An argument of which the Dag does not say where it came from is data."""
        dag = task.get_dag()
        mapped = dag.task_dict.get(task.task_id) if dag else None
        partial, defaults = getattr(mapped, "partial_kwargs", {}), _defaults_of(task)
        prefix, given, own = "", arguments, partial
        if _OF_FUNCTION in arguments:  # nothing else of a decorated function's task is mapped
            prefix, given, own = _PREFIX, arguments[_OF_FUNCTION], partial.get(_OF_FUNCTION, {})
        row = {prefix + name: value for name, value in given.items() if name not in _OF_AIRFLOW or prefix}
        literals = {prefix + name for name in _literals_of(mapped, map_index)}
        written = {
            **defaults,
            **partial,
            **{prefix + name: value for name, value in (defaults | own).items()},
            **{name: value for name, value in row.items() if name in literals},
        }
        return cls(row, written, _openers_of(jinja_env))

    @cached_property
    def data(self) -> dict[str, Any]:
        """The arguments that came of data."""
        return {name: value for name, value in self.arguments.items() if not _has(self.written, name, value)}

    def is_template(self, name: str, value: Any) -> bool:
        """Tell whether a value is to be rendered.

        What a subclass computed is, unless some of the data could be a template in it.
        """
        if _has(self.written, name, value):
            return True
        return not (_has(self.arguments, name, value) or self._may_open_a_template)

    @cached_property
    def _may_open_a_template(self) -> bool:
        texts = [leaf for leaf in leaves_of(self.data) if not isinstance(leaf, _WITHOUT_TEXT)]
        return any(not isinstance(text, str) or not self.openers.isdisjoint(text) for text in texts)


def _has(values: Mapping[str, Any], name: str, value: Any) -> bool:
    """Tell whether this very object stands under the name: an equal one may come of data."""
    return name in values and values[name] is value


def _literals_of(mapped: Any, map_index: int | None) -> Collection[str]:
    """Return the names of the arguments whose values stand in the Dag file's ``.expand`` or ``.expand_kwargs``."""
    value = mapped._get_specified_expand_input().value if mapped is not None else None
    if isinstance(value, Mapping):
        return {name for name, values in value.items() if not hasattr(values, "resolve")}
    row = value[map_index] if isinstance(value, Sequence) and map_index is not None else None
    return row.keys() if isinstance(row, Mapping) else ()


def _defaults_of(task: Any) -> dict[str, Any]:
    """Return the defaults of an operator's arguments, and above them those that the Dag has for all of its tasks."""
    inits = [vars(each)["__init__"] for each in reversed(type(task).__mro__) if "__init__" in vars(each)]
    defaults = {name: each.default for init in inits for name, each in inspect.signature(init).parameters.items()}
    for place in (task.get_dag(), task.task_group):
        defaults |= getattr(place, "default_args", None) or {}
    return defaults


def _openers_of(jinja_env: Environment) -> set[str]:
    """Return the characters with which a template begins; a Dag may have its own (``jinja_environment_kwargs``)."""
    delimiters = (
        jinja_env.variable_start_string,
        jinja_env.block_start_string,
        jinja_env.comment_start_string,
        jinja_env.line_statement_prefix,
        jinja_env.line_comment_prefix,
    )
    return {each[0] for each in delimiters if each}
