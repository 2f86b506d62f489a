"""Ask a person which clips are kept, before they go out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlencode

import pendulum
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, TaskDeferred, conf
from airflow.providers.standard.operators.hitl import HITLOperator

from airflow_provider_pika.exceptions import InvalidInput, StorageFailed, TryLater
from airflow_provider_pika.links.pika import OF_A_REVIEW
from airflow_provider_pika.review.clips import SAVED, clips_of, digest_of, hashes_of, known_number
from airflow_provider_pika.review.decision import KEEP, REJECT, Answer, Choice, Kept, Refused, judge
from airflow_provider_pika.strict_json import for_airflow, shown
from airflow_provider_pika.task.arguments import number_of, seconds_of
from airflow_provider_pika.task.errors import failing_what_sends_nothing, tells_why_it_fails
from airflow_provider_pika.task.rendering import RendersNoData
from airflow_provider_pika.task.xcom import DECISION, REVIEW

try:
    from airflow.sdk.exceptions import TaskAwaitingInput  # Airflow 3.3 and newer
except ImportError:
    _PARKED: tuple[type[BaseException], ...] = (TaskDeferred,)
else:
    _PARKED = (TaskDeferred, TaskAwaitingInput)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_pika.task.templates import Templated

#: What the arguments take.
_ON_REJECT, _ON_TIMEOUT = ("skip", "fail", "empty"), ("fail", "skip", "approve")

#: What Airflow's ``HITLOperator`` takes, and a review decides by itself.
_ITS_OWN = {"options", "multiple", "defaults", "response_timeout"}


class PikaReviewOperator(RendersNoData, HITLOperator):
    """Show saved clips to a person, and go on with those that are kept. It takes no worker slot while it waits.

    The person decides on the page of the review, where the clips play, or in Airflow's own **Required Actions**. A
    script answers through Airflow's API. The answer names each clip by its SHA-256. If a clip was made anew or replaced
    meanwhile, the answer does not count, and the task asks again.

    It returns a list: the clips that are kept, in order, as the saving task returned them, each with ``reviewed_by``,
    ``reviewed_at`` and ``note``. Its XCom ``review`` has all clips, each with its ``decision``. So has the file
    ``<path>.review.json`` beside each clip.

    :param clips: what saving tasks return: one clip, a list, the output of a mapped task, or what a batch's saving
        task returns. At most 200 clips.
    :param choose: how many clips are kept: a number, or ``"any"``. All may be rejected in any case.
    :param on_reject: what becomes of the task if none is kept: ``"skip"``, ``"fail"``, or ``"empty"``: it returns an
        empty list.
    :param timeout: seconds, or a ``timedelta``, until ``on_timeout`` decides. None: it waits as long as it takes. A
        new question, after a clip was replaced, has all of it again.
    :param on_timeout: ``"fail"``, ``"skip"``, or ``"approve"``: all clips are kept. That needs a ``choose`` that all
        clips fit.
    :param subject: the headline of the question. None: it says how many clips are chosen.
    :param body: a text above the clips, in Markdown.
    :param assigned_users: the only users who may answer, as ``HITLOperator`` takes them. None: whoever may answer for
        this Dag.
    :param notifiers: called each time the task asks.
    :param conn_id: the storage's own connection, if the saving task has one.
    """

    template_fields: Sequence[str] = ("clips", "subject", "body", "conn_id")
    template_fields_renderers = {"clips": "json"}  # noqa: RUF012 (Airflow's own declaration)
    ui_color = "#faf0e3"
    operator_extra_links = OF_A_REVIEW
    _may_be_none = frozenset({"clips", "subject", "body", "conn_id"})

    def __init__(
        self,
        *,
        clips: Templated[Mapping[str, Any] | Sequence[Any] | str],
        choose: Choice = 1,
        on_reject: str = "skip",
        timeout: timedelta | float | None = None,
        on_timeout: str = "fail",
        subject: str | None = None,
        body: str | None = None,
        conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        if own := sorted(_ITS_OWN & kwargs.keys()):
            instead = " Its deadline is timeout." if "response_timeout" in own else ""
            raise InvalidInput(f"{own[0]} is not allowed: a review decides it by itself.{instead}", consequence=SAVED)
        # HITLOperator takes execution_timeout, a Dag's default too, for the person's deadline. Here it limits a worker.
        defaults = kwargs.get("default_args") or {}
        execution_timeout = kwargs.pop("execution_timeout", defaults.get("execution_timeout"))
        seconds = None if timeout is None else seconds_of("timeout", timeout)
        super().__init__(
            subject=subject or "",
            body=body,
            options=[KEEP, REJECT],
            response_timeout=None if seconds is None else timedelta(seconds=seconds),
            execution_timeout=None,  # or Airflow fills in the default again
            **kwargs,
        )
        self.execution_timeout = execution_timeout
        self.clips = clips
        self.choose = number_of(choose)
        self.on_reject = on_reject
        self.timeout = seconds
        self.on_timeout = on_timeout
        self.conn_id = conn_id
        self.shown: list[dict[str, Any]] = []
        with failing_what_sends_nothing(SAVED):
            self._check_what_is_known()

    @tells_why_it_fails
    def execute(self, context: Context) -> NoReturn:
        """Ask. The task goes on in :meth:`execute_complete`."""
        with failing_what_sends_nothing(SAVED):
            clips = clips_of(self.clips, self._lines_of)
            self._check_number(len(clips))
            self._check_storage(clips[0]["path"])
        self._ask(context, clips)

    @tells_why_it_fails
    def execute_complete(self, context: Context, event: dict[str, Any], asked: Sequence[str] = ()) -> Any:
        """Judge the answer, or the lack of one, and return the clips that are kept; or ask again.

        :param asked: the SHA-256 of each clip that was shown.
        """
        clips = self._clips_now(len(asked))
        kind = event.get("error_type") if "error" in event else None
        if kind == "timeout":
            return self._conclude_without_answer(context, clips, asked)
        if kind == "validation":  # 3.1's trigger has checked the fields of the form
            self._ask_again(context, clips, event, f"Its fields are not what the form takes: {event['error']}")
        given = super().execute_complete(context, event)
        answer = Answer.read(given["chosen_options"], given["params_input"])
        verdict = judge(asked, self.choose, answer, hashes_of(clips))
        if isinstance(verdict, Kept) and (why := self._why_not_these_files(clips, verdict)):
            verdict = Refused(why)
        if isinstance(verdict, Refused):
            self._ask_again(context, clips, event, verdict.why)
        user = given["responded_by_user"] or {}
        by = {"reviewed_by": user.get("name"), "reviewed_by_id": user.get("id")}
        at = {"reviewed_at": pendulum.instance(given["responded_at"]).in_timezone("UTC").to_iso8601_string()}
        notes = {place: answer.notes.get(clip["sha256"]) for place, clip in enumerate(clips)}
        word = "keep" if verdict.places else "reject"
        return self._conclude(context, clips, verdict.places, {"answer": word, **by, **at, "note": answer.note}, notes)

    def page_url(self, context: Context) -> str:
        """Return the URL of the review's page, for a message: ``[api] base_url``, and what follows it.

        A notifier calls it, and finds the clips in ``shown``, as the saving task returned them.
        """
        base = conf.get("api", "base_url", fallback="") or "http://localhost:8080"
        return f"{base.rstrip('/')}/pika/review?{urlencode(_named(context))}"

    def validate_chosen_options(self, chosen_options: list[str]) -> None:
        """Leave it to :func:`judge`: an answer that is none is asked for again, and fails nothing."""

    def validate_params_input(self, params_input: Mapping[str, Any]) -> None:
        """Leave it to :func:`judge`, as :meth:`validate_chosen_options`."""

    def _ask(self, context: Context, clips: list[dict[str, Any]], refused: Mapping[str, Any] | None = None) -> NoReturn:
        """Ask about these clips, and wait.

        :param refused: why the answer before does not count.
        """
        from airflow.sdk import Param
        from airflow.sdk.definitions.param import ParamsDict

        from airflow_provider_pika.review.question import body_of, fields_of, subject_of

        ti, hashes, now = context["ti"], hashes_of(clips), pendulum.now("UTC")
        until = now.add(seconds=self.timeout) if self.timeout else None
        question = {
            "asked_at": now.to_iso8601_string(),
            "until": until and until.to_iso8601_string(),
            "choose": self.choose,
            "shown": digest_of(hashes),
            "body": self.body,
            "clips": clips,
            "refused": refused,
        }
        ti.xcom_push(key=REVIEW, value=for_airflow(question))
        fields, self.shown = fields_of(clips, self.choose), clips
        self.subject = self.subject or subject_of(clips, self.choose)
        self.body = body_of(clips, _named(context), self.body)
        self.params = ParamsDict({name: Param(field.pop("default"), **field) for name, field in fields.items()})
        try:
            super().execute(context)
        except _PARKED as parked:
            # What is shown must come back with the answer: the operator that goes on is another one, rendered anew.
            parked.kwargs = {**(parked.kwargs or {}), "asked": hashes}  # type: ignore[attr-defined]
            raise
        raise RuntimeError("Airflow's HITLOperator did not wait.")

    def _ask_again(self, context: Context, clips: list[dict[str, Any]], event: Mapping[str, Any], why: str) -> NoReturn:
        user, at = event.get("responded_by_user") or {}, event.get("responded_at")
        name = user.get("name")
        self.log.warning("The answer%s does not count: %s It is asked again.", f" of {name}" if name else "", why)
        with failing_what_sends_nothing(SAVED):
            self._check_number(len(clips))
        when = pendulum.instance(at).in_timezone("UTC").to_iso8601_string() if at else None
        self._ask(context, clips, {"why": why, "by": name, "at": when})

    def _conclude_without_answer(self, context: Context, clips: list[dict[str, Any]], asked: Sequence[str]) -> Any:
        """Do what ``on_timeout`` says. Silence decides on nothing that was not shown.

        :raises AirflowFailException: a file that would be approved is not what was shown: to ask again, and wait again,
            would not bring it back.
        """
        if hashes_of(clips) != list(asked):
            self._ask_again(context, clips, {}, "The clips have been made anew since they were shown.")
        approved = self.on_timeout == "approve"
        if approved and (why := self._why_not_these_files(clips, Kept(tuple(range(len(clips)))))):
            raise AirflowFailException(
                f"Nobody answered within {self.timeout:g} s, and nothing is approved: {why} Put it back, or clear "
                "the task that saves it. Then clear this one."
            )
        said = {"answer": "timeout", "reviewed_by": None, "reviewed_by_id": None, "note": None}
        said["reviewed_at"] = pendulum.now("UTC").to_iso8601_string()
        places = tuple(range(len(clips))) if approved else ()
        return self._conclude(context, clips, places, said, {})

    def _conclude(
        self,
        context: Context,
        clips: list[dict[str, Any]],
        places: Sequence[int],
        said: dict[str, Any],
        notes: Mapping[int, str | None],
    ) -> Any:
        """Tell everybody what was decided, and end the task.

        :param places: of the clips that are kept.
        :param said: who decided, when, and the note for all.
        """
        from airflow_provider_pika.saving import lineage, reviews

        ti = context["ti"]
        decided = [
            {**clip, "decision": "keep" if place in places else "reject", "note": notes.get(place)}
            for place, clip in enumerate(clips)
        ]
        ti.xcom_push(key=DECISION, value=for_airflow({**said, "clips": decided}))
        who = {name: said[name] for name in ("reviewed_by", "reviewed_by_id", "reviewed_at", "answer")}
        beside = [{**clip, "note": clip["note"] or said["note"]} for clip in decided]
        reviews.write_all(beside, {**who, **_named(context)}, self.conn_id, self.log.warning)
        self.log.info("%s of %s clips are kept, by %s", len(places), len(clips), said["reviewed_by"] or said["answer"])
        kept = [
            {
                **clips[place],
                "reviewed_by": said["reviewed_by"],
                "reviewed_at": said["reviewed_at"],
                "note": beside[place]["note"],
            }
            for place in places
        ]
        if not kept:
            return self._end_with_none(said)
        published = {name: kept[0][name] for name in ("reviewed_by", "reviewed_at")}
        short = [{name: clip.get(name) for name in ("path", "sha256", "request_id", "note")} for clip in kept]
        lineage.emit_totals(context, list(self.outlets), {**published, "clips": short}, None, self.log.warning)
        return for_airflow(kept)

    def _end_with_none(self, said: Mapping[str, Any]) -> list[Any]:
        timed_out = said["answer"] == "timeout"
        how = self.on_timeout if timed_out else self.on_reject
        what = f"Nobody answered within {self.timeout:g} s." if timed_out else "All clips were rejected."
        note = f" The note says: {said['note']}" if said["note"] else ""
        if how == "fail":
            raise AirflowFailException(f"{what}{note} {SAVED} Clear this task to ask again.")
        if how == "skip":
            raise AirflowSkipException(f"{what}{note}")
        return []

    def _clips_now(self, asked: int) -> list[dict[str, Any]]:
        """Return what the saving tasks name now.

        :param asked: how many clips were asked about.
        :raises TryLater: there are fewer, since a saving task was cleared. Airflow holds the retry back until it ends.
        """
        try:
            clips = clips_of(self.clips, self._lines_of)
            missing = f"{asked} clips were shown, and there are {len(clips)} now." if len(clips) < asked else None
        except InvalidInput as error:
            clips, missing = [], error.message
        if missing:
            raise TryLater(
                f"The answer cannot be judged, since the clips are not there now: {missing} A task that saves "
                "them was cleared, most likely. A retry asks again when they are saved. It pays for nothing."
            )
        return clips

    def _why_not_these_files(self, clips: Sequence[Mapping[str, Any]], kept: Kept) -> str | None:
        """Return why the kept files are not what was shown; None: they are, byte for byte.

        :raises StorageFailed: the storage cannot be asked. A retry asks the person again.
        """
        from airflow_provider_pika.exceptions import PathTaken
        from airflow_provider_pika.saving.object_store import Place

        for place in kept.places:
            clip = clips[place]
            try:
                stored = Place(clip["path"], self.conn_id)
                size = stored.size()
                is_it = size is not None and stored.sha256(size) == clip["sha256"]
            except PathTaken:
                is_it = False
            except StorageFailed as error:
                raise StorageFailed(
                    f"The answer cannot be judged: {error.message}", consequence="A retry asks the person again."
                ) from error
            if not is_it:
                return f"The file of clip {place + 1} at {clip['path']} is not what was shown, or is gone."
        return None

    def _check_storage(self, path: str) -> None:
        """Ask the storage once before a person is asked, who would find a wrong ``conn_id`` with each retry.

        :raises StorageFailed, InvalidInput: it cannot be asked about the path.
        """
        from airflow_provider_pika.exceptions import PathTaken
        from airflow_provider_pika.saving.object_store import Place

        with contextlib.suppress(PathTaken):
            Place(path, self.conn_id).size()

    def _lines_of(self, manifest: str) -> Iterable[Mapping[str, Any]]:
        from airflow_provider_pika.saving import json_lines
        from airflow_provider_pika.saving.object_store import Place

        return json_lines.read(Place(manifest, self.conn_id))

    def _check_number(self, number: int) -> None:
        """Refuse to ask what no answer can fit.

        :raises InvalidInput: ``choose`` is more than there are, or ``on_timeout`` cannot approve all.
        """
        if self.choose == "any":
            return
        if self.choose > number:
            raise InvalidInput(f"choose={self.choose} is not allowed: there are {number} clips.", consequence=SAVED)
        if self.on_timeout == "approve" and self.choose != number:
            raise InvalidInput(
                f"on_timeout='approve' is not allowed with choose={self.choose} of {number} clips: nobody says which.",
                consequence=SAVED,
            )

    def _check_what_is_known(self) -> None:
        """Refuse when the Dag is parsed what would be refused when the clips are paid for.

        :raises InvalidInput: naming the argument.
        """
        is_number = type(self.choose) is int and self.choose > 0
        if not (is_number or self.choose == "any"):
            raise InvalidInput(f"choose={shown(self.choose)} is not allowed: it takes a number from 1, or 'any'.")
        for name, allowed in (("on_reject", _ON_REJECT), ("on_timeout", _ON_TIMEOUT)):
            if getattr(self, name) not in allowed:
                words = " or ".join(map(repr, allowed))
                raise InvalidInput(f"{name}={shown(getattr(self, name))} is not allowed: it takes {words}.")
        if self.on_timeout != "fail" and self.timeout is None:
            raise InvalidInput(f"on_timeout={self.on_timeout!r} is not allowed without a timeout.")
        self._check_references(
            {name: getattr(self, name) for name in ("clips", "subject", "body", "conn_id")}, ("clips",)
        )
        if (number := known_number(self.clips)) is not None:
            self._check_number(number)


def _named(context: Context) -> dict[str, Any]:
    """Return the task instance, as the pages' addresses name it."""
    ti = context["ti"]
    names: dict[str, Any] = {name: getattr(ti, name) for name in ("dag_id", "run_id", "task_id")}
    return {**names, "map_index": -1 if ti.map_index is None else ti.map_index}
