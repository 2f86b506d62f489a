"""The page of a review: the clips that a task asks a person about, side by side, and the form that answers.

The answer goes from the browser to Airflow's own API, so nothing here changes anything. What is shown beside a question
are bytes that a task of the same run has saved, with the SHA-256 that the question names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

import pendulum
from airflow.utils.session import create_session
from fastapi.responses import JSONResponse, RedirectResponse, Response

from airflow_provider_pika.plugins.pages import answers, batches, files, questions, review_queries, shown, words
from airflow_provider_pika.plugins.pages.app import Item, Named, Sha256, Who, lines_of, origin, roots_now
from airflow_provider_pika.plugins.pages.batches import Lines
from airflow_provider_pika.plugins.pages.entries import Batch, Clip, read_entry, text_of
from airflow_provider_pika.plugins.pages.files import NotShown
from airflow_provider_pika.plugins.pages.queries import Key
from airflow_provider_pika.plugins.pages.questions import (
    Answer,
    Decision,
    Judged,
    Question,
    ShownClip,
    phase_of,
    read_decision,
    read_question,
    settles_in,
)
from airflow_provider_pika.plugins.pages.roots import Roots
from airflow_provider_pika.review.decision import KEEP, LONGEST_NOTE, REJECT

#: Clips of which a browser loads the beginning with the page; of more, it waits until one is played.
_LOADED = 12

#: What the page says of itself, by how far the review is. With an answer, who has given it comes first.
_SAYS = {
    questions.BEFORE: "Nothing is asked yet. The clips are here when the task asks. This page looks by itself.",
    questions.ANSWERED: "The time to decide is over. The task goes on in a moment.",
}


#: What it says where the task waits, and its question is not in Airflow's own table.
_UNREADABLE = (
    "This waits for a decision, and its question cannot be read here: an XCom backend may keep it elsewhere. Decide in "
    "Airflow's own form."
)


@dataclass(frozen=True)
class Take:
    """A clip of a question, and where it is now.

    :param query: of the address of its bytes and its picture; None: they are not shown.
    :param why_not: why they are not.
    :param is_gone: whether no task of the run has saved these bytes, as far as the pages know.
    :param is_replaced: whether another clip is in its place, or it is being made anew. Then nobody may keep it.
    :param judged: what was decided on it; None: nothing yet.
    """

    shown: ShownClip
    query: dict[str, Any] | None = None
    why_not: str | None = None
    is_gone: bool = False
    is_replaced: bool = False
    judged: Judged | None = None

    @property
    def clip(self) -> Clip:
        """The clip, as it was asked about."""
        return self.shown.clip


@dataclass(frozen=True)
class State:
    """A review, read.

    :param is_unreadable: whether the task waits for an answer to a question that is not to be had here.
    """

    key: Key
    state: str
    try_number: int
    phase: str
    question: Question | None
    decision: Decision | None
    answer: Answer
    assigned: tuple[tuple[str, str], ...]
    entries: tuple[tuple[Key, Clip | Batch], ...]
    is_making: bool
    since: datetime | None
    now: datetime
    is_unreadable: bool = False

    @property
    def clips(self) -> list[ShownClip]:
        """The clips that are shown: those that were decided on, or those that are asked about."""
        if self.phase == questions.DECIDED and self.decision:
            return [each.shown for each in self.decision.clips]
        return list(self.question.clips) if self.question and self.phase != questions.BEFORE else []

    @property
    def wait(self) -> float | None:
        """Seconds until an answer may be sent; None: nobody knows yet."""
        if self.question is None or self.phase != questions.ASKED:
            return None
        return settles_in(self.state, self.question, self.since, self.now)

    @property
    def lacks_one(self) -> bool:
        """Whether the run has no entry that one of the clips may be of."""
        saved = {entry.sha256 for _, entry in self.entries if isinstance(entry, Clip)}
        has_batch = any(isinstance(entry, Batch) for _, entry in self.entries)
        return any(each.clip.sha256 not in saved and not (has_batch and each.index is not None) for each in self.clips)

    @property
    def is_open(self) -> bool:
        """Whether there is a form: it can be answered now, or in a moment."""
        return self.phase in (questions.ASKING, questions.ASKED)

    @property
    def version(self) -> str:
        """What changes whenever the page would show something else; when the form opens is said beside it."""
        phase = questions.ASKED if self.is_open else self.phase
        seen = [(at, entry.sha256 if isinstance(entry, Clip) else entry.saved_at) for at, entry in self.entries]
        at = (self.lacks_one and self.is_making) if self.is_open else self.state
        told = (phase, at, self.try_number, self.question, self.decision, self.answer, self.assigned, seen)
        return shown.digest(repr(told).encode())

    @property
    def says(self) -> str:
        """How far it is, in a sentence."""
        if self.phase == questions.DECIDED and self.decision:
            return _outcome(self.decision)
        if self.is_unreadable:
            return _UNREADABLE
        if self.phase == questions.ANSWERED and self.answer.at:
            return f"{self.answer.by or 'Somebody'} has answered. The task checks the answer."
        if self.phase == questions.ENDED:
            return _ended(self)
        if self.is_open:
            refused = self.question and self.question.refused
            return f"{'An answer did not count, so this still' if refused else 'This'} waits for a decision."
        return _SAYS[self.phase]


def page_of(who: Who, key: Named) -> Response:
    """Show a review."""
    state = _state(key)
    if state is None:
        raise NotShown(404, "That task instance asks nobody about clips, or it has not run yet.")
    roots = roots_now()
    takes = _takes(roots, state)
    may = who.may_answer(key.dag_id, [user_id for user_id, _ in state.assigned])
    values: dict[str, Any] = {"review": state, "takes": takes, "may": may, "me": who.user_id, "roots": roots}
    values |= {"loaded": _LOADED, "replaced": sum(take.is_replaced for take in takes), "answer_at": _answer_at(key)}
    values |= {"gone": any(take.is_gone for take in takes), "longest": LONGEST_NOTE, "options": (KEEP, REJECT)}
    return answers.page("review.html", 200, _media(roots, state, takes), key=key, **values)


def now(key: Named) -> Response:
    """Say whether the page is as it was, and when its form opens: what a page asks every few seconds."""
    state = _state(key)
    if state is None:
        raise NotShown(404, "That task instance asks nobody about clips, or it has not run yet.")
    told = {"version": state.version, "phase": state.phase, "wait": state.wait}
    return JSONResponse(told, headers={"Cache-Control": "no-store"})


def poster(key: Named, place: Item = None, sha256: Sha256 = None) -> Response:
    """Lead to the picture of one of the clips of a question, for Airflow's own form.

    :param place: its number among them, from 0.
    :param sha256: that it must have.
    """
    state = _state(key)
    clips = list(state.question.clips) if state and state.question else []
    if place is None or place >= len(clips):
        raise NotShown(404, "Nobody is asked about a clip of that number here.")
    wanted = clips[place]
    if sha256 is not None and sha256 != wanted.clip.sha256:
        raise NotShown(409, words.REPLACED)
    roots = roots_now()
    take = _take(roots, state, wanted, None, _Manifests(roots))  # type: ignore[arg-type]  # its state has clips
    if take.is_gone:
        raise NotShown(409, words.REPLACED)
    if take.query is None or not take.clip.poster:
        raise NotShown(404, take.why_not or "The clip has no picture.")
    return RedirectResponse(f"../poster?{urlencode(take.query)}", 307, {"Cache-Control": "no-store"})


def _state(key: Key) -> State | None:
    """Return a review as it is now; None: the task instance is none of ours."""
    with create_session(scoped=False) as session:
        found = review_queries.review_of(session, key)
        if found is None:
            return None
        question, decision = read_question(found.question), read_decision(found.decision)
        clips = [each.clip for told in (question, decision) for each in _clips_of(told)]
        digests, paths = {clip.sha256 for clip in clips}, {clip.path for clip in clips}
        entries = [(at, read_entry(value)) for at, value in review_queries.saved_in_run(session, key, digests, paths)]
        is_making = review_queries.is_making(session, key)
    told_by, told_at = found.responded
    answer = Answer(_name(told_by), told_at)
    moment = pendulum.now("UTC")
    phase = phase_of(found.state, question, decision, answer, resumes=found.resumes, now=moment)
    users = found.assigned if isinstance(found.assigned, list) else []
    assigned = tuple((str(user.get("id")), _name(user) or "") for user in users if isinstance(user, Mapping))
    saved = tuple((at, entry) for at, entry in entries if entry)
    return State(
        key=key,
        state=found.state,
        try_number=found.try_number,
        phase=phase,
        question=question,
        decision=decision,
        answer=answer,
        assigned=assigned,
        entries=saved,
        is_making=is_making,
        since=found.since,
        now=moment,
        is_unreadable=question is None and found.state in questions.PARKED and found.resumes,
    )


def _clips_of(told: Question | Decision | None) -> list[ShownClip]:
    if isinstance(told, Decision):
        return [each.shown for each in told.clips]
    return list(told.clips) if told else []


def _name(user: Any) -> str | None:
    return (text_of(user.get("name")) or text_of(user.get("id"))) if isinstance(user, Mapping) else None


def _takes(roots: Roots, state: State) -> list[Take]:
    """Find all clips. Where the run has saved none of them, they are of elsewhere, and not replaced as far as we know.

    If they are, no answer counts that keeps one: the task itself compares what was shown with what there is.
    """
    told = state.decision.clips if state.phase == questions.DECIDED and state.decision else ()
    manifests = _Manifests(roots)
    takes = [
        _take(roots, state, wanted, told[place] if told else None, manifests)
        for place, wanted in enumerate(state.clips)
    ]
    paths = {entry.path for _, entry in state.entries if isinstance(entry, Clip)}
    is_known = any(not take.is_gone for take in takes) or state.is_making
    return [
        take
        if not take.is_gone or take.is_replaced
        else replace(take, is_replaced=True)
        if is_known or take.clip.path in paths
        else replace(take, why_not=words.ELSEWHERE)
        for take in takes
    ]


class _Manifests:
    """The batches of a run: each is opened once for a page, and asked no more when its storage has failed."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots
        self._known: dict[Key, Lines | NotShown] = {}

    def item(self, at: Key, batch: Batch, index: int) -> batches.Item | None:
        """Return a line of a batch; None: it has none of that index.

        :raises NotShown: the manifest may not be shown, or cannot be read.
        """
        try:
            if at not in self._known:
                self._known[at] = lines_of(self._roots, at, batch)
            known = self._known[at]
            if isinstance(known, NotShown):
                raise known
            return known.item(index)
        except NotShown as error:
            self._known[at] = error
            raise


