"""Which expressions of a template come to nothing: judged before Jinja makes a text such as "None" of them.

Jinja's ``finalize`` sees what stands in ``{{ }}``, but not what ``~``, a filter of texts or ``format`` have made a text
of before. So each of these operands is judged, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, StrictUndefined, Undefined, nodes, pass_context
from jinja2.runtime import Context
from jinja2.visitor import NodeTransformer

#: The filter that an operand is passed through; and the one for operands of which a text may use some, not all.
_JUDGE, _JUDGE_WHAT_IS_USED = "airflow_provider_pika.judge", "airflow_provider_pika.judge_what_is_used"

#: Jinja's filters that make a text of whatever they get; and methods that a template calls on a text.
_OF_TEXT = frozenset(
    {"capitalize", "center", "e", "escape", "forceescape", "format", "indent", "join", "lower", "pprint", "replace"}
    | {"safe", "string", "striptags", "title", "trim", "truncate", "upper", "urlencode", "urlize", "wordcount"}
    | {"wordwrap"}
)
#: Methods of a text that an expression may call.
_METHODS = frozenset({"format", "join"})

#: What pandas has for a value that is missing, and is no float.
_MISSING = frozenset({"NaTType", "NAType"})


@dataclass(frozen=True)
class Nothing:
    """An expression that came to nothing.

    :param expression: as its author wrote it, brackets included; "" where that is not known.
    :param why: what it came to.
    :param strict: the Dag wants undefined variables to be errors (``template_undefined``, Airflow's default).
    """

    expression: str
    why: str
    strict: bool = False


def judging(env: Environment, found: Callable[[Nothing], object]) -> Environment:
    """Return an environment that renders as ``env`` does, and tells of each expression that comes to nothing.

    What a ``finalize`` of the Dag's own makes of a value is judged, not the value. An undefined variable becomes an
    empty text, since it was told of.
    """
    judged = env.overlay()
    judged.bytecode_cache = None  # the Dag's own, if it has one, is for templates that are not judged
    finalize = env.finalize and _with_context(env.finalize)

    @pass_context
    def judge(context: Context, value: Any, expression: str, each: bool = False) -> Any:
        if each and isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | Undefined):
            value = list(value) if isinstance(value, Iterator) else value  # which can be read only once
            values = value
        else:
            values = (value,)
        told = False
        for one in values:
            if is_nothing(seen := finalize(context, one) if finalize else one) and not _is_left_out(seen):
                why = seen._undefined_message if isinstance(seen, Undefined) else f"it is {seen!r}"
                found(Nothing(expression, why, isinstance(one, StrictUndefined)))
                told = True
        return "" if isinstance(value, Undefined) and (told or _is_left_out(value)) else value

    @pass_context
    def judge_what_is_used(context: Context, value: Any, expression: str, of_a_call: bool) -> Any:
        return _marked(value, lambda one: judge(context, one, expression), of_a_call)

    def parse(source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = type(env)._parse(judged, source, name, filename)
        _Judged(judged, source).visit(tree)
        tree.set_environment(judged)
        return tree

    judged.filters = {**env.filters, _JUDGE: judge, _JUDGE_WHAT_IS_USED: judge_what_is_used}
    judged._parse = parse  # type: ignore[method-assign]
    return judged


def is_nothing(value: Any) -> bool:
    """Return whether a value is none: None, undefined, not a number, or outputs of other tasks that are all None."""
    if value is None or isinstance(value, Undefined) or type(value).__name__ in _MISSING:
        return True
    if isinstance(value, list | tuple):
        return bool(value) and all(each is None for each in value)
    if isinstance(value, Sequence) and type(value).__module__.startswith("airflow.sdk."):
        return all(each is None for each in value)  # of a mapped task
    return not hasattr(value, "__len__") and _is_not_a_number(value)


def reads_as_nothing(text: str) -> bool:
    """Return whether a text is what Jinja makes of one such value, and nothing else."""
    return text.strip().lower() in ("", "none", "nan", "nat", "<na>")


def _is_left_out(value: Any) -> bool:
    """Return whether a value is that of an inline ``if`` without an ``else``: its author wants an empty text."""
    return type(value) is Undefined and str(value._undefined_hint).startswith("the inline if-expression")


def _is_not_a_number(value: Any) -> bool:
    try:
        return bool(value != value)  # floats, numpy's and Decimal's
    except Exception:
        return False


def _with_context(finalize: Callable[..., Any]) -> Callable[[Context, Any], Any]:
    """Return a Dag's own ``finalize`` with Jinja's context as its first argument, whatever it takes itself."""
    takes = getattr(getattr(finalize, "jinja_pass_arg", None), "name", None)
    first: dict[str | None, Callable[[Context], tuple[Any, ...]]] = {
        "context": lambda context: (context,),
        "eval_context": lambda context: (context.eval_ctx,),
        "environment": lambda context: (context.environment,),
    }
    before = first.get(takes, lambda _: ())
    return lambda context, value: finalize(*before(context), value)  # type: ignore[no-untyped-call]


class _Used:
    """Stands for a value that is nothing, which is judged once a text is made of it."""

    def __init__(self, value: Any, judge: Callable[[Any], Any]) -> None:
        self._value = value
        self._judge = judge

    def __repr__(self) -> str:
        return repr(self._value)  # of a mapping that is a text as a whole

    def __str__(self) -> str:
        return str(self._judge(self._value))

    def __format__(self, _: str) -> str:
        return str(self)

    def __float__(self) -> float:
        return float(self._judge(self._value))


def _marked(value: Any, judge: Callable[[Any], Any], of_a_call: bool) -> Any:
    """Return a mapping, or a call's arguments, with what is nothing in them to be judged where it is used."""

    def mark(one: Any) -> Any:
        return _Used(one, judge) if is_nothing(one) else one

    if isinstance(value, Mapping):
        return {key: mark(one) for key, one in value.items()} if any(map(is_nothing, value.values())) else value
    return [mark(one) for one in value] if of_a_call else value


class _Judged(NodeTransformer):
    """Puts the filter around each operand that becomes a text.

    Jinja's own names of nodes name the methods.
    """

    def __init__(self, env: Environment, source: str) -> None:
        self._env = env
        self._source = source
        self._written: Iterator[str] | None = None
        self._expression = ""

    def visit_Output(self, node: nodes.Output) -> nodes.Node:  # noqa: N802
        for place, child in enumerate(node.nodes):
            if not isinstance(child, nodes.TemplateData):
                self._expression = self._next_expression()
                node.nodes[place] = self._judged(self.visit(child))
                self._expression = ""
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.nodes = [self._judged(each) for each in node.nodes]
        return node

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        first = node.args[0] if node.args else None
        if node.name == "map" and isinstance(first, nodes.Const) and first.value in _OF_TEXT:  # words | map('upper')
            node.node = node.node and self._judged(node.node, each=True)
        if node.name in _OF_TEXT:
            if node.name == "join":
                self._take_the_attributes_first(node)
            node.node = node.node and self._judged(node.node, each=node.name == "join")
            if node.name == "format":
                self._judge_arguments(node)
        return node

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if isinstance(node.node, nodes.Getattr) and node.node.attr in _METHODS:
            self._judge_arguments(node, each=node.node.attr == "join")
        return node

    def visit_Mod(self, node: nodes.Mod) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.right = self._judged(node.right, each=True)  # "%s %s" % (value, value)
        node.right = self._judged_where_used(node.right, of_a_call=False)  # "%(name)s" % mapping
        return node

    def _judge_arguments(self, node: nodes.Call | nodes.Filter, *, each: bool = False) -> None:
        node.args = [self._judged(argument, each=each) for argument in node.args]
        for keyword in node.kwargs:
            if isinstance(keyword, nodes.Keyword):
                keyword.value = self._judged(keyword.value)
        if not each:
            node.dyn_args = node.dyn_args and self._judged_where_used(node.dyn_args, of_a_call=True)
            node.dyn_kwargs = node.dyn_kwargs and self._judged_where_used(node.dyn_kwargs, of_a_call=True)

    def _take_the_attributes_first(self, node: nodes.Filter) -> None:
        """Make ``rows | map(attribute='name') | join(', ')`` of ``rows | join(', ', attribute='name')``."""
        named = [each for each in node.kwargs if isinstance(each, nodes.Keyword) and each.key == "attribute"]
        attribute = named[0].value if named else node.args[1] if len(node.args) > 1 else None
        if node.node is None or attribute is None or (isinstance(attribute, nodes.Const) and attribute.value is None):
            return
        node.kwargs = [each for each in node.kwargs if each not in named]
        node.args = node.args[:1]
        keyword = nodes.Keyword("attribute", attribute, lineno=node.lineno)
        node.node = nodes.Filter(node.node, "map", [], [keyword], None, None, lineno=node.lineno)

    def _judged(self, node: nodes.Expr, *, each: bool = False) -> nodes.Expr:
        """Return a node that judges what another one brings; ``each``: what is in it becomes a text, one by one."""
        if isinstance(node, nodes.Const) and node.value is not None and not self._env.finalize:
            return node
        arguments: list[nodes.Expr] = [nodes.Const(known, lineno=node.lineno) for known in (self._expression, each)]
        return nodes.Filter(node, _JUDGE, arguments, [], None, None, lineno=node.lineno)

    def _judged_where_used(self, node: nodes.Expr, *, of_a_call: bool) -> nodes.Expr:
        """Return a node that judges what is in a mapping, or among a call's arguments, once a text is made of it."""
        arguments: list[nodes.Expr] = [
            nodes.Const(known, lineno=node.lineno) for known in (self._expression, of_a_call)
        ]
        return nodes.Filter(node, _JUDGE_WHAT_IS_USED, arguments, [], None, None, lineno=node.lineno)

    def _next_expression(self) -> str:
        if self._written is None:
            self._written = _expressions_of(self._env, self._source)
        return next(self._written, "")


def _expressions_of(env: Environment, source: str) -> Iterator[str]:
    """Yield the expressions of a template, as they are written."""
    begun: list[str] = []
    for _, kind, text in env.lex(source):
        if kind == "variable_begin" or begun:
            begun.append(text)
        if kind == "variable_end":
            yield "".join(begun).strip()
            begun = []
