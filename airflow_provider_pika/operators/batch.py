"""Thousands of videos in one task."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_pika.batch.inputs import BatchInputs, batch_inputs_of, check_known_batch, check_paths
from airflow_provider_pika.batch.manifest import read_manifest
from airflow_provider_pika.exceptions import InvalidInput, WaitTimeout
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.inputs import SubmitControls
from airflow_provider_pika.hooks import DEFAULT_CONNECTION
from airflow_provider_pika.links.pika import OF_A_BATCH
from airflow_provider_pika.operators._reuse import check_seeds, reuse_of, reuse_within_of
from airflow_provider_pika.operators._saving import saving_terms_of
from airflow_provider_pika.operators._wait import backstop
from airflow_provider_pika.saving.clip_paths import ClipPaths, check_known_paths
from airflow_provider_pika.strict_json import for_airflow
from airflow_provider_pika.task.arguments import (
    check_fail_on,
    check_known_terms,
    number_of,
    seconds_of,
    submit_terms_of,
    timeout_of,
    wanted_of,
)
from airflow_provider_pika.task.errors import failing_when_a_submit_cannot_help, tells_why_it_fails
from airflow_provider_pika.task.kill import StopsWhenKilled, Target
from airflow_provider_pika.task.paths import check_known_path, checked_path
from airflow_provider_pika.task.rendering import RendersNoData
from airflow_provider_pika.task.templates import known_now, template_test_of
from airflow_provider_pika.task.terms import BatchTerms
from airflow_provider_pika.task.time_limit import as_airflows_timeout, limit_of

if TYPE_CHECKING:
    from os import PathLike

    from airflow.providers.common.compat.sdk import Context
    from airflow.sdk import ObjectStoragePath

    from airflow_provider_pika.batch.attempt import BatchRun
    from airflow_provider_pika.batch.progress import Carried
    from airflow_provider_pika.batch.state import BatchState
    from airflow_provider_pika.saving.batch import Terms
    from airflow_provider_pika.task.templates import Templated

__all__ = ["PikaTextToVideoBatchOperator", "read_manifest"]

#: Requests in flight: their ids stand in the trigger's row, for which MySQL has 64 KiB.
MOST_IN_FLIGHT = 1000


class PikaTextToVideoBatchOperator(RendersNoData, StopsWhenKilled, BaseOperator):
    """Submit a request for each of many inputs, at most ``max_in_flight`` at once, and pay for each once.

    It needs Airflow 3.3, which keeps a record of each submission. It is deferred while it waits, and takes a worker
    only to submit more. A failed clip does not stop the others. A retry submits only what is missing.

    With ``save_to``, the same workers save clips soon after they end, as far as there is time, because URLs expire. A
    clip that cannot be saved is a warning. ``PikaBatchToObjectStorageOperator`` after this task, with the same path,
    downloads only what is missing, and says whether all clips are saved.

    It returns ``{"total", "done", "failed", "cost", "clips", "manifest"}``. ``clips`` has a line for each input, and is
    None above 100 inputs. ``manifest`` is the path of the file with the same lines, which :func:`read_manifest` reads.
    A task that fails pushes the same object as XCom ``manifest``.

    :param inputs: a list or tuple of prompts, or of dicts of the endpoint's inputs. It may be another task's output,
        or a template of JSON. A dict may have a ``name`` of yours, such as a SKU. A name is not sent, and may change.
    :param defaults: a dict of inputs that hold where an item has none of its own, such as ``{"resolution": "480p"}``.
    :param max_in_flight: requests that are unfinished at once, 1 to 1000. fal runs 2 to 40 of an account, and queues
        more.
    :param fail_on: when failed clips fail the task, at the end: ``"any"``, ``"all"``, or more than a share, such as
        0.05.
    :param manifest_path: a file, as a URL of the storage, a path that every worker has, an ``ObjectStoragePath`` or a
        ``pathlib.Path``. You must set it above 100 inputs. An earlier manifest there is replaced, and nothing else.
    :param save_to: where to save each clip soon after it ends, with the fields and defaults of
        ``PikaBatchToObjectStorageOperator``: ``s3://connection@clips/{index:05d}.mp4``, or a disk that all workers
        share. If the list may change, use ``{name}``, since ``{index}`` moves. None: the batch saves nothing.
    :param endpoint: another Pika model at fal that takes the same input.
    :param start_timeout: seconds, above 0.1, within which fal must start each request. Then fal drops it.
    :param priority: ``"low"`` waits behind everybody's ``"normal"``. None: fal's default, ``"normal"``.
    :param tags: a dict of tags for fal's reports, such as ``{"team": "social"}``, beside ``dag``, ``task`` and ``run``.
    :param max_cost: the most that the batch may spend in all its attempts, in the price's currency. If the estimate is
        above it, or a price is unknown, nothing is submitted. Nothing more is, once what is billed and in flight would
        pass it. None: no limit.
    :param reuse_within: a timedelta, or seconds. For each input, it takes a request of another Dag run with exactly the
        same one. That must have ended well in that time, and its file must be there. Nothing is paid for it. Each input
        needs a ``seed``. A cleared task takes none. None: every clip is a new one.
    :param on_unknown_submit: what to do if fal may have accepted a submit, and the request cannot be found. ``"fail"``
        fails this clip, and three in a row stop the batch. ``"resubmit"`` submits once more, and you may pay twice.
    :param on_clear: what a clear submits. ``"reuse"``: what failed or is missing. At another queue, also what still
        runs at the old one. ``"resubmit"``: all of it.
    :param poll_interval: seconds between two polls of a request. None: when it matters, learned from recent clips.
    :param timeout: seconds that one attempt takes. Then it fails, cancels nothing, and a retry goes on. After the
        last retry, what is in flight runs on and is charged. None: Airflow's ``[sensors] default_timeout``, 7 days.
        An earlier ``execution_timeout`` ends the attempt too.
    :param cancel_on_kill: cancel what is unfinished if a person kills the task. It reaches what it can in 4 s from a
        worker, and in 30 s from the triggerer. It has no effect while the task is queued between two workers.
    :param pika_conn_id: the connection with the key. If ``pika_default`` does not exist, ``FAL_KEY`` works.
    """

    template_fields: Sequence[str] = (
        "inputs",
        "defaults",
        "manifest_path",
        "save_to",
        "endpoint",
        "start_timeout",
        "priority",
        "tags",
        "max_cost",
        "on_unknown_submit",
        "on_clear",
        "cancel_on_kill",
        "pika_conn_id",
    )
    template_fields_renderers = {"inputs": "json", "defaults": "json"}  # noqa: RUF012 (Airflow's own declaration)
    ui_color = "#efe3fa"
    operator_extra_links = OF_A_BATCH
    _keys_may_be_none = frozenset({"seed"})

    def __init__(
        self,
        *,
        inputs: Templated[Sequence[str | Mapping[str, Any]] | str],
        defaults: Templated[Mapping[str, Any] | None] = None,
        max_in_flight: int = 20,
        fail_on: str | float = "any",
        manifest_path: Templated[str | ObjectStoragePath | PathLike[str] | None] = None,
        save_to: Templated[str | ObjectStoragePath | PathLike[str] | None] = None,
        endpoint: str = TEXT_TO_VIDEO,
        start_timeout: float | str | None = None,
        priority: str | None = None,
        tags: Templated[Mapping[str, Any] | None] = None,
        max_cost: Templated[Decimal | float | str | None] = None,
        reuse_within: timedelta | float | None = None,
        on_unknown_submit: str = "fail",
        on_clear: str = "reuse",
        poll_interval: timedelta | float | None = None,
        timeout: timedelta | float | None = None,
        cancel_on_kill: Templated[bool | str] = True,
        pika_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.inputs = inputs
        self.defaults = defaults
        self.max_in_flight = number_of(max_in_flight)
        self.fail_on = number_of(fail_on)
        self.endpoint = endpoint
        self.start_timeout = start_timeout
        self.priority = priority
        self.tags = tags
        self.max_cost = max_cost
        self.reuse_within = reuse_within_of(reuse_within)
        self.on_unknown_submit = on_unknown_submit
        self.on_clear = on_clear
        self.poll_interval = None if poll_interval is None else seconds_of("poll_interval", poll_interval)
        self.timeout = timeout_of(timeout)
        self.cancel_on_kill = cancel_on_kill
        self.pika_conn_id = pika_conn_id
        with failing_when_a_submit_cannot_help():
            self.manifest_path = self._path_as_text("manifest_path", manifest_path)
            self.save_to = self._path_as_text("save_to", save_to)
            self._check_what_is_known()

    @tells_why_it_fails
    def execute(self, context: Context) -> dict[str, Any]:
        """Begin an attempt: check everything, then take up what there is, and submit."""
        from airflow_provider_pika.batch.state import BatchState

        with failing_when_a_submit_cannot_help():
            self._refuse_nothing()
            terms, asked = self._check_terms(), self._checked_inputs()
            if self.reuse_within:
                check_seeds(asked.arguments)
            run = self._run(context, BatchState(_task_state(context)), terms, asked)
            run.reuse = reuse_of(self.reuse_within, context, self.retries, terms.pika_conn_id, self.log.info)
            return self._go_on(context, run, run.begin(limit_of(self, context["ti"])))

    @tells_why_it_fails
    def execute_complete(
        self, context: Context, event: Mapping[str, Any] | None = None, terms: str | None = None
    ) -> dict[str, Any]:
        """Take over from the trigger, and submit more, or conclude.

        :param terms: what the worker checked that deferred; a version before this one carried none.
        """
        from airflow_provider_pika.batch.attempt import take_in
        from airflow_provider_pika.batch.state import BatchState
        from airflow_provider_pika.triggers.batch import read_batch_event

        with failing_when_a_submit_cannot_help():
            handed = read_batch_event(event)
            state = BatchState(_task_state(context))
            carried, ended = take_in(state, handed.carried, handed.endings, context["ti"].try_number)
            agreed = BatchTerms.read(terms) or self._check_terms()
            try:
                run = self._run(context, state, agreed, self._checked_inputs())
            except InvalidInput as error:  # what is in flight is paid for, and waited for
                run = self._run(context, state, agreed, BatchInputs())
                carried = run.wait_on(carried, ended, error)
            else:
                carried = run.go_on(carried, ended)
            if handed.trouble:  # not deferred again: it would break again, and Airflow's retries have pauses
                raise handed.trouble
            return self._go_on(context, run, carried, handed.seen)

    @tells_why_it_fails
    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral, or fail where Airflow itself ended it."""
        return super().resume_execution(next_method, next_kwargs, context)

    def _check_terms(self) -> BatchTerms:
        values = self._values()
        path = values["manifest_path"]
        path = checked_path(path, "manifest_path", consequence=None) if path else None
        save_to = (
            ClipPaths(str(self.save_to), "save_to", consequence=None).template if self.save_to is not None else None
        )
        return BatchTerms(manifest_path=path, save_to=save_to, **submit_terms_of(values))

    def _checked_inputs(self) -> BatchInputs:
        self._refuse_nothing("inputs", "defaults")  # which are read anew on each resume
        return batch_inputs_of(self.inputs, self.defaults)

    def _run(self, context: Context, state: BatchState, terms: BatchTerms, asked: BatchInputs) -> BatchRun:
        from airflow_provider_pika.batch.attempt import BatchRun
        from airflow_provider_pika.hooks.costs import prices_for
        from airflow_provider_pika.hooks.pika import PikaHook

        with PikaHook(terms.pika_conn_id).get_conn() as queue:
            account = queue.account
        run = BatchRun(
            state=state,
            asked=asked,
            terms=terms,
            wanted=wanted_of(terms, context["ti"], account, {}),
            account=account,
            max_in_flight=self.max_in_flight,
            fail_on=self.fail_on,
            tell=self.log.info,
            warn=self.log.warning,
            check=self._stop_if_killed,
            ask_prices=lambda: prices_for(PikaHook(terms.pika_conn_id), terms.endpoint, average=bool(terms.max_cost)),
        )
        self._cancel_if_killed(context, run)
        return run

    def _cancel_if_killed(self, context: Context, run: BatchRun) -> None:
        if run.terms.cancel_on_kill:
            endpoint = run.terms.endpoint
            self._killing.arm(Target(run.account, endpoint, run.request_ids, context["ti"], cancel_on_clear=False))

    def _cancel_if_killed_meanwhile(self, context: Context, run: BatchRun) -> None:
        if self._killing.fired:  # while it submitted: what was under way then is accepted by now
            self._cancel_if_killed(context, run)
            self._killing.fire(self.log)
            self._stop_if_killed()

    def _go_on(
        self, context: Context, run: BatchRun, carried: Carried, seen: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        if carried.may_submit(time.time()):
            carried = run.top_up(carried)
            self._cancel_if_killed_meanwhile(context, run)
        self.log.info("Batch: %s", carried.tally.in_words(time.time()))
        carried = self._save_early(context, run, carried)
        if carried.waits(time.time()):
            self._defer(run, carried, seen or {})
        if carried.unsaved:
            self.log.warning(
                "%s clips that ended are not saved to save_to. The task that saves the batch's clips saves them.",
                len(carried.unsaved),
            )
        value, error = run.conclude(carried)
        value = for_airflow(value)
        if error is None:
            return value  # type: ignore[no-any-return]
        context["ti"].xcom_push(key="manifest", value=value)
        raise as_airflows_timeout(error) if isinstance(error, WaitTimeout) and carried.limit != "timeout" else error

    def _save_early(self, context: Context, run: BatchRun, carried: Carried) -> Carried:
        from airflow_provider_pika.batch.early_saves import save_early

        def terms() -> Terms:
            said: Any = self.log.debug  # thousands of lines: what counts is told once for each worker
            return saving_terms_of(context, run.terms.pika_conn_id, tell=said, warn=said, debug=said, check=run.check)

        return save_early(run, carried, terms)

    def _defer(self, run: BatchRun, carried: Carried, seen: Mapping[str, Any]) -> NoReturn:
        from airflow_provider_pika.triggers.batch import PikaBatchTrigger

        def the_same(name: str) -> Any:
            values = {arguments.get(name) for arguments in run.inputs}
            return values.pop() if len(values) == 1 else None

        self.defer(
            trigger=PikaBatchTrigger(
                carried=carried.as_json(),
                endpoint=run.terms.endpoint,
                pika_conn_id=run.terms.pika_conn_id,
                queue_url=run.account.queue_url,
                max_in_flight=self.max_in_flight,
                poll_interval=self.poll_interval,
                timeout=self.timeout,
                resolution=the_same("resolution"),
                duration=the_same("duration"),
                seen=dict(seen),
                cancel_on_kill=run.terms.cancel_on_kill,
            ),
            method_name="execute_complete",
            kwargs={"terms": run.terms.carried()},
            timeout=backstop(carried.deadline),
        )
        raise AssertionError("defer raises")

    def _check_what_is_known(self) -> None:
        self._check_references({**self._values(), "inputs": self.inputs, "defaults": self.defaults}, lists=("inputs",))
        is_template = template_test_of(self)
        known = known_now(self._values(), is_template)
        asked = check_known_batch(self.inputs, self.defaults, self.manifest_path, is_template)
        if asked and self.reuse_within:
            check_seeds(asked.arguments)
        SubmitControls.check_known({name: known[name] for name in SubmitControls.names() if name in known})
        check_known_terms(self._values(), is_template)
        if self.manifest_path:
            check_known_path(self.manifest_path, "manifest_path", consequence=None, is_template=is_template)
        if self.save_to is not None:
            check_known_paths(self.save_to, is_template, "save_to", consequence=None)
            if asked and known_now({"path": self.save_to}, is_template):
                check_paths(str(self.save_to), asked, None)
        if type(self.max_in_flight) is not int or not 1 <= self.max_in_flight <= MOST_IN_FLIGHT:
            raise InvalidInput(f"max_in_flight={self.max_in_flight!r} is not allowed: it takes 1 to {MOST_IN_FLIGHT}.")
        check_fail_on(self.fail_on)

    def _values(self) -> dict[str, Any]:
        return {
            "manifest_path": self.manifest_path,
            "save_to": self.save_to,
            "endpoint": self.endpoint,
            "start_timeout": self.start_timeout,
            "priority": self.priority,
            "tags": self.tags,
            "max_cost": self.max_cost,
            "on_unknown_submit": self.on_unknown_submit,
            "on_clear": self.on_clear,
            "cancel_on_kill": self.cancel_on_kill,
            "pika_conn_id": self.pika_conn_id,
        }


def _task_state(context: Context) -> Any:
    store: Any = context.get("task_state_store")
    if store is None:
        raise AirflowFailException(
            "PikaTextToVideoBatchOperator needs Airflow 3.3, which keeps a record of each submission: without one, "
            "a retry would pay for all again. Nothing was submitted. On this Airflow, map PikaTextToVideoOperator "
            "over the inputs with .expand."
        )
    return store