def _take(roots: Roots, state: State, wanted: ShownClip, judged: Judged | None, manifests: _Manifests) -> Take:
    """Find a clip of a question among what its run has saved: of the same bytes, best at the same path."""
    why_not, others = None, False
    ones = [(at, each) for at, each in state.entries if isinstance(each, Clip) and each.sha256 == wanted.clip.sha256]
    ones.sort(key=lambda one: one[1].path != wanted.clip.path)
    for at, clip in ones:
        return _playable(roots, wanted, clip, at.query, judged)
    for at, batch in state.entries:
        if isinstance(batch, Batch) and wanted.index is not None:
            try:
                line = manifests.item(at, batch, wanted.index)
            except NotShown as error:
                why_not = error.words
                continue
            if line and line.clip and line.clip.sha256 == wanted.clip.sha256:
                return _playable(roots, wanted, line.clip, {**at.query, "item": wanted.index}, judged)
            others |= line is not None
    is_gone = why_not is None
    return Take(wanted, None, why_not or words.REPLACED, is_gone, is_gone and others, judged)


def _playable(roots: Roots, wanted: ShownClip, saved: Clip, query: Mapping[str, Any], judged: Judged | None) -> Take:
    try:
        files.located(roots, saved.path, saved.conn_id)
    except NotShown as error:
        return Take(wanted, None, error.words, judged=judged)
    return Take(wanted, {**query, "sha256": saved.sha256}, judged=judged)


