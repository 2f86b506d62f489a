"""Wait for a request: in the triggerer, or in a worker."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pendulum
from airflow.exceptions import AirflowRescheduleException  # the one path that 3.1 and 3.3 share
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
)

from airflow_provider_pika.exceptions import WaitTimeout
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.ids import check_request_id
from airflow_provider_pika.hooks import DEFAULT_CONNECTION
from airflow_provider_pika.links.pika import OF_A_REQUEST
from airflow_provider_pika.operators._wait import WaitsForVideo, deferral_timed_out
from airflow_provider_pika.strict_json import for_airflow
from airflow_provider_pika.task.arguments import (
    check_known_terms,
    check_switches,
    seconds_of,
    terms_of,
    with_readable_switches,
)
from airflow_provider_pika.task.errors import failing_when_a_poll_cannot_help, tells_why_it_fails
from airflow_provider_pika.task.rendering import RendersNoData
from airflow_provider_pika.task.templates import known_now, template_test_of
from airflow_provider_pika.task.terms import WatchTerms
from airflow_provider_pika.task.time_limit import Limit, as_airflows_timeout, limit_of
from airflow_provider_pika.task.xcom import push_request_id

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_pika.fal.polling import PollAgain, TooLate
    from airflow_provider_pika.fal.progress import Progress
    from airflow_provider_pika.task.templates import Templated

#: Seconds between two polls in reschedule mode, as Airflow's own sensors have it.
BETWEEN_WORKERS = 60.0

#: Where the progress of a rescheduled wait is kept between two polls, on Airflow 3.3 and newer.
_PROGRESS_KEY = "pika_progress"


class PikaVideoSensor(RendersNoData, WaitsForVideo, BaseSensorOperator):
    """Wait for a request, and return its clip as a JSON object.

    The object is the same however the sensor waits: ``url``, ``content_type``, ``file_name``, ``file_size`` (bytes),
    ``request_id``, ``endpoint``, ``inference_time`` (seconds), ``prompt``, ``seed``, ``reused`` and ``cost``. What is
    not known is null. ``reused`` says that the submitting task took an earlier clip (``reuse_within``).

    It polls once before it defers, so a clip that is ready costs no deferral. It tolerates trouble on the way to fal
    (5xx, 429, no connection) until ``timeout``. A failed clip, a refused key and an unknown request fail the task at
    once, without retries. A sensor never submits, and cancels only if you tell it to.

    :param request_id: what the submit returned: a template, or an operator's output.
    :param endpoint: the endpoint that the request was submitted to.
    :param pika_conn_id: the connection with the key. If ``pika_default`` does not exist, ``FAL_KEY`` works.
    :param poll_interval: seconds between two polls. None: when it matters, learned from recent clips. In reschedule
        mode, where each poll starts a worker, None means 60.
    :param poke_interval: Airflow's own name for ``poll_interval``.
    :param stream: follow fal's status stream while deferred, instead of polling.
    :param deferrable: wait in the triggerer, without a worker slot. False: wait as ``mode`` says. Airflow's
        ``default_deferrable`` has no effect.
    :param mode: with ``deferrable=False``, ``"poke"`` holds a worker slot, and ``"reschedule"`` frees it between two
        polls. Default: ``"poke"``.
    :param timeout: seconds from the first poll until ``AirflowSensorTimeout``, after one last poll. An earlier
        ``execution_timeout`` ends the wait too. In reschedule mode, that limits each poll. Default: Airflow's
        ``[sensors] default_timeout``, 7 days.
    :param soft_fail: skip the task on a timeout, and on every failure that Airflow would not retry. Default: ``False``.
    :param cancel_on_kill: cancel the request if a person marks the task failed, succeeded or skipped. While the task
        is deferred, this needs Airflow 3.3. It has no effect between two polls in reschedule mode. A clear cancels
        nothing.
    :param cancel_on_timeout: cancel the request when ``timeout`` has passed. A clip that ended just before is returned.
    """

    template_fields: Sequence[str] = ("request_id", "endpoint", "cancel_on_kill", "cancel_on_timeout", "pika_conn_id")
    ui_color = "#d9c2f0"
    operator_extra_links = OF_A_REQUEST
    _kind_of_terms = WatchTerms

    def __init__(
        self,
        *,
        request_id: Templated[str],
        endpoint: str = TEXT_TO_VIDEO,
        pika_conn_id: str = DEFAULT_CONNECTION,
        poll_interval: timedelta | float | None = None,
        poke_interval: timedelta | float | None = None,
        stream: bool = False,
        deferrable: bool = True,
        cancel_on_kill: Templated[bool | str] = False,
        cancel_on_timeout: Templated[bool | str] = False,
        **kwargs: Any,
    ) -> None:
        # poke_interval is named here so that Airflow's default_args reach it, too
        interval = poke_interval if poll_interval is None else poll_interval
        super().__init__(poke_interval=BETWEEN_WORKERS if interval is None else interval, **kwargs)
        self.stream = stream
        self.poll_interval = None if interval is None and (deferrable or not self.reschedule) else self.poke_interval
        if self.poke_interval <= 0:
            raise ValueError(f"poll_interval={self.poke_interval} is not allowed: it takes seconds, more than 0.")
        seconds_of("timeout", self.timeout)
        self.request_id = request_id
        self.endpoint = endpoint
        self.pika_conn_id = pika_conn_id
        self.deferrable = deferrable
        self.cancel_on_kill = cancel_on_kill
        self.cancel_on_timeout = cancel_on_timeout
        with failing_when_a_poll_cannot_help():
            self._check_what_is_known()
        if deferrable and self.reschedule:
            warnings.warn(
                f"{self.task_id}: mode='reschedule' has no effect on a PikaVideoSensor that is deferrable, which takes "
                "no worker slot. Remove it, or set deferrable=False.",
                UserWarning,
                stacklevel=2,
            )

    def _check_terms(self) -> WatchTerms:
        return self._terms_of(with_readable_switches(self._values()))

    def _terms_of(self, values: Mapping[str, Any]) -> WatchTerms:
        check_request_id(self.request_id)
        return WatchTerms(request_id=str.__str__(cast(str, self.request_id)), **terms_of(values))

    @property
    def _request_id(self) -> str:
        return cast(WatchTerms, self._terms).request_id

    def _values(self) -> dict[str, Any]:
        return {
            "request_id": self.request_id,
            "endpoint": self.endpoint,
            "cancel_on_kill": self.cancel_on_kill,
            "cancel_on_timeout": self.cancel_on_timeout,
            "pika_conn_id": self.pika_conn_id,
        }

    @tells_why_it_fails
    def execute(self, context: Context) -> dict[str, Any]:
        """Wait as configured, and return the video."""
        from airflow_provider_pika.fal.progress import Progress
        from airflow_provider_pika.hooks.pika import PikaHook

        def pause(step: PollAgain, progress: Progress, queue_url: str) -> None:
            self._remember(context, step, progress)
            self._pause(context, step, progress, queue_url)

        with self._failing_as_a_sensor_does(), failing_when_a_poll_cannot_help():
            self._refuse_nothing()
            self._agree(self._terms_of(self._values()))
            request_id = self._request_id
            told = self._memory(context)
            counts = {name: told.get(name, 0) for name in ("failures", "doubts")}
            wait = self._begin_wait(request_id, self._limit(context), **counts)
            with PikaHook(self._terms.pika_conn_id).get_conn() as queue:
                self._cancel_if_killed(context, queue, request_id, or_cleared=False)
                ending = self._watch(queue, wait, Progress(told), pause)
            return self._finish(context, ending)

    @tells_why_it_fails
    def execute_complete(
        self, context: Context, event: Mapping[str, Any] | None = None, terms: str | None = None
    ) -> dict[str, Any]:
        """Take over from the trigger, and return the video."""
        with self._failing_as_a_sensor_does(), failing_when_a_poll_cannot_help():
            return super().execute_complete(context, event, terms)

    @tells_why_it_fails
    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral; where Airflow itself ended it, poll once more, and cancel if that was asked for."""
        if not (reason := deferral_timed_out(next_method, next_kwargs)):
            return super().resume_execution(next_method, next_kwargs, context)
        with self._failing_as_a_sensor_does(), failing_when_a_poll_cannot_help():
            self._agree(self._check_terms())
            return self._finish(context, self._last_poll(self._request_id, reason))

    @property
    def _rescheduling(self) -> bool:
        return self.reschedule and not self.deferrable

    def _memory(self, context: Context) -> dict[str, Any]:
        """Return what an earlier poll of a rescheduled wait left; nothing, if that was for another request."""
        store: Any = context.get("task_state_store") if self._rescheduling else None
        with self._cosmetic():
            told = store.get(_PROGRESS_KEY) if store else None
            return told if told and told["request_id"] == self._request_id else {}
        return {}

    def _remember(self, context: Context, step: PollAgain, progress: Progress) -> None:
        store: Any = context.get("task_state_store") if self._rescheduling else None
        with self._cosmetic():
            if store:
                counts = {"failures": step.wait.failures, "doubts": step.wait.doubts}
                state = {"request_id": self._request_id, **counts, **progress.memory()}
                store.set(_PROGRESS_KEY, for_airflow(state))

    @contextmanager
    def _cosmetic(self) -> Iterator[None]:
        """Run what only keeps the log tidy: its failure must not fail a healthy wait."""
        try:
            yield
        except Exception:
            self.log.warning("The earlier log lines are unknown, so lines may appear twice.", exc_info=True)

    def _limit(self, context: Context) -> Limit:
        if not self._rescheduling:
            limit = limit_of(self, context["ti"])
            return limit if self.deferrable else limit.before_the_alarm()
        # Airflow counts execution_timeout in each worker, and not between two of them, in this mode by design
        start = context["ti"].get_first_reschedule_date(context)
        return Limit((start.timestamp() if start else time.time()) + self.timeout, self.timeout, "timeout")

    def _pause(self, context: Context, step: PollAgain, progress: Progress, queue_url: str) -> None:
        if self.deferrable:
            if self._terms.cancel_on_kill:
                push_request_id(context, self._request_id, self.log)
            self._defer_wait(step, progress, queue_url)
        if self._rescheduling:
            raise AirflowRescheduleException(pendulum.now("UTC").add(seconds=step.after))
        time.sleep(step.after)

    def _submitters(self) -> list[str]:
        from airflow_provider_pika.operators.pika import submitting_before

        return submitting_before(self)

    def _time_is_up(self, late: TooLate) -> BaseException:
        if late.limit != "timeout":
            consequence = f"{late.consequence} A retry polls the same request again, and submits nothing."
            return as_airflows_timeout(WaitTimeout(late.message, consequence=consequence, request_id=late.request_id))
        next_time = (
            "For a new clip, clear the task that submitted it, which pays again."
            if late.cancelled
            else f"Clear this task {'soon ' if late.completed else ''}to poll the same request again, which submits "
            "nothing."
        )
        return AirflowSensorTimeout(f"{late.message} {late.consequence} {next_time}")

    def _check_what_is_known(self) -> None:
        is_template = template_test_of(self)
        check_switches(self, "deferrable", "stream")
        self._check_references(self._values())
        if known_now({"request_id": self.request_id}, is_template):
            check_request_id(self.request_id)
        check_known_terms(self._values(), is_template)

    @contextmanager
    def _failing_as_a_sensor_does(self) -> Iterator[None]:
        """Apply ``soft_fail`` and ``never_fail`` as BaseSensorOperator applies them to a poke, whatever the mode."""
        try:
            yield
        except (AirflowRescheduleException, AirflowSkipException):
            raise
        except (Exception, AirflowTaskTimeout) as error:  # which is a BaseException
            final = isinstance(error, AirflowSensorTimeout | AirflowFailException | AirflowTaskTimeout)
            if self.never_fail or (self.soft_fail and final):
                self.log.warning("Skipping: %s", error)  # Airflow logs a skip without its reason
                raise AirflowSkipException(str(error)) from error
            raise
