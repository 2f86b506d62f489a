"""A task's wait for its video, in a worker or deferred: one code for the sensor and for the operator."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_pika.exceptions import PikaError
from airflow_provider_pika.hooks import LONGEST_CALL
from airflow_provider_pika.strict_json import for_airflow
from airflow_provider_pika.task.kill import StopsWhenKilled, Target
from airflow_provider_pika.task.terms import Terms
from airflow_provider_pika.task.time_limit import Limit, shorter_limit_of
from airflow_provider_pika.task.xcom import asked_for

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_pika.fal.client import FalQueue
    from airflow_provider_pika.fal.models import Video
    from airflow_provider_pika.fal.polling import Ending, PollAgain, TooLate, Wait
    from airflow_provider_pika.fal.prices import Cost
    from airflow_provider_pika.fal.progress import Progress

#: Seconds that Airflow's own limit on the deferral stands behind the trigger's deadline: it checks every 15 s, and a
#: last poll is three calls.
BACKSTOP = 3 * LONGEST_CALL + 60.0


def backstop(deadline: float) -> timedelta:
    """Return Airflow's own limit on a deferral, which stands behind the trigger's deadline (unix seconds)."""
    return timedelta(seconds=max(0.0, deadline - time.time()) + BACKSTOP)


class WaitsForVideo(StopsWhenKilled):
    """What a task needs that waits; to be mixed into an Airflow operator that has these attributes.

    :param poll_interval: seconds between two polls; None: where they matter (``fal/poll_interval.py``).
    :param stream: follow fal's status stream while the task is deferred.
    """

    defer: Any
    poll_interval: float | None
    stream: bool
    timeout: float
    execution_timeout: timedelta | None

    #: What an operator's terms are carried as.
    _kind_of_terms: type[Terms] = Terms

    @property
    def _terms(self) -> Terms:
        """What the wait goes by, checked: no argument is read in its place."""
        return self.__dict__.get("_agreed_terms") or self._agree(self._check_terms())

    def _agree(self, terms: Terms) -> Terms:
        self.__dict__["_agreed_terms"] = terms
        return terms

    @abstractmethod
    def _check_terms(self) -> Terms:
        """Check the rendered arguments, as far as a wait needs them."""

    def execute_complete(
        self, context: Context, event: Mapping[str, Any] | None = None, terms: str | None = None
    ) -> dict[str, Any]:
        """Take over from the trigger, and return the video; repeat the end of its log, since that is often lost.

        :param terms: what the worker checked that deferred; a version before this one carried none.
        """
        from airflow_provider_pika.triggers.pika import read_event

        self._agree(self._kind_of_terms.read(terms) or Terms.read(terms) or self._check_terms())
        self._keep_the_key_out_of_the_log()
        ending, tail = read_event(event)
        for line in tail:
            self.log.info("While deferred: %s", line)
        return self._finish(context, ending)

    def _keep_the_key_out_of_the_log(self) -> None:
        """Have Airflow mask the key in this worker, too, which reads it for nothing else."""
        from airflow_provider_pika.hooks.pika import PikaHook

        try:
            PikaHook(self._terms.pika_conn_id).mask_key()
        except Exception as error:  # the clip is there, and nothing of it needs the key
            self.log.info("The key could not be read, so it is not masked in this log: %s", type(error).__name__)

    def _cancel_if_killed(self, context: Context, queue: FalQueue, request_id: str, *, or_cleared: bool) -> None:
        """Have ``on_kill`` cancel the request from now on."""
        if self._terms.cancel_on_kill:
            target = Target(queue.account, self._terms.endpoint, lambda: [request_id], context["ti"], or_cleared)
            self._killing.arm(target)

    def _watch(
        self, queue: FalQueue, wait: Wait, progress: Progress, pause: Callable[[PollAgain, Progress, str], object]
    ) -> Ending:
        """Poll again and again; ``pause`` sleeps, or leaves the worker by an exception of Airflow's."""
        try:
            return self._poll_until_it_ends(queue, wait, progress, pause)
        except AirflowTaskTimeout as alarm:  # a signal of Airflow's, in the middle of a poll that fal does not answer
            late = self._cut_off(wait.request_id, str(alarm))
        raise self._time_is_up(late)

    def _poll_until_it_ends(
        self, queue: FalQueue, wait: Wait, progress: Progress, pause: Callable[[PollAgain, Progress, str], object]
    ) -> Ending:
        from airflow_provider_pika.fal.polling import PollAgain, decide

        while True:
            poll = queue.poll(self._terms.endpoint, wait.request_id)
            step = decide(wait, poll, time.time())
            for line in progress.news(poll, step):
                self.log.log(line.level, str(line))
            if not isinstance(step, PollAgain):
                return step
            pause(step, progress, queue.account.queue_url)
            wait = step.wait

    def _cut_off(self, request_id: str, reason: str) -> TooLate:
        from airflow_provider_pika.fal.polling import EXECUTION_TIMEOUT, TooLate

        message = f"Request {request_id} did not end within the execution_timeout: Airflow ended the wait ({reason})."
        return TooLate(request_id, message, limit=EXECUTION_TIMEOUT)

    def _begin_wait(self, request_id: str, limit: Limit, failures: int = 0, doubts: int = 0) -> Wait:
        from airflow_provider_pika.fal.polling import Wait

        interval = self.poll_interval
        return Wait(request_id, limit.deadline, interval, limit.seconds, failures, doubts, limit=limit.name)

    def _defer_wait(self, step: PollAgain, progress: Progress, queue_url: str) -> NoReturn:
        from airflow_provider_pika.triggers.pika import PikaVideoTrigger

        deadline, terms = step.wait.deadline, self._terms
        self.defer(
            trigger=PikaVideoTrigger(
                request_id=step.wait.request_id,
                endpoint=terms.endpoint,
                pika_conn_id=terms.pika_conn_id,
                queue_url=queue_url,
                poll_interval=self.poll_interval,
                deadline=deadline,
                timeout=step.wait.timeout,
                limit=step.wait.limit,
                told=progress.memory(),
                seen=step.wait.seen.as_json(),
                stream=self.stream,
                **terms.clip,
                cancel_on_kill=terms.cancel_on_kill,
                cancel_on_clear=terms.cancel_on_clear,
            ),
            method_name="execute_complete",
            kwargs={"terms": terms.carried()},
            timeout=backstop(deadline),
        )
        raise AssertionError("defer raises")

    def _finish(self, context: Context, ending: Ending) -> dict[str, Any]:
        """Make the task's return value of a wait's ending, or raise what it failed with."""
        from airflow_provider_pika.fal.polling import TIMEOUT, Done, Failed

        if not isinstance(ending, Done | Failed) and self._terms.cancel_on_timeout and ending.limit == TIMEOUT:
            ending = self._cancel_late(ending)
        match ending:
            case Done(video):
                return self._told(context, video)
            case Failed(error):
                self._count(context, error)
                raise error
            case late:
                raise self._time_is_up(late)

    def _told(self, context: Context, video: Video) -> dict[str, Any]:
        """Return the video with what was asked for and what it cost, as far as that is known, and log it."""
        from airflow_provider_pika.hooks.costs import cost_of
        from airflow_provider_pika.hooks.pika import PikaHook

        asked = asked_for(context, self._submitters(), video.request_id)
        hook = PikaHook(self._terms.pika_conn_id)
        cost = cost_of(hook, video.endpoint, video.billable_units, is_reused=asked["reused"])
        if cost.reason:
            self.log.info("%s", cost.reason)
        self._count(context, video, cost)
        price = "" if cost.amount is None else f", {cost}"
        self.log.info("Finished: %s%s", video.url.partition("?")[0], price)  # a signed URL's token is no line of a log
        return for_airflow({**video.model_dump(), **asked, "cost": cost.as_json()})  # type: ignore[no-any-return]

    def _count(self, context: Context, outcome: Video | PikaError, cost: Cost | None = None) -> None:
        """Tell monitoring how a clip ended; an error of the connection's, or of the account's, is no ending."""
        from airflow_provider_pika.batch.item import is_of_one_clip
        from airflow_provider_pika.task import metrics

        if not isinstance(outcome, PikaError) or is_of_one_clip(outcome):
            ending = metrics.of_ending(self._terms.endpoint, outcome, cost)
            metrics.send_once(context, outcome.request_id, ending)

    @abstractmethod
    def _submitters(self) -> list[str]:
        """Return the tasks of which one may have submitted the request."""

    @abstractmethod
    def _time_is_up(self, late: TooLate) -> BaseException:
        """Return what the task fails with; Airflow's operators are abstract base classes, so a task must have one."""

    def _last_poll(self, request_id: str, reason: str) -> Ending:
        """Poll once more where Airflow itself ended the deferral: the triggers may all have been down."""
        from airflow_provider_pika.fal.polling import Done, Failed, TooLate, Wait, decide
        from airflow_provider_pika.hooks.pika import PikaHook

        with PikaHook(self._terms.pika_conn_id).get_conn() as queue:
            poll = queue.poll(self._terms.endpoint, request_id)
            step = decide(Wait(request_id, 0.0, 1.0, self.timeout), poll, time.time())
        if isinstance(step, Done | Failed):
            return step
        message = f"Request {request_id} did not end in time: Airflow ended the wait ({reason})."
        return TooLate(request_id, message, limit=shorter_limit_of(self))

    def _cancel_late(self, late: TooLate) -> Ending:
        """Cancel; but what has ended in the meantime was paid for, and is kept."""
        from airflow_provider_pika.fal.models import Video
        from airflow_provider_pika.fal.polling import Done, Failed
        from airflow_provider_pika.hooks.pika import PikaHook

        try:
            with PikaHook(self._terms.pika_conn_id).get_conn() as queue:
                if queue.cancel(self._terms.endpoint, late.request_id):
                    return replace(late, cancelled=True)
                outcome = queue.poll(self._terms.endpoint, late.request_id).outcome
        except PikaError as error:
            self.log.warning("Request %s was not cancelled: %s", late.request_id, error)
            return late
        if isinstance(outcome, Video):
            return Done(outcome)
        return Failed(outcome) if outcome else late


def deferral_timed_out(next_method: str, next_kwargs: Mapping[str, Any] | None) -> str | None:
    """Return Airflow's reason if it resumes a task only to say that its deferral took too long; None otherwise.

    The names are those of ``BaseOperator.resume_execution``, the same from 3.1.8 to 3.3.2.
    """
    reason = str((next_kwargs or {}).get("error"))
    return reason if next_method == "__fail__" and reason == "Trigger timeout" else None
