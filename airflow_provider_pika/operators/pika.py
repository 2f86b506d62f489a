"""Ask for a video, once, whatever happens to the task."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, BaseOperator

from airflow_provider_pika.exceptions import GenerationCancelled, PikaError, SubmitUnknown, WaitTimeout
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.hooks import DEFAULT_CONNECTION
from airflow_provider_pika.links.pika import OF_A_REQUEST
from airflow_provider_pika.operators._reuse import check_seeds, reuse_of, reuse_within_of
from airflow_provider_pika.operators._wait import WaitsForVideo, deferral_timed_out
from airflow_provider_pika.task.arguments import (
    check_switches,
    check_what_is_known,
    clip_terms_of,
    seconds_of,
    terms_of,
    timeout_of,
    wanted_of,
    with_readable_switches,
)
from airflow_provider_pika.task.errors import failing_when_a_submit_cannot_help, tells_why_it_fails
from airflow_provider_pika.task.rendering import RendersNoData
from airflow_provider_pika.task.state import records_of
from airflow_provider_pika.task.templates import template_test_of
from airflow_provider_pika.task.terms import ClipTerms, Terms
from airflow_provider_pika.task.time_limit import as_airflows_timeout, limit_of
from airflow_provider_pika.task.xcom import pull_request_id, push_request, push_request_id

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_pika.fal.budget import Budget
    from airflow_provider_pika.fal.client import FalQueue
    from airflow_provider_pika.fal.polling import Ending, PollAgain, TooLate
    from airflow_provider_pika.fal.prices import Cost
    from airflow_provider_pika.fal.progress import Progress
    from airflow_provider_pika.task.templates import Templated


class PikaTextToVideoOperator(RendersNoData, WaitsForVideo, BaseOperator):
    """Submit one request for a clip, and pay for it once.

    It returns fal's request ID, a string, as soon as fal has accepted the request. With ``wait_for_completion`` it
    waits as :class:`~airflow_provider_pika.sensors.pika.PikaVideoSensor` does, and returns the same JSON object.
    Either way it pushes the ID first, as XCom ``request_id``. On Airflow 3.3, a retry resumes the request of an
    earlier attempt.

    :param prompt: what the clip shows. A text that is not empty.
    :param resolution: ``"480p"``, ``"720p"`` or ``"1080p"``.
    :param duration: seconds, 5 or 10, as a number of any kind or as text.
    :param negative_prompt: what the clip must not show.
    :param seed: an integer, for a clip that can be made again. None: the task picks a random one, and logs it.
    :param endpoint: another Pika model at fal that takes the same input.
    :param extra_arguments: a dict of inputs that such a model takes besides, such as ``{"aspect_ratio": "9:16"}``. They
        are sent unchecked.
    :param start_timeout: seconds, above 0.1, within which fal must start the request. Then fal drops it. None: no
        limit.
    :param priority: ``"low"`` waits behind everybody's ``"normal"``. None: fal's default, ``"normal"``.
    :param tags: a dict of tags for fal's reports, such as ``{"team": "social"}``, beside ``dag``, ``task`` and ``run``.
    :param max_cost: the most that this task may spend in all its attempts, in the price's currency. Above it, or if the
        price is unknown, the task submits nothing and fails without retries. On Airflow 3.1 and 3.2, it holds for one
        attempt. None: no limit.
    :param reuse_within: a timedelta, or seconds. A request of another Dag run with exactly this input is taken, if it
        ended well in that time, and its file is still there. Then nothing is submitted, and nothing is paid. It needs a
        ``seed``. A cleared task takes none. None: every clip is a new one.
    :param on_unknown_submit: what to do if fal may have accepted a submit, and the request cannot be found. ``"fail"``
        fails without retries, so that a person decides. ``"resubmit"`` submits once more, and you may pay twice.
    :param on_clear: what a person who clears the task gets. ``"resubmit"``: a new clip. ``"reuse"``: the one there is.
    :param wait_for_completion: wait for the clip, and return it. A template must render ``true`` or ``false``.
    :param deferrable: wait in the triggerer, without a worker slot. Airflow's ``default_deferrable`` has no effect.
    :param poll_interval: seconds between two polls. None: when it matters, learned from recent clips.
    :param stream: follow fal's status stream while deferred, instead of polling.
    :param timeout: seconds that one attempt waits. Then it fails, and a retry waits for the same request. On Airflow
        3.1 and 3.2, the retry submits, and pays, again. None: Airflow's ``[sensors] default_timeout``, 7 days. An
        earlier ``execution_timeout`` ends the wait too.
    :param cancel_on_kill: cancel the request if a person kills the task. While the task is deferred, this needs
        Airflow 3.3. None: cancel if it waits.
    :param cancel_on_timeout: cancel the request when ``timeout`` has passed. A clip that ended just before is returned.
    :param pika_conn_id: the connection with the key. If ``pika_default`` does not exist, ``FAL_KEY`` works.
    """

    template_fields: Sequence[str] = (
        "prompt",
        "resolution",
        "duration",
        "negative_prompt",
        "seed",
        "endpoint",
        "extra_arguments",
        "start_timeout",
        "priority",
        "tags",
        "max_cost",
        "on_unknown_submit",
        "on_clear",
        "wait_for_completion",
        "cancel_on_kill",
        "cancel_on_timeout",
        "pika_conn_id",
    )
    template_fields_renderers = {"extra_arguments": "json"}  # noqa: RUF012 (Airflow's own declaration)
    ui_color = "#efe3fa"
    operator_extra_links = OF_A_REQUEST
    _kind_of_terms = ClipTerms
    #: Whether there may be a seed only when the task runs, though none was given.
    _seed_comes_later = False

    def __init__(
        self,
        *,
        prompt: Templated[str],
        resolution: Templated[str] = "720p",
        duration: Templated[int | str] = 5,
        negative_prompt: Templated[str] = "ugly, bad, terrible",
        seed: Templated[int | str | None] = None,
        endpoint: str = TEXT_TO_VIDEO,
        extra_arguments: Templated[Mapping[str, Any] | None] = None,
        start_timeout: float | str | None = None,
        priority: str | None = None,
        tags: Templated[Mapping[str, Any] | None] = None,
        max_cost: Templated[Decimal | float | str | None] = None,
        reuse_within: timedelta | float | None = None,
        on_unknown_submit: str = "fail",
        on_clear: str = "resubmit",
        wait_for_completion: Templated[bool | str] = False,
        deferrable: bool = True,
        poll_interval: timedelta | float | None = None,
        stream: bool = False,
        timeout: timedelta | float | None = None,
        cancel_on_kill: Templated[bool | str | None] = None,
        cancel_on_timeout: Templated[bool | str] = False,
        pika_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.prompt = prompt
        self.resolution = resolution
        self.duration = duration
        self.negative_prompt = negative_prompt
        self.seed = seed
        self.endpoint = endpoint
        self.extra_arguments = extra_arguments
        self.start_timeout = start_timeout
        self.priority = priority
        self.tags = tags
        self.max_cost = max_cost
        self.reuse_within = reuse_within_of(reuse_within)
        self.on_unknown_submit = on_unknown_submit
        self.on_clear = on_clear
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = None if poll_interval is None else seconds_of("poll_interval", poll_interval)
        self.stream = stream
        self.timeout = timeout_of(timeout)
        self.cancel_on_kill = cancel_on_kill
        self.cancel_on_timeout = cancel_on_timeout
        self.pika_conn_id = pika_conn_id
        with failing_when_a_submit_cannot_help():
            check_switches(self, "deferrable", "stream")
            self._check_references(self._values())
            check_what_is_known(self._values(), template_test_of(self))
            if self.reuse_within and not self._seed_comes_later:
                check_seeds([self._values()])

    @tells_why_it_fails
    def execute(self, context: Context) -> Any:
        """Return the request id, or the video; submit only where no earlier attempt's request can bring it."""
        with failing_when_a_submit_cannot_help():
            return self._generate(context, self._ask(context))

    @tells_why_it_fails
    def execute_complete(
        self, context: Context, event: Mapping[str, Any] | None = None, terms: str | None = None
    ) -> dict[str, Any]:
        """Take over from the trigger, and return the video."""
        with failing_when_a_submit_cannot_help():
            return super().execute_complete(context, event, terms)

    @tells_why_it_fails
    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral; where Airflow itself ended it, poll once more, and cancel if that was asked for."""
        reason = deferral_timed_out(next_method, next_kwargs)
        request_id = self._known_request_id(context) if reason else None
        if reason is None or request_id is None:
            return super().resume_execution(next_method, next_kwargs, context)
        with failing_when_a_submit_cannot_help():
            # Airflow has dropped what the deferral carried: the record has the endpoint, the rest is checked anew
            record = records_of(context).read()
            terms = self._check_terms()
            self._agree(replace(terms, endpoint=record.endpoint) if record else terms)
            return self._finish(context, self._last_poll(request_id, reason))

    def _ask(self, context: Context) -> ClipTerms:
        """Check everything, before anything is asked of Airflow or fal."""
        self._refuse_nothing()
        terms = clip_terms_of(self._values())
        if self.reuse_within:
            check_seeds([terms.arguments])
        return terms

    def _check_terms(self) -> Terms:
        """Check what a wait needs. The input is not looked at: who waits has a request already."""
        values = terms_of(with_readable_switches(self._values()))
        return Terms(**{field.name: values[field.name] for field in fields(Terms)})

    def _generate(self, context: Context, terms: ClipTerms) -> Any:
        from airflow_provider_pika.hooks.pika import PikaHook

        self._agree(terms)
        with PikaHook(terms.pika_conn_id).get_conn() as queue:
            request_id = self._obtain(context, queue, terms)
            self._cancel_if_killed(context, queue, request_id, or_cleared=terms.cancel_on_clear)
            if self._killing.fired:  # while it submitted
                self._killing.fire(self.log)
            if not terms.wait_for_completion:
                return request_id
            ending = self._wait(context, queue, request_id)
        return self._finish(context, ending)

    def _obtain(self, context: Context, queue: FalQueue, terms: ClipTerms) -> str:
        from airflow_provider_pika.fal.submission import Submission

        records = records_of(context)
        if not records.survives:
            self.log.warning(
                "This Airflow keeps no task state (3.3 does). A retry of this task submits again, and pays again."
            )
        if (before := records.read()) and before.request_id:  # for a clean-up branch, whatever comes now
            push_request_id(context, before.request_id, self.log)
        budget = self._budget(terms) if terms.max_cost else None
        reuse = reuse_of(self.reuse_within, context, self.retries, terms.pika_conn_id, self.log.info)
        wanted = wanted_of(terms, context["ti"], queue.account, terms.arguments, budget, reuse)
        check = partial(self._stop_if_it_may_not_submit, context)
        submission = Submission(wanted, records, queue.account.platform_url, self.log.info, check)
        try:
            record = queue.hold(submission.obtain())
        except WaitTimeout as error:
            raise as_airflows_timeout(error) from error
        except PikaError as error:
            self._count(context, error)
            raise
        except AirflowTaskTimeout as error:  # Airflow retries after its execution_timeout
            begun = None if records.survives else records.read()
            if begun and begun.state == "intent":
                raise SubmitUnknown(f"The submit to {terms.endpoint} was cut off: {error}.") from None
            raise
        push_request_id(context, str(record.request_id), self.log)
        push_request(context, record.asked(terms.endpoint, terms.arguments), self.log)
        return str(record.request_id)

    def _budget(self, terms: ClipTerms) -> Budget:
        from airflow_provider_pika.fal.budget import TaskBudget
        from airflow_provider_pika.fal.prices import estimate
        from airflow_provider_pika.hooks.pika import PikaHook

        def cost() -> Cost:
            return estimate(terms.endpoint, terms.arguments, PikaHook(terms.pika_conn_id).prices([terms.endpoint]))

        return TaskBudget(Decimal(str(terms.max_cost)), cost)

    def _stop_if_it_may_not_submit(self, context: Context) -> None:
        self._stop_if_killed()
        if limit_of(self, context["ti"]).deadline <= time.time():
            raise WaitTimeout(
                "The execution_timeout has passed.", consequence="Nothing was submitted. A retry submits."
            )

    def _wait(self, context: Context, queue: FalQueue, request_id: str) -> Ending:
        from airflow_provider_pika.fal.progress import Progress

        limit = limit_of(self, context["ti"])
        wait = self._begin_wait(request_id, limit if self.deferrable else limit.before_the_alarm())
        return self._watch(queue, wait, Progress(), self._pause)

    def _pause(self, step: PollAgain, progress: Progress, queue_url: str) -> None:
        if self.deferrable:
            self._defer_wait(step, progress, queue_url)
        time.sleep(step.after)

    def _finish(self, context: Context, ending: Ending) -> dict[str, Any]:
        """Conclude; but replace a request of an earlier attempt that was about to be cancelled when it was taken up."""
        from airflow_provider_pika.fal.polling import Failed
        from airflow_provider_pika.fal.recovery import say_how_to_go_on

        cancelled = isinstance(ending, Failed) and isinstance(ending.error, GenerationCancelled)
        if cancelled and self._may_submit_again(context) and self._was_taken_up(context):
            terms = self._terms if isinstance(self._terms, ClipTerms) else self._ask(context)
            return self._generate(context, terms)  # type: ignore[no-any-return]
        if isinstance(ending, Failed):
            say_how_to_go_on(ending.error)
        return super()._finish(context, ending)

    def _may_submit_again(self, context: Context) -> bool:
        """Return whether this attempt may pay for another request: it has time to wait for it, and was not stopped."""
        return not self._killing.fired and time.time() < limit_of(self, context["ti"]).deadline

    def _was_taken_up(self, context: Context) -> bool:
        record = records_of(context).read()
        return record is not None and record.attempt < context["ti"].try_number

    def _known_request_id(self, context: Context) -> str | None:
        record = records_of(context).read()
        return (record and record.request_id) or pull_request_id(context)

    def _submitters(self) -> list[str]:
        return [self.task_id]

    def _time_is_up(self, late: TooLate) -> BaseException:
        next_try = (
            "A retry submits a new request, once this one has stopped."
            if late.cancelled
            else "On Airflow 3.3, a retry waits for the same request, and submits nothing."
        )
        error = WaitTimeout(late.message, consequence=f"{late.consequence} {next_try}", request_id=late.request_id)
        return error if late.limit == "timeout" else as_airflows_timeout(error)

    def _values(self) -> dict[str, Any]:
        """Return the arguments by name: a subclass may add to its template_fields, or drop some."""
        return {
            "prompt": self.prompt,
            "resolution": self.resolution,
            "duration": self.duration,
            "negative_prompt": self.negative_prompt,
            "seed": self.seed,
            "endpoint": self.endpoint,
            "extra_arguments": self.extra_arguments,
            "start_timeout": self.start_timeout,
            "priority": self.priority,
            "tags": self.tags,
            "max_cost": self.max_cost,
            "on_unknown_submit": self.on_unknown_submit,
            "on_clear": self.on_clear,
            "wait_for_completion": self.wait_for_completion,
            "cancel_on_kill": self.wait_for_completion if self.cancel_on_kill is None else self.cancel_on_kill,
            "cancel_on_timeout": self.cancel_on_timeout,
            "pika_conn_id": self.pika_conn_id,
        }


def submitting_before(task: BaseOperator) -> list[str]:
    """Return the tasks before one that submit; asking the others costs a call and a line in the log each."""
    return sorted(each.task_id for each in task.get_flat_relatives(upstream=True) if submits(each))


def submits(task: Any) -> bool:
    """Return whether a task, mapped or not, asks for a clip."""
    return issubclass(getattr(task, "operator_class", type(task)), PikaTextToVideoOperator)