def _media(roots: Roots, state: State, takes: list[Take]) -> str:
    """Return the origins that the clips may come from, besides this server's: one signed URL says it of a store."""
    if not any(take.query for take in takes):
        return ""
    stores, origins = set[Any](), set[str]()
    for _, entry in state.entries:
        path, conn_id = (entry.manifest or "" if isinstance(entry, Batch) else entry.path), entry.conn_id
        found = roots.find(path, conn_id)
        if found and (store := (found[1].scheme, found[1].conn_id, found[1].bucket)) not in stores:
            stores.add(store)
            origins.add(origin(files.signed_url(roots, path, conn_id) or ""))
    return " ".join(sorted(origins - {""}))


def _answer_at(key: Key) -> str:
    """Return where Airflow's own API takes the answer, from the page's address."""
    names = (quote(str(part), safe="") for part in (key.dag_id, key.run_id, key.task_id, key.map_index))
    return "../api/v2/dags/{}/dagRuns/{}/taskInstances/{}/{}/hitlDetails".format(*names)


def _outcome(decision: Decision) -> str:
    """Return what was decided, in a sentence."""
    number = len(decision.clips)
    clips = "the clip is" if number == 1 else f"{decision.kept} of {number} clips"
    if decision.answer == questions.TIMEOUT:
        return (
            f"Nobody has decided in time: {clips} kept." if decision.kept else "Nobody has decided in time: none kept."
        )
    if decision.kept:
        return f"Decided: {clips} kept."
    return f"Decided: {'the clip is' if number == 1 else f'all {number} clips are'} rejected."


def _ended(state: State) -> str:
    """Return how the task ended without a decision, in a sentence."""
    how = {
        "success": "The task was marked as success",
        "skipped": "The task was skipped",
        "failed": "The task has failed",
        "upstream_failed": "A task before this one has failed",
    }.get(state.state, "The task is not there any more")
    if state.answer.at:
        return f"{how}, so the answer of {state.answer.by or 'somebody'} has no effect."
    return f"{how}, and nobody has decided."
