"""What a page shows of what Airflow's tables tell: a card for each entry, a line for each task."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_pika.hooks import DEFAULT_CONNECTION
from airflow_provider_pika.plugins.pages import queries
from airflow_provider_pika.plugins.pages.entries import (
    Asked,
    Batch,
    Clip,
    read_entry,
    read_error,
    read_request,
    read_video,
)
from airflow_provider_pika.plugins.pages.queries import Key, Row, Task
from airflow_provider_pika.plugins.pages.questions import Decision, Judged, read_question

log = logging.getLogger(__name__)

#: What a state is called on a page, where Airflow's own word says too little.
_STATES = {
    "deferred": "waiting for fal",
    "up_for_reschedule": "waiting for fal",
    "up_for_retry": "failed, will be retried",
}

#: What a state of a review is called. Airflow 3.1 has it wait as any deferred task.
_STATES_OF_A_REVIEW = {"awaiting_input": "waits for a decision", "deferred": "waits for a decision"}


@dataclass(frozen=True)
class Card:
    """An entry of the list.

    :param decided: of the last decision on the clip: the task that asked, all of it, and its part about the clip.
    """

    key: Key
    clip: Clip | None
    batch: Batch | None
    at: Any
    decided: tuple[Key, Decision, Judged] | None = None


@dataclass(frozen=True)
class Waiting:
    """A task instance of ours, and what it is about.

    :param clips: how many clips a person is asked about.
    """

    key: Key
    state: str
    asked: Asked
    error: str | None
    try_number: int
    since: Any
    operator: str | None
    clips: int = 0

    @property
    def is_going_on(self) -> bool:
        """Whether it has not ended."""
        return self.state in queries.GOING_ON

    @property
    def state_in_words(self) -> str:
        """What people call the state."""
        states = {**_STATES, **(_STATES_OF_A_REVIEW if self.is_review else {})}
        return states.get(self.state, self.state.replace("_", " ") or "no state yet")

    @property
    def is_review(self) -> bool:
        """Whether it asks a person about clips."""
        return self.operator in queries.REVIEWERS

    def has_prompt(self, text: str) -> bool:
        """Return whether a text is in the prompt; of what is not known, none is."""
        return not text or text.lower() in (self.asked.prompt or "").lower()


def card(row: Row, decisions: Sequence[tuple[Key, Decision]] = ()) -> Card | None:
    """Return what the list shows of an entry; None: it is none of ours.

    :param decisions: of the runs that the list shows.
    """
    entry = read_entry(row.value) if row.operator in queries.SAVERS else None
    if entry is None:
        return None
    if isinstance(entry, Batch):
        return Card(row.key, None, entry, row.at)
    on_it = decisions_on(row.key, entry, decisions)
    return Card(row.key, entry, None, row.at, max(on_it, key=lambda each: each[1].at or "", default=None))


def decisions_on(key: Key, clip: Clip, decisions: Iterable[tuple[Key, Decision]]) -> list[tuple[Key, Decision, Judged]]:
    """Return the decisions of a clip's run that are about the clip, each with its part on it."""
    of_run = ((at, told) for at, told in decisions if (at.dag_id, at.run_id) == (key.dag_id, key.run_id))
    return [(at, told, part) for at, told in of_run if (part := told.on(clip.sha256, clip.path))]


def waiting(task: Task, question: Any = None) -> Waiting:
    """Return what a page shows of a task.

    :param question: what it has pushed of its question, if it asks a person.
    """
    told = read_question(question)
    return Waiting(
        key=task.key,
        state=task.state or "",
        asked=Asked(prompt=told.prompts) if told else read_request(task.request),
        error=read_error(task.error),
        try_number=task.try_number,
        since=task.since,
        operator=task.operator,
        clips=len(told.clips) if told else 0,
    )


def version(rows: Iterable[Row], going_on: Iterable[Waiting], failed: Iterable[Waiting]) -> str:
    """Return what changes whenever a page would show something else."""
    seen = [(row.key, row.cursor) for row in rows]
    tasks = [
        (task.key, task.state, task.try_number, task.asked.request_id, task.error) for task in (*going_on, *failed)
    ]
    return digest(repr((seen, tasks)).encode())


def digest(content: bytes) -> str:
    """Return what stands for some bytes."""
    return hashlib.sha256(content).hexdigest()[:32]


def request_of(returned: Any) -> str | None:
    """Return the request's ID of what a task has returned: the ID itself, or a clip."""
    if isinstance(returned, str):
        return returned
    found = returned.get("request_id") if isinstance(returned, Mapping) else None
    return found if isinstance(found, str) else None


def trusted_url(returned: Any, conn_id: Any) -> str | None:
    """Return the URL of the clip that a task has returned, if its host is one that its connection trusts."""
    from airflow_provider_pika.hooks.pika import PikaHook

    video = read_video(returned)
    if video is None:
        return None
    try:
        PikaHook(_conn_id(conn_id)).trust().check(video[0])
    except Exception as error:
        log.info("A clip's URL is not shown: %s", type(error).__name__)
        return None
    return video[0]


def is_at_fal(conn_id: Any) -> bool:
    """Return whether a connection's queue is fal's own."""
    from airflow_provider_pika.hooks.pika import PikaHook

    try:
        return PikaHook(_conn_id(conn_id)).trust().own is None
    except Exception:
        return False


def _conn_id(rendered: Any) -> str:
    return rendered if isinstance(rendered, str) and rendered else DEFAULT_CONNECTION
