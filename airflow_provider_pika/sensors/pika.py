"""Wait for a request: in the triggerer, or in a worker."""

from __future__ import annotations

import time
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

from airflow_provider_pika.failures import failing_when_a_look_cannot_help
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.hooks.pika import LONGEST_CALL, PikaHook
from airflow_provider_pika.templates import check_known_endpoint, known_now

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_pika.fal.polling import Ending, LookAgain
    from airflow_provider_pika.fal.progress import Progress
    from airflow_provider_pika.templates import Templated

#: Seconds that Airflow's own limit on the deferral stands behind the trigger's deadline: it checks every 15 s, and a
#: last look is two calls.
BACKSTOP = 2 * LONGEST_CALL + 60.0

#: Where the progress of a rescheduled wait is kept between two looks, on Airflow 3.3 and newer.
_PROGRESS_KEY = "pika_progress"


class PikaVideoSensor(BaseSensorOperator):
    """Wait for a request of Pika, and return its video as a JSON object.

    The object is the same however the sensor waits: ``url``, ``content_type``, ``file_name``, ``file_size`` (bytes),
    ``request_id``, ``endpoint``, ``inference_time`` (seconds), with null for what fal did not say.

    It looks once before it defers, so a video that is ready costs no deferral. Trouble on the way to fal (5xx, 429, no
    connection) is sat out until ``timeout``; a failed generation, a refused key and an unknown request fail the task
    at once, without retries. A sensor never submits and never cancels.

    :param request_id: what the submit returned; a template or an operator's output.
    :param endpoint: the endpoint it was submitted to.
    :param pika_conn_id: the connection with the key; without one, ``FAL_KEY`` works.
    :param poll_interval: seconds between two looks; ``poke_interval``, Airflow's own name, is taken for it.
    :param deferrable: wait in the triggerer, without a worker slot; False: as ``mode`` says.
    :param timeout: seconds from the first look until ``AirflowSensorTimeout``, after one last look; Airflow's default
        is ``[sensors] default_timeout``, 7 days.
    :param soft_fail: skip the task on a timeout, or on what Airflow would fail at once.
    """

    template_fields: Sequence[str] = ("request_id", "endpoint", "pika_conn_id")
    ui_color = "#d9c2f0"

    def __init__(
        self,
        *,
        request_id: Templated[str],
        endpoint: str = TEXT_TO_VIDEO,
        pika_conn_id: str = PikaHook.default_conn_name,
        poll_interval: timedelta | float | None = None,
        poke_interval: timedelta | float = 5.0,
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        # poke_interval is named here so that Airflow's default_args reach it, too
        super().__init__(poke_interval=poke_interval if poll_interval is None else poll_interval, **kwargs)
        self.poll_interval: float = self.poke_interval
        if self.poll_interval <= 0:
            raise ValueError(f"poll_interval={self.poll_interval} is not allowed: it takes seconds, more than 0.")
        self.request_id = cast(str, request_id)  # rendered before execute
        self.endpoint = endpoint
        self.pika_conn_id = pika_conn_id
        self.deferrable = deferrable
        with failing_when_a_look_cannot_help():
            self._check_what_is_known()

    def execute(self, context: Context) -> dict[str, Any]:
        """Wait as configured, and give the video."""
        with self._failing_as_a_sensor_does(), failing_when_a_look_cannot_help():
            return self._finish(self._wait(context))

    def execute_complete(self, context: Context, event: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Take over from the trigger, and give the video; repeat the end of its log, since that is often lost."""
        from airflow_provider_pika.triggers.pika import read_event

        ending, tail = read_event(event)
        for line in tail:
            self.log.info("While deferred: %s", line)
        with self._failing_as_a_sensor_does(), failing_when_a_look_cannot_help():
            return self._finish(ending)

    def _wait(self, context: Context) -> Ending:
        from airflow_provider_pika.fal.polling import LookAgain, Wait, decide
        from airflow_provider_pika.fal.progress import Progress

        told = self._memory(context)
        progress = Progress(told)
        wait = Wait(self.request_id, self._deadline(context), self.poll_interval, self.timeout, told.get("failures", 0))
        with PikaHook(self.pika_conn_id).get_conn() as queue:
            while True:
                look = queue.look(self.endpoint, self.request_id)
                step = decide(wait, look, time.time())
                for line in progress.news(look, step):
                    self.log.info(line)
                if not isinstance(step, LookAgain):
                    return step
                self._remember(context, step, progress)
                self._pause(step, progress, queue.url)
                wait = step.wait

    @property
    def _rescheduling(self) -> bool:
        return self.reschedule and not self.deferrable

    def _memory(self, context: Context) -> dict[str, Any]:
        """Give what an earlier look of a rescheduled wait left; nothing, if that was for another request."""
        store: Any = context.get("task_state_store") if self._rescheduling else None
        with self._cosmetic():
            told = store.get(_PROGRESS_KEY) if store else None
            return told if told and told["request_id"] == self.request_id else {}
        return {}

    def _remember(self, context: Context, step: LookAgain, progress: Progress) -> None:
        store: Any = context.get("task_state_store") if self._rescheduling else None
        with self._cosmetic():
            if store:
                state = {"request_id": self.request_id, "failures": step.wait.failures, **progress.memory()}
                store.set(_PROGRESS_KEY, state)

    @contextmanager
    def _cosmetic(self) -> Iterator[None]:
        """Run what only keeps the log tidy: its failure must not fail a healthy wait."""
        try:
            yield
        except Exception:
            self.log.warning("What was logged before is not known; lines may be logged again", exc_info=True)

    def _deadline(self, context: Context) -> float:
        start = context["ti"].get_first_reschedule_date(context) if self._rescheduling else None
        return (start.timestamp() if start else time.time()) + self.timeout

    def _pause(self, step: LookAgain, progress: Progress, queue_url: str) -> None:
        if self.deferrable:
            self._defer(step, progress, queue_url)
        if self._rescheduling:
            raise AirflowRescheduleException(pendulum.now("UTC").add(seconds=step.after))
        time.sleep(step.after)

    def _defer(self, step: LookAgain, progress: Progress, queue_url: str) -> None:
        from airflow_provider_pika.triggers.pika import PikaVideoTrigger

        deadline = step.wait.deadline
        self.defer(
            trigger=PikaVideoTrigger(
                request_id=self.request_id,
                endpoint=self.endpoint,
                pika_conn_id=self.pika_conn_id,
                queue_url=queue_url,
                poll_interval=self.poll_interval,
                deadline=deadline,
                timeout=self.timeout,
                told=progress.memory(),
            ),
            method_name="execute_complete",
            timeout=timedelta(seconds=max(0.0, deadline - time.time()) + BACKSTOP),
        )

    def _check_what_is_known(self) -> None:
        if known_now({"request_id": self.request_id}):
            from airflow_provider_pika.fal.calls import check_request_id

            check_request_id(self.request_id)
        check_known_endpoint(self.endpoint)

    def _finish(self, ending: Ending) -> dict[str, Any]:
        video = conclude(ending)
        self.log.info("Finished: %s", video["url"])
        return video

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


def conclude(ending: Ending) -> dict[str, Any]:
    """Make a task's return value of a wait's ending.

    :raises PikaError: the wait failed.
    :raises AirflowSensorTimeout: it took too long.
    """
    from airflow_provider_pika.fal.polling import Done, Failed

    match ending:
        case Done(video):
            return video.model_dump()
        case Failed(error):
            raise error
    raise AirflowSensorTimeout(ending.message)
