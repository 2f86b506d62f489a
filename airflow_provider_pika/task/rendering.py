"""Rendering of template fields: what the Dag's author wrote is a template, a value that came of data is text.

What a template renders to nothing is never paid for, and names nothing: it is noted, and refused before anything is
sent.

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
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.task.paths import as_text
from airflow_provider_pika.task.references import check_references
from airflow_provider_pika.task.templates import holds_braces, leaves_of

if TYPE_CHECKING:
    from typing import Self

    from airflow.providers.common.compat.sdk import BaseOperator, Context
    from jinja2 import Environment

    from airflow_provider_pika.task.expressions import Nothing

    _Operator = BaseOperator
else:
    _Operator = object

#: Where a mapped task keeps the arguments that it was made with, until it is rendered.
_ARGUMENTS = "_mapped_arguments"

#: Arguments that a mapped task gets from Airflow itself; no template field has such a name.
_OF_AIRFLOW = frozenset({"task_id", "dag", "task_group", "start_date", "end_date", "params", "_airflow_from_mapped"})

#: The arguments of a decorated function, and how their names begin among those of its task.
_OF_FUNCTION, _PREFIX = "op_kwargs", "op_kwargs."

#: Fields for which None means something, so that a template may render it: all others need a value.
_MAY_BE_NONE = frozenset({"seed", "start_timeout", "priority", "tags", "conn_id", "cancel_on_kill"})

#: Fields that take any text.
_OF_TEXT = frozenset({"prompt", "negative_prompt", "path"})

#: Fields of a decorated function, which takes whatever they render.
_OF_ITS_AUTHOR = frozenset({"op_args", "op_kwargs", "templates_dict"})

#: Expressions that an error names.
_NAMED = 5

#: Where a task keeps the expressions that came to nothing: of the field that is rendered now, and of each field, with
#: what it rendered. And the whole field that is rendered now.
_FOUND, _CAME_TO_NOTHING, _WHOLE = "_found_nothing", "_came_to_nothing", "_whole_field"

#: Where a task keeps the path objects that it was given: of each field, the object's text and the object.
_PATHS = "_path_objects"

#: Values that hold no text, and so no template.
_WITHOUT_TEXT = (type(None), bool, int, float, date, timedelta)


class RendersNoData(_Operator):
    """Renders no value of a mapped task that came of data; to be mixed into an operator, before Airflow's class.

    Where a field holds ``{{`` or ``{%`` once it is rendered, the log says that it is used as it is. What a template
    renders to nothing is for :meth:`_refuse_nothing`, since a task that is resumed needs most of its fields no more.
    """

    _may_be_none: ClassVar[frozenset[str]] = _MAY_BE_NONE
    #: As ``_may_be_none``, of the keys of dicts in a field.
    _keys_may_be_none: ClassVar[frozenset[str]] = frozenset()

    def __new__(cls, *_: Any, **arguments: Any) -> Self:
        """Keep the arguments of a mapped task: once ``__init__`` has run, nobody can tell where a value came from."""
        task: Self = super().__new__(cls)
        if "_airflow_from_mapped" in arguments:
            task.__dict__[_ARGUMENTS] = arguments
        return task

    def _path_as_text(self, field: str, path: Any) -> Any:
        """Return a path object as a text, for a field in which a template is rendered as in any other.

        :raises InvalidInput: as :func:`as_text`.
        """
        text = as_text(path, field)
        if text is not path:
            self.__dict__.setdefault(_PATHS, {})[field] = text, path
        return text

    def _as_given(self, field: str) -> Any:
        """Return a field's value as the task was given it, by which is told whether it came of data."""
        value = getattr(self, field)
        text, path = self.__dict__.get(_PATHS, {}).get(field, (None, None))
        return path if value is text and text is not None else value

    def _check_references(self, values: Mapping[str, Any], lists: Collection[str] = ()) -> None:
        """Refuse a task in place of its output, and a list of outputs in place of one, when the Dag is parsed.

        :raises InvalidInput: as :func:`check_references`.
        """
        if _ARGUMENTS not in self.__dict__:  # of a mapped task, the arguments have been expanded
            check_references(self, values, lists)

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
            self._render_and_judge(template_fields, context, jinja_env, seen_oids)
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
            field for field in template_fields if field == _OF_FUNCTION or row.is_template(field, self._as_given(field))
        ]
        # Airflow's own set of ids would stop more than data: Python has one object for every "5".
        self._render_and_judge(fields, context, jinja_env, set())
        if given:
            setattr(self, _OF_FUNCTION, {**given, **getattr(self, _OF_FUNCTION)})

    def _render_and_judge(
        self, template_fields: Iterable[str], context: Context, jinja_env: Environment, seen_oids: set[int]
    ) -> None:
        """Render each field as Airflow does, and note what in it came to nothing."""
        from airflow_provider_pika.task.expressions import judging

        found, ours = list["Nothing"](), self._judged_fields()
        judged = judging(jinja_env, found.append)
        noted = self.__dict__[_CAME_TO_NOTHING] = dict[str, tuple[Any, tuple["Nothing", ...]]]()
        for field in template_fields:
            if field not in ours:
                super()._do_render_template_fields(self, [field], context, jinja_env, seen_oids)
                continue
            found.clear()
            self._render_judged(field, context, judged, seen_oids, found)
            value = getattr(self, field)
            if field in self._may_be_none and _may_be_left_out(value, found):
                setattr(self, field, None if found else value)
            elif found:
                noted[field] = value, tuple(dict.fromkeys(found))

    def _render_judged(
        self, field: str, context: Context, judged: Environment, seen_oids: set[int], found: list[Nothing]
    ) -> None:
        from jinja2 import UndefinedError

        from airflow_provider_pika.task.expressions import Nothing

        self.__dict__[_FOUND] = found
        self.__dict__[_WHOLE] = getattr(self, field)
        try:
            super()._do_render_template_fields(self, [field], context, judged, seen_oids)
        except UndefinedError as error:  # {{ ti.xcom_pull('none').prompt }}
            found.append(Nothing("", str(error), strict=True))
        finally:
            del self.__dict__[_FOUND], self.__dict__[_WHOLE]

    def render_template(self, content: Any, *args: Any, **kwargs: Any) -> Any:
        """Render a text, or what holds texts; "None" stays a text where Airflow renders native objects.

        What another task returned is judged inside of a field: a whole field that is None is for the field's own check.
        """
        found: list[Nothing] | None = self.__dict__.get(_FOUND)
        if found is None:
            return super().render_template(content, *args, **kwargs)
        if type(content) is dict and self._keys_may_be_none.intersection(content):
            return {key: self._render_item(key, each, found, *args, **kwargs) for key, each in content.items()}
        before = len(found)
        value = super().render_template(content, *args, **kwargs)
        if hasattr(content, "resolve") and content is not self.__dict__[_WHOLE]:
            found.extend(_nothing_of(content, value))
        a_text = value is None and isinstance(content, str) and len(found) == before
        return "None" if a_text else value

    def _render_item(self, key: Any, content: Any, found: list[Nothing], *args: Any, **kwargs: Any) -> Any:
        before = len(found)
        value = self.render_template(content, *args, **kwargs)
        here = found[before:]
        if here and key in self._keys_may_be_none and _may_be_left_out(value, here):
            del found[before:]
            return None
        return value

    def _refuse_nothing(self, *fields: str, consequence: str | None = None) -> None:
        """Refuse a field in whose template something came to nothing, unless it has been given another value since.

        :param fields: those to judge; none: all.
        :param consequence: what that means for a clip.
        :raises InvalidInput: naming the fields, and their expressions.
        """
        noted: dict[str, tuple[Any, tuple[Nothing, ...]]] = self.__dict__.get(_CAME_TO_NOTHING, {})
        wrong = [
            (field, f"{field} has nothing for {each.expression or 'a part of its template'} ({each.why})")
            for field, (value, found) in noted.items()
            if (field in fields or not fields) and getattr(self, field) is value
            for each in found
        ]
        if wrong:
            more = f"; and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
            named = "; ".join(what for _, what in wrong[:_NAMED])
            texts = all(field in _OF_TEXT for field, _ in wrong)
            instead = ", or write what to use without one: {{ ... or 'a text' }}" if texts else ""
            raise InvalidInput(
                f"{named}{more}. See to it that the expression has a value{instead}.",
                consequence=consequence,
            )

    def _judged_fields(self) -> Set[str]:
        """Return the fields of this provider's own; what a user's subclass adds may be nothing."""
        ours = [each for each in type(self).__mro__ if each.__module__.partition(".")[0] == "airflow_provider_pika"]
        fields = {field for each in ours for field in vars(each).get("template_fields", ())}
        return fields - _OF_ITS_AUTHOR

    def _warn_of_braces(self, template_fields: Iterable[str]) -> None:
        for field in [each for each in template_fields if each not in self.__dict__.get(_CAME_TO_NOTHING, {})]:
            value = getattr(self, field)
            named = value if field == _OF_FUNCTION else {field: value}
            for name in [name for name, each in named.items() if holds_braces(each)]:
                self.log.warning(
                    "%s holds '{{' or '{%%' and is used as it is: a value from data is not rendered. Write a "
                    "template in .partial(...) or as a literal in .expand(...), or have the task that makes the rows "
                    "render it.",
                    name,
                )


def _may_be_left_out(value: Any, found: Sequence[Nothing]) -> bool:
    """Return whether a value is nothing, and no undefined variable that the Dag wants to be an error."""
    from airflow_provider_pika.task.expressions import is_nothing, reads_as_nothing

    nothing = is_nothing(value) or (isinstance(value, str) and reads_as_nothing(value))
    return nothing and not any(each.strict for each in found)


def _nothing_of(output: Any, value: Any) -> Iterable[Nothing]:
    """Yield that other tasks' output is nothing, if it is."""
    from airflow_provider_pika.task.expressions import Nothing, is_nothing

    if is_nothing(value):
        tasks = ", ".join(dict.fromkeys(operator.task_id for operator, _ in output.iter_references()))
        yield Nothing(f"the output of {tasks}", f"it is {value!r}")


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
        """Return whether a value is to be rendered.

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
    """Return whether this very object stands under the name: an equal one may come of data."""
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
