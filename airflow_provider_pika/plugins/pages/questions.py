"""What a task asks a person about clips, what was decided, and how far that is. Pure.

As with entries, nothing in an XCom is taken for what it should be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pendulum

from airflow_provider_pika.plugins.pages.entries import Clip, integer_of, read_clip, text_of
from airflow_provider_pika.review.clips import MOST

#: What a decision says of all clips, and of one of them.
KEEP, REJECT, TIMEOUT = "keep", "reject", "timeout"

#: How long an answer waits after its task has parked. Airflow fails a task that is answered before the scheduler has
#: heard of the parking, which takes a second, and more on a busy machine (run on 3.1.8 and 3.3.2).
SETTLES = timedelta(seconds=10)

#: States in which a task waits for a person: since Airflow 3.3, and before.
PARKED = ("awaiting_input", "deferred")

#: States of a task that has ended.
_ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")

#: States of a task before it runs: for the first time, again, or to go on with an answer.
_TO_RUN = ("", "scheduled", "queued", "restarting", "up_for_retry", "up_for_reschedule")

#: How far a review is: nothing is asked; a question is being asked; it waits; an answer, or the end of its time, is
#: with the task; it is decided; the task ended without a decision.
BEFORE, ASKING, ASKED, ANSWERED, DECIDED, ENDED = "before", "asking", "asked", "answered", "decided", "ended"


@dataclass(frozen=True)
class ShownClip:
    """A clip that a person is asked about.

    :param index: its line in a batch; None: it is of no batch.
    """

    clip: Clip
    index: int | None = None


@dataclass(frozen=True)
class Refused:
    """Why the last answer did not count."""

    why: str
    by: str | None
    at: str | None


@dataclass(frozen=True)
class Question:
    """What is asked.

    :param choose: how many clips are to be kept; None: any number of them.
    :param shown: what stands for all clips, in their order.
    :param body: what the Dag's author says about it.
    """

    asked_at: datetime
    until: datetime | None
    choose: int | None
    shown: str
    clips: tuple[ShownClip, ...]
    refused: Refused | None = None
    body: str | None = None

    @property
    def prompts(self) -> str | None:
        """The prompts of the clips, each once."""
        return " · ".join(dict.fromkeys(each.clip.prompt for each in self.clips if each.clip.prompt)) or None


@dataclass(frozen=True)
class Judged:
    """A clip that was decided on."""

    shown: ShownClip
    is_kept: bool
    note: str | None


@dataclass(frozen=True)
class Decision:
    """What was decided.

    :param by: who has answered; None: nobody, its time was over.
    """

    answer: str
    by: str | None
    at: str | None
    note: str | None
    clips: tuple[Judged, ...]

    @property
    def kept(self) -> int:
        """How many clips are kept."""
        return sum(each.is_kept for each in self.clips)

    def on(self, sha256: str, path: str) -> Judged | None:
        """Return what was decided on a clip: on these bytes at this path, else on these bytes; None: nothing."""
        same = [each for each in self.clips if each.shown.clip.sha256 == sha256]
        return next((each for each in same if each.shown.clip.path == path), same[0] if same else None)


@dataclass(frozen=True)
class Answer:
    """What Airflow has of the question's answer.

    :param by: who has answered, or, at a timeout on Airflow 3.1, nobody.
    :param at: None: nobody has answered yet.
    """

    by: str | None = None
    at: datetime | None = None


def read_question(value: Any) -> Question | None:
    """Read what a task has pushed of its question; None: it is none."""
    if not isinstance(value, Mapping):
        return None
    clips = [_shown(each) for each in _list(value.get("clips"))]
    asked_at, shown, choose = _time(value.get("asked_at")), text_of(value.get("shown")), value.get("choose")
    wanted = integer_of(choose, least=1)
    known = tuple(clip for clip in clips if clip)
    if asked_at is None or not shown or not clips or len(known) < len(clips) or (wanted is None and choose != "any"):
        return None
    told = value.get("refused")
    refused = None
    if isinstance(told, Mapping) and (why := text_of(told.get("why"))):
        refused = Refused(why, text_of(told.get("by")), text_of(told.get("at")))
    return Question(asked_at, _time(value.get("until")), wanted, shown, known, refused, text_of(value.get("body")))


def read_decision(value: Any) -> Decision | None:
    """Read what a task has pushed of a decision; None: it is none."""
    if not isinstance(value, Mapping) or value.get("answer") not in (KEEP, REJECT, TIMEOUT):
        return None
    judged = [
        Judged(shown, each.get("decision") == KEEP, text_of(each.get("note")))
        for each in _list(value.get("clips"))
        if (shown := _shown(each))
    ]
    by = text_of(value.get("reviewed_by")) or text_of(value.get("reviewed_by_id"))
    at, note = text_of(value.get("reviewed_at")), text_of(value.get("note"))
    return Decision(str(value["answer"]), by, at, note, tuple(judged))


def phase_of(
    state: str,
    question: Question | None,
    decision: Decision | None,
    answer: Answer,
    *,
    resumes: bool,
    now: datetime,
) -> str:
    """Return how far a review is.

    :param state: the task's; "": it has none yet.
    :param resumes: whether the task goes on with an answer, or its timeout, when it runs next. A task that is cleared
        keeps what it has pushed until it runs, and that counts no more.
    """
    is_new = state in _TO_RUN and not resumes
    if decision and not is_new:
        return DECIDED
    if state in _ENDED:
        return ENDED
    if question is None or is_new:
        return BEFORE
    is_over = state not in PARKED and resumes and question.until is not None and now >= question.until
    if answer.at is not None or is_over:
        return ANSWERED
    return ASKED if state in PARKED else ASKING


def settles_in(state: str, question: Question, parked_at: datetime | None, now: datetime) -> float:
    """Return in how many seconds the question may be answered; another machine's clock makes it no longer.

    :param parked_at: when Airflow has noted the state; None: nobody knows.
    """
    if state not in PARKED:
        return 0.0
    since = max(question.asked_at, parked_at or question.asked_at)
    left = (since + SETTLES - now).total_seconds()
    return min(max(left, 0.0), SETTLES.total_seconds())


def _shown(value: Any) -> ShownClip | None:
    if not isinstance(value, Mapping):
        return None
    clip = read_clip({**value, "bytes": integer_of(value.get("bytes")) or 0}, None)
    return ShownClip(clip, integer_of(value.get("index"))) if clip else None


def _list(value: Any) -> list[Any]:
    return value[:MOST] if isinstance(value, list) else []


def _time(value: Any) -> datetime | None:
    try:
        found = pendulum.parse(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if isinstance(found, datetime) else None
