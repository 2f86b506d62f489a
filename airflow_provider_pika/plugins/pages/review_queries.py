"""What Airflow's tables tell of reviews: a question with its answer, the clips of its run, and decisions on a clip.

What is asked of a run begins with the run's number, which XComs' primary key begins with, too.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import Text, cast, or_, select
from sqlalchemy.orm import Session

from airflow_provider_pika.plugins.pages import queries
from airflow_provider_pika.plugins.pages.queries import Key
from airflow_provider_pika.saving.clip_index import BATCH
from airflow_provider_pika.task.xcom import CLIP, DECISION, REVIEW

#: Decisions on one clip that its page shows, and those of all runs on a page of the list.
_MOST, _MOST_IN_RUNS = 10, 100


@dataclass(frozen=True)
class Review:
    """A task instance that asks a person, with all that is kept of that, raw.

    :param since: when Airflow has changed its row last.
    :param resumes: whether it goes on with an answer when it runs next.
    :param responded: by whom and when it was answered, as Airflow's own API has stored it.
    :param assigned: the users whom it asks, as Airflow has them: ``id`` and ``name``.
    """

    state: str
    try_number: int
    since: Any
    resumes: bool
    question: Any
    decision: Any
    responded: tuple[Any, Any]
    assigned: Any


def review_of(session: Session, key: Key) -> Review | None:
    """Return a review; None: the task instance is none of ours, whatever it has pushed."""
    ti = TaskInstance
    asked = (
        select(ti.operator, ti.dag_version_id, ti.state, ti.try_number, ti.updated_at, ti.next_method)
        .add_columns(HITLDetail.responded_by, HITLDetail.responded_at, HITLDetail.assignees)
        .outerjoin(HITLDetail, HITLDetail.ti_id == ti.id)
        .where(*queries.is_key(ti, key))
    )
    row = session.execute(asked).first()
    if row is None or not queries.is_ours(session, key, row[0], row[1], queries.REVIEWERS):
        return None
    question, decision = (queries.value_of(session, key, name) for name in (REVIEW, DECISION))
    state = str(row[2] or "")
    return Review(state, row[3] or 0, row[4], row[5] is not None, question, decision, (row[6], row[7]), row[8])


def saved_in_run(session: Session, key: Key, digests: Collection[str], paths: Collection[str]) -> list[tuple[Key, Any]]:
    """Return the index entries of the run that may be of some clips: by SHA-256, by path, and those of batches."""
    value = XComModel.value
    wanted = or_(
        value["sha256"].as_string().in_(sorted(digests)),
        value["path"].as_string().in_(sorted(paths)),
        value["kind"].as_string() == BATCH,
    )
    return _in_run(session, key, CLIP, queries.SAVERS, wanted)


def is_making(session: Session, key: Key) -> bool:
    """Return whether a task of the run is making or saving clips now."""
    ti, makers = TaskInstance, [name for name in queries.OURS if name not in queries.REVIEWERS]
    same_run = (ti.dag_id == key.dag_id, ti.run_id == key.run_id)
    asked = select(ti.task_id).where(*same_run, ti.operator.in_(makers), ti.state.in_(queries.GOING_ON))
    return session.execute(asked.limit(1)).first() is not None


def decisions(session: Session, key: Key, sha256: str) -> list[tuple[Key, Any]]:
    """Return the last decisions of the run that name a clip, the newest first."""
    names_it = cast(XComModel.value, Text).contains(sha256)
    return _in_run(session, key, DECISION, queries.REVIEWERS, names_it, XComModel.timestamp.desc())[:_MOST]


def decisions_in(session: Session, runs: Collection[int]) -> list[tuple[Key, Any]]:
    """Return the last decisions of some runs, by their numbers."""
    xcom, ti = XComModel, TaskInstance
    rows = session.execute(
        select(ti.dag_id, ti.run_id, ti.task_id, ti.map_index, xcom.value, ti.operator, ti.dag_version_id)
        .select_from(xcom)
        .join(ti, queries.same_task(xcom))
        .where(xcom.dag_run_id.in_(sorted(runs)), queries.plain(session, xcom.key, True) == DECISION)
        .where(ti.operator.in_(queries.REVIEWERS))
        .order_by(xcom.timestamp.desc())
        .limit(_MOST_IN_RUNS)
    )
    return _ours(session, [(Key(*row[:4]), *row[4:]) for row in rows], queries.REVIEWERS)


def _in_run(
    session: Session, key: Key, name: str, classes: dict[str, str], wanted: Any, *order: Any
) -> list[tuple[Key, Any]]:
    """Return the XComs of a name that tasks of some classes have pushed in a run; by task, if no order is given."""
    run = select(DagRun.id).where(DagRun.dag_id == key.dag_id, DagRun.run_id == key.run_id).scalar_subquery()
    xcom, ti = XComModel, TaskInstance
    rows = session.execute(
        select(xcom.task_id, xcom.map_index, xcom.value, ti.operator, ti.dag_version_id)
        .join(ti, queries.same_task(xcom))
        .where(xcom.dag_run_id == run, queries.plain(session, xcom.key, True) == name, ti.operator.in_(classes), wanted)
        .order_by(*(order or (xcom.task_id, xcom.map_index)))
    )
    return _ours(session, [(Key(key.dag_id, key.run_id, row[0], row[1]), *row[2:]) for row in rows], classes)


def _ours(session: Session, found: list[tuple[Any, ...]], classes: dict[str, str]) -> list[tuple[Key, Any]]:
    """Return what tasks of some classes have pushed: each XCom comes with its class and the version of its Dag."""
    ours: dict[tuple[str, str, Any], bool] = {}
    for at, _, operator, version in found:
        if (at.dag_id, at.task_id, version) not in ours:
            ours[at.dag_id, at.task_id, version] = queries.is_ours(session, at, operator, version, classes)
    return [(at, value) for at, value, _, version in found if ours[at.dag_id, at.task_id, version]]
