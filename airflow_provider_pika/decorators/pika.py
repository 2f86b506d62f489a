"""``@task.pika_text_to_video``: a function writes the prompt, and the task makes a video of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import DecoratedOperator, determine_kwargs, task_decorator_factory

from airflow_provider_pika.decorators.returned import INPUTS, Returned, inputs_of, no_prompt
from airflow_provider_pika.exceptions import LONGEST_MESSAGE
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.strict_json import one_line
from airflow_provider_pika.task.templates import holds_templates

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, TaskDecorator

    from airflow_provider_pika.task.terms import ClipTerms

#: Stands for the prompt until the function has run.
_RETURNED: Any = Returned()


class _PikaTextToVideoDecoratedOperator(DecoratedOperator, PikaTextToVideoOperator):
    """``PikaTextToVideoOperator``, whose inputs a function returns when the task is executed.

    Only ``execute`` calls the function: a task that is resumed after a deferral has its inputs from there.

    :param python_callable: returns a prompt, or a dict of inputs.
    :param op_args: its arguments; a template.
    :param op_kwargs: its arguments by name; a template.
    :param prompt: as the other inputs among the operator's parameters, it holds where the function returns none.
    """

    template_fields: Sequence[str] = (*DecoratedOperator.template_fields, *PikaTextToVideoOperator.template_fields)
    template_fields_renderers = {  # noqa: RUF012 (Airflow's own declaration)
        **DecoratedOperator.template_fields_renderers,
        **PikaTextToVideoOperator.template_fields_renderers,
    }
    custom_operator_name = "@task.pika_text_to_video"
    _seed_comes_later = True
    overwrite_rtif_after_execution = True  # so that Airflow's UI shows what the function returned

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        prompt: Any = _RETURNED,
        **kwargs: Any,
    ) -> None:
        super().__init__(python_callable=python_callable, op_args=op_args, op_kwargs=op_kwargs, prompt=prompt, **kwargs)

    def _ask(self, context: Context) -> ClipTerms:
        """Call the function, and check what it returned with the rest."""
        self._take(self._call(context))
        return super()._ask(context)

    def _call(self, context: Context) -> Any:
        # a dict of its own, since an argument may be named like what the operator needs of the context
        known = {**context, **self.op_kwargs}
        return self.python_callable(*self.op_args, **determine_kwargs(self.python_callable, self.op_args, known))

    def _take(self, returned: Any) -> None:
        function = self.python_callable.__name__
        given = inputs_of(returned, function)
        inputs = {**self._decorators_own, **given}
        if isinstance(inputs["prompt"], Returned):
            raise no_prompt(function)
        self.log.info("%s() returned: %s", function, one_line(repr(given), LONGEST_MESSAGE))
        if holds_templates(given):
            self.log.warning(
                "It is no template, so the braces are sent as they are. Let %s() take the values as arguments, "
                "params for example.",
                function,
            )
        for name, value in inputs.items():
            setattr(self, name, value)

    @cached_property
    def _decorators_own(self) -> dict[str, Any]:
        # as they were before the function's took their place: an attempt may call it again
        return {name: getattr(self, name) for name in INPUTS}


def pika_text_to_video_task(
    python_callable: Callable[..., Any] | None = None, *, multiple_outputs: bool = False, **kwargs: Any
) -> TaskDecorator:
    """Make a task of a function that returns a prompt, or a dict of inputs. ``@task.pika_text_to_video`` is this.

    The task returns what ``PikaTextToVideoOperator`` does, the request ID or the clip.

    :param python_callable: the function. It may return a text, the prompt; or a dict with any of ``prompt``,
        ``resolution``, ``duration``, ``negative_prompt``, ``seed`` and ``extra_arguments``. Neither is a template.
    :param multiple_outputs: push each key of the clip as an XCom too. The annotation of the function's return value
        has no effect, since the task returns something else.
    :param kwargs: the parameters of ``PikaTextToVideoOperator``. The inputs among them hold where the function gives
        none, and ``prompt`` may be missing.
    """
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=multiple_outputs,
        decorated_operator_class=_PikaTextToVideoDecoratedOperator,
        **kwargs,
    )
