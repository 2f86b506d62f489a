"""Ask for a video, once, whatever happens to the task."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, BaseOperator

from airflow_provider_pika.exceptions import GenerationCancelled, SubmitUnknown, TryLater, WaitTimeout
from airflow_provider_pika.failures import failing_when_a_submit_cannot_help, tells_why_it_fails
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.hooks import DEFAULT_CONNECTION
from airflow_provider_pika.operators.inputs import (
    arguments_of,
    check_what_is_known,
    seconds_of,
    timeout_of,
    wanted_of,
)
from airflow_provider_pika.rendering import RendersNoData
from airflow_provider_pika.task_state import records_of
from airflow_provider_pika.waiting import WaitsForVideo, deferral_timed_out
from airflow_provider_pika.xcoms import pull_request_id, push_request, push_request_id

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_pika.fal.client import FalQueue
    from airflow_provider_pika.fal.polling import Ending, LookAgain, TooLate
    from airflow_provider_pika.fal.progress import Progress
    from airflow_provider_pika.templates import Templated


class PikaTextToVideoOperator(RendersNoData, WaitsForVideo, BaseOperator):
    """Ask Pika for a video of a prompt, and pay for it once.

    It returns fal's request id, a string, as soon as fal accepted it; with ``wait_for_completion`` it waits as
    ``PikaVideoSensor`` does, and returns the same JSON object. Either way the id is pushed first, as XCom
    ``request_id``.

    From Airflow 3.3 on, a retry takes the request up that is kept in the task's state; README has the table of what an
    attempt does about what an earlier one left.

    :param prompt: what the video shows.
    :param resolution: "480p", "720p" or "1080p".
    :param duration: seconds, 5 or 10; as a number or as text.
    :param negative_prompt: what the video shall not show.
    :param seed: an integer, for a video that can be made again; None draws one, and logs it.
    :param endpoint: another Pika model at fal that takes the same input.
    :param extra_arguments: inputs that such a model takes besides, ``{"aspect_ratio": "9:16"}`` say; sent unchecked.
    :param start_timeout: seconds, above 0.1, within which fal must start the request, or drop it; None: no limit.
    :param priority: "low" waits behind everybody's "normal", which is fal's default.
    :param on_unknown_submit: when fal may have accepted a submit and the request is not to be found: "fail" without a
        retry, so that a person decides, or "resubmit", which may pay twice.
    :param on_clear: a person who clears the task wants a new clip, "resubmit", or the one there is, "reuse".
    :param wait_for_completion: wait for the video, and return it.
    :param deferrable: wait in the triggerer, without a worker slot.
    :param poll_interval: seconds between two looks; None: where they matter, by what such clips have taken lately.
    :param stream: follow fal's status stream while deferred, instead of polling.
    :param end_from_trigger: end in the triggerer when the video is there, which saves a worker's start, but tells no
        listener; a task that needs more of its end (``outlets``, a callback, see README) ends in a worker.
    :param timeout: seconds that one attempt waits; then it fails, and a retry waits on. None: Airflow's
        ``[sensors] default_timeout``, 7 days.
    :param cancel_on_kill: cancel the request when a person kills the task; None: if it waits. While it is deferred,
        from Airflow 3.3 on.
    :param cancel_on_timeout: cancel the request when ``timeout`` has passed; what ended just before is kept.
    :param pika_conn_id: the connection with the key; without one, ``FAL_KEY`` works.
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
        "on_unknown_submit",
        "on_clear",
        "pika_conn_id",
    )
    template_fields_renderers = {"extra_arguments": "json"}  # noqa: RUF012 (Airflow's own declaration)
    ui_color = "#efe3fa"

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
        on_unknown_submit: str = "fail",
        on_clear: str = "resubmit",
        wait_for_completion: bool = False,
        deferrable: bool = True,
        poll_interval: timedelta | float | None = None,
        stream: bool = False,
        end_from_trigger: bool = False,
        timeout: timedelta | float | None = None,
        cancel_on_kill: bool | None = None,
        cancel_on_timeout: bool = False,
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
        self.on_unknown_submit = on_unknown_submit
        self.on_clear = on_clear
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = None if poll_interval is None else seconds_of("poll_interval", poll_interval)
        self.stream = stream
        self.end_from_trigger = end_from_trigger
        self.timeout = timeout_of(timeout)
        self.cancel_on_kill = wait_for_completion if cancel_on_kill is None else cancel_on_kill
        self.cancel_on_timeout = cancel_on_timeout
        self.pika_conn_id = pika_conn_id
        with failing_when_a_submit_cannot_help():
            check_what_is_known(self._values())

    @tells_why_it_fails
    def execute(self, context: Context) -> Any:
        """Give the request id, or the video; submit only where no earlier attempt's request can bring it."""
        from airflow_provider_pika.hooks.pika import PikaHook

        with failing_when_a_submit_cannot_help():
            self._refuse_nothing()
            arguments = arguments_of(self._values())  # before anything is asked of Airflow or fal
            with PikaHook(self.pika_conn_id).get_conn() as queue:
                request_id = self._obtain(context, queue, arguments)
                self._cancel_if_killed(context, queue, request_id, or_cleared=self.on_clear == "resubmit")
                if self._killing.fired:  # while it submitted
                    self._killing.fire(self.log)
                if not self.wait_for_completion:
                    return request_id
                ending = self._wait(queue, request_id)
            return self._finish(context, ending)

    @tells_why_it_fails
    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Take over from the trigger, and give the video."""
        with failing_when_a_submit_cannot_help():
            return super().execute_complete(context, event)

    @tells_why_it_fails
    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral; where Airflow itself ended it, look once more, and cancel if that was asked for."""
        reason = deferral_timed_out(next_method, next_kwargs)
        request_id = self._known_request_id(context) if reason else None
        if reason is None or request_id is None:
            return super().resume_execution(next_method, next_kwargs, context)
        with failing_when_a_submit_cannot_help():
            return self._finish(context, self._last_look(request_id, reason))

    def _obtain(self, context: Context, queue: FalQueue, arguments: Mapping[str, Any]) -> str:
        from airflow_provider_pika.fal.submission import Submission

        records = records_of(context)
        if not records.survives:
            self.log.warning(
                "This Airflow keeps no task state (3.3 does): a retry of this task submits, and pays, again"
            )
        if (before := records.read()) and before.request_id:  # for a clean-up branch, whatever comes now
            push_request_id(context, before.request_id, self.log)
        wanted = wanted_of(self._values(), context["ti"], queue.account, arguments)
        submission = Submission(wanted, records, queue.account.platform_url, self.log.info, self._stop_if_killed)
        try:
            record = queue.hold(submission.obtain())
        except AirflowTaskTimeout as error:  # Airflow retries after its execution_timeout
            begun = None if records.survives else records.read()
            if begun and begun.state == "intent":
                raise SubmitUnknown(f"The submit to {self.endpoint} was cut off: {error}.") from None
            raise
        push_request_id(context, str(record.request_id), self.log)
        push_request(context, record.asked(wanted.endpoint, arguments), self.log)
        return str(record.request_id)

    def _stop_if_killed(self) -> None:
        if self._killing.fired:
            raise TryLater("The task was told to stop, so nothing more is submitted.")

    def _wait(self, queue: FalQueue, request_id: str) -> Ending:
        from airflow_provider_pika.fal.polling import Wait
        from airflow_provider_pika.fal.progress import Progress

        wait = Wait(request_id, time.time() + self.timeout, self.poll_interval, self.timeout)
        return self._watch(queue, wait, Progress(), self._pause)

    def _pause(self, step: LookAgain, progress: Progress, queue_url: str) -> None:
        if self.deferrable:
            cancel_on_clear = self.cancel_on_kill and self.on_clear == "resubmit"
            self._defer_wait(step, progress, queue_url, cancel_on_clear=cancel_on_clear)
        time.sleep(step.after)

    def _clip(self) -> dict[str, Any]:
        return {"resolution": self.resolution, "duration": int(str(self.duration))}

    def _finish(self, context: Context, ending: Ending) -> dict[str, Any]:
        """Conclude; but replace a request of an earlier attempt that was about to be cancelled when it was taken up."""
        from airflow_provider_pika.fal.polling import Failed
        from airflow_provider_pika.fal.resuming import say_how_to_go_on

        cancelled = isinstance(ending, Failed) and isinstance(ending.error, GenerationCancelled)
        if cancelled and not self._killing.fired and self._was_taken_up(context):
            return self.execute(context)  # type: ignore[no-any-return]
        if isinstance(ending, Failed):
            say_how_to_go_on(ending.error)
        return super()._finish(context, ending)

    def _was_taken_up(self, context: Context) -> bool:
        record = records_of(context).read()
        return record is not None and record.attempt < context["ti"].try_number

    def _known_request_id(self, context: Context) -> str | None:
        record = records_of(context).read()
        return (record and record.request_id) or pull_request_id(context)

    def _time_is_up(self, late: TooLate) -> Exception:
        next_try = (
            "A retry submits a new one, once it has stopped."
            if late.cancelled
            else "A retry waits for the same one, and submits nothing, where Airflow keeps the task's state (3.3)."
        )
        return WaitTimeout(late.message, consequence=f"{late.consequence} {next_try}", request_id=late.request_id)

    def _values(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.template_fields}
