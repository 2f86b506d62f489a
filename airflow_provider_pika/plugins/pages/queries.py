"""What Airflow's tables tell of clips: the index entries, newest first, and the tasks that wait or have failed.

A page is found by its place in the order, never by an offset, and the values are read for the rows of the page alone.
The order is one that Airflow's tables have an index of: the number of the Dag run, then the task. No index of XComs has
their time, and to sort 100,000 of them takes a third of a second.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from time import monotonic
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import Select, and_, func, literal, select, tuple_
from sqlalchemy.orm import Session, aliased

from airflow_provider_pika.task.xcom import CLIP, ERROR, REQUEST, REQUEST_ID

__all__ = ["REQUEST", "REQUEST_ID"]

#: The tasks that save, by class, with the module that each comes from. Only their entries are read.
SAVERS = {
    "PikaVideoToObjectStorageOperator": "airflow_provider_pika.transfers.video_to_object_storage",
    "PikaBatchToObjectStorageOperator": "airflow_provider_pika.transfers.batch_to_object_storage",
}

#: The tasks that ask a person about clips, likewise.
REVIEWERS = {"PikaReviewOperator": "airflow_provider_pika.operators.review"}

#: All our tasks that are about clips.
OURS = (
    *SAVERS,
    *REVIEWERS,
    "PikaTextToVideoOperator",
    "PikaTextToVideoBatchOperator",
    "PikaVideoSensor",
    "_PikaTextToVideoDecoratedOperator",
)

#: States of a task that has not ended.
GOING_ON = (
    "running",
    "deferred",
    "awaiting_input",
    "queued",
    "scheduled",
    "restarting",
    "up_for_retry",
    "up_for_reschedule",
)

#: Entries on a page, and tasks that wait or have failed beside them.
PAGE, BESIDE = 48, 24

#: Tasks of one run that may have saved one clip, which are looked at.
_FEW_SAVED = 20

#: So few entries of all are sorted for a page. Of more, the newest runs are gone through.
_FEW = 5000

#: Runs that are gone through at first, and at most at a time.
_RUNS_AT_FIRST, _MOST_RUNS = 24, 400

#: Seconds after which a page ends with what it has, and a link to go on: a prompt stands in no index.
_WITHIN = 0.1

#: Dags of which SQLite looks the runs up; of more it goes through all runs.
_SOME_DAGS = 10

#: A task's ID that no other comes before, and the largest map index, or number of a run.
_BEFORE_ALL, _MOST_INDEX = "", 2**31 - 1

#: A place in the order: a run's number, a task and a map index.
Place = tuple[int, str, int]

#: How often a page is read anew without Dags that turned out to be closed.
_MOST_ROUNDS = 50


class BadCursor(ValueError):
    """It is no cursor of ours."""


@dataclass(frozen=True)
class Filters:
    """What a list is narrowed to. Every text is found anywhere in its column; ``run_id`` and the others likewise."""

    dag_id: str = ""
    run_id: str = ""
    task_id: str = ""
    prompt: str = ""

    @property
    def given(self) -> dict[str, str]:
        """Those that are set, as a URL has them."""
        return {name: value for name, value in vars(self).items() if value}


@dataclass(frozen=True)
class Key:
    """A task instance."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @property
    def query(self) -> dict[str, Any]:
        """It, as a URL of ours names it."""
        return dict(vars(self))


@dataclass(frozen=True)
class Row:
    """An index entry, raw, with its task instance; ``run`` is the number of the Dag run."""

    key: Key
    value: Any
    at: datetime
    operator: str | None
    cursor: str
    run: int


@dataclass(frozen=True)
class Page:
    """Some index entries, newest first; ``older`` is the cursor of the next ones, None: there are none."""

    rows: list[Row] = field(default_factory=list)
    older: str | None = None


@dataclass(frozen=True)
class Task:
    """A task instance that waits or has failed, with what it has pushed."""

    key: Key
    state: str | None
    operator: str | None
    try_number: int
    since: datetime | None
    request: Any = None
    error: Any = None


def newest(
    session: Session,
    dags: Collection[str],
    filters: Filters,
    cursor: str | None = None,
    closed: Callable[[Collection[str]], Collection[str]] = lambda dag_ids: (),
) -> Page:
    """Return a page of the index: the newest run first, and in a run the last task and map index.

    A page may have fewer entries than there is room for, and a cursor all the same: it has gone through many runs.

    :param dags: that the user may read.
    :param closed: returns those of some Dags whose XComs the user may not read.
    :raises BadCursor: the cursor is none.
    """
    place = None if cursor is None else _read(cursor)
    open_dags = set(dags)
    for _ in range(_MOST_ROUNDS):
        found = _page(session, open_dags, filters, place)
        shut = set(closed({row.key.dag_id for row in found.rows}))
        if not shut:
            return found
        open_dags -= shut
    return Page()


def _page(session: Session, dags: Collection[str], filters: Filters, place: Place | None) -> Page:
    if _are_few(session):
        rows = _rows(session, dags, filters, place, None)
        return Page(rows[:PAGE], rows[PAGE - 1].cursor if len(rows) > PAGE else None)
    rows, gone_through, last = list[Row](), 0, place and place[0] + 1
    began = monotonic()
    while len(rows) <= PAGE and (not gone_through or monotonic() - began < _WITHIN):
        runs = _runs(session, dags, filters, last, min(_RUNS_AT_FIRST + 3 * gone_through, _MOST_RUNS))
        if not runs:
            return Page(rows)
        rows += _rows(session, dags, filters, place, runs)
        gone_through, last = gone_through + len(runs), runs[-1]
    if len(rows) > PAGE:
        return Page(rows[:PAGE], rows[PAGE - 1].cursor)
    return Page(rows, _cursor(last, _BEFORE_ALL, 0))


def _are_few(session: Session) -> bool:
    """Return whether there are so few entries that all can be sorted. No index has them in our order."""
    few = select(literal(1)).where(XComModel.key == CLIP).limit(_FEW).subquery()
    return (session.scalar(select(func.count()).select_from(few)) or 0) < _FEW


def _runs(session: Session, dags: Collection[str], filters: Filters, before: int | None, limit: int) -> list[int]:
    """Return some Dag runs, the newest first, by the order in which they were made.

    :param before: the number of the run that they come before; None: the newest.
    """
    asked = select(DagRun.id).where(plain(session, DagRun.dag_id, len(dags) > _SOME_DAGS).in_(sorted(dags)))
    asked = asked.where(*_narrowed(DagRun, replace(filters, task_id="", prompt="")))
    if before is not None:
        asked = asked.where(DagRun.id < before)
    return list(session.scalars(asked.order_by(DagRun.id.desc()).limit(limit)))


def _rows(
    session: Session, dags: Collection[str], filters: Filters, place: Place | None, runs: list[int] | None
) -> list[Row]:
    """Return the entries of a page and one more.

    :param runs: whose entries are wanted; None: of all runs.
    """
    xcom = XComModel
    order = (xcom.dag_run_id, xcom.task_id, xcom.map_index)
    wanted = select(*order).where(plain(session, xcom.key, runs is not None) == CLIP, *_narrowed(xcom, filters))
    wanted = wanted.where(xcom.dag_id.in_(sorted(dags)) if runs is None else xcom.dag_run_id.in_(runs))
    if place:
        values = [literal(value, column.type) for value, column in zip(place, order, strict=True)]
        wanted = wanted.where(tuple_(*order) < tuple_(*values))
    found = wanted.order_by(*(column.desc() for column in order)).limit(PAGE + 1).subquery()
    same = (getattr(xcom, column.key) == found.c[column.key] for column in order)
    about = (xcom.dag_id, xcom.run_id, xcom.task_id, xcom.map_index, xcom.value, xcom.timestamp, xcom.dag_run_id)
    rows = session.execute(
        select(*about, TaskInstance.operator)
        .join_from(found, xcom, and_(*same, plain(session, xcom.key, True) == CLIP))
        .join(TaskInstance, same_task(xcom))
        .order_by(*(column.desc() for column in found.c))
    )
    return [Row(Key(*row[:4]), row[4], row[5], row[7], _cursor(row[6], row[2], row[3]), row[6]) for row in rows]


def plain(session: Session, column: Any, is_wanted: bool) -> Any:
    """Return a column, for SQLite so that it uses no index of it: without statistics it takes the wrong one."""
    return column.concat("") if is_wanted and session.get_bind().dialect.name == "sqlite" else column


def entry_of(session: Session, key: Key) -> Any:
    """Return a task instance's index entry, if it is one of a task of ours that saves; None: there is none.

    Anybody may push an XCom under our key, so it counts only if the task is ours: :func:`is_ours`.
    """
    row = session.execute(
        select(XComModel.value, TaskInstance.operator, TaskInstance.dag_version_id)
        .join(TaskInstance, same_task(XComModel))
        .where(XComModel.key == CLIP, *is_key(XComModel, key))
    ).first()
    return row[0] if row and is_ours(session, key, row[1], row[2], SAVERS) else None


def is_ours(session: Session, key: Key, operator: str | None, version: Any, classes: Mapping[str, str]) -> bool:
    """Return whether a task is of one of some classes: by name, and by the module that Airflow noted at the parse.

    :param version: of the Dag, which the task instance ran.
    :param classes: each with its module.
    """
    module = classes.get(operator or "")
    return module is not None and _class_of(session, version, key.dag_id, key.task_id) == f"{module}.{operator}"


def value_of(session: Session, key: Key, name: str) -> Any:
    """Return an XCom of a task instance; None: there is none."""
    return session.scalar(select(XComModel.value).where(XComModel.key == name, *is_key(XComModel, key)))


def rendered_of(session: Session, key: Key, name: str) -> Any:
    """Return what one of a task's templates became; None: Airflow does not keep it."""
    fields = session.scalar(
        select(RenderedTaskInstanceFields.rendered_fields).where(*is_key(RenderedTaskInstanceFields, key))
    )
    return fields.get(name) if isinstance(fields, Mapping) else None


def spelled(session: Session, key: Key) -> Key:
    """Return a task instance as Airflow spells it. Airflow 3.1 hands over the ``+`` of a run's ID as a blank."""
    for run_id in dict.fromkeys((key.run_id, key.run_id.replace(" ", "+"))):
        found = replace(key, run_id=run_id)
        if session.scalar(select(TaskInstance.task_id).where(*is_key(TaskInstance, found))):
            return found
    return key


def task_of(session: Session, key: Key) -> Task | None:
    """Return a task instance of ours; None: it is none of ours."""
    found = session.execute(_tasks().where(*is_key(TaskInstance, key))).first()
    task = found and _task(found)
    return task if task and task.operator in OURS else None


def saved_of_request(session: Session, key: Key, request_id: str) -> Key | None:
    """Return which task of the same run has saved the clip of a request: one of ours that saves."""
    run = select(DagRun.id).where(DagRun.dag_id == key.dag_id, DagRun.run_id == key.run_id).scalar_subquery()
    xcom, ti = XComModel, TaskInstance
    rows = session.execute(
        select(xcom.dag_id, xcom.run_id, xcom.task_id, xcom.map_index, ti.operator, ti.dag_version_id)
        .join(ti, same_task(xcom))
        .where(xcom.dag_run_id == run, plain(session, xcom.key, True) == CLIP, ti.operator.in_(SAVERS))
        .where(xcom.value["request_id"].as_string() == request_id)
        .limit(_FEW_SAVED)
    )
    return next((at for row in rows if is_ours(session, at := Key(*row[:4]), row[4], row[5], SAVERS)), None)


def going_on(session: Session, dags: Collection[str], filters: Filters) -> list[Task]:
    """Return the tasks of ours that have not ended, the last to start first."""
    asked = (
        _tasks()
        .where(TaskInstance.state.in_(GOING_ON), TaskInstance.operator.in_(OURS))
        .where(TaskInstance.dag_id.in_(sorted(dags)), *_narrowed(TaskInstance, filters, with_prompt=False))
        .order_by(TaskInstance.start_date.desc())
        .limit(BESIDE)
    )
    return [_task(row) for row in session.execute(asked)]


def failed(session: Session, dags: Collection[str], filters: Filters) -> list[Task]:
    """Return the tasks of ours that said why they failed, the newest first, and that have not been run again."""
    request, error = aliased(XComModel), aliased(XComModel)
    asked = (
        _columns(request, error)
        .select_from(error)
        .join(TaskInstance, same_task(error))
        .outerjoin(request, and_(same_task(request), request.key == REQUEST))
        .where(error.key == ERROR, TaskInstance.state == "failed", TaskInstance.operator.in_(OURS))
        .where(error.dag_id.in_(sorted(dags)), *_narrowed(error, filters, with_prompt=False))
        .order_by(error.timestamp.desc())
        .limit(BESIDE)
    )
    return [_task(row) for row in session.execute(asked)]


def _columns(request: Any, error: Any) -> Select[Any]:
    instance = TaskInstance
    about = (instance.state, instance.operator, instance.try_number, instance.start_date)
    return select(instance.dag_id, instance.run_id, instance.task_id, instance.map_index, *about).add_columns(
        request.value, error.value
    )


def _tasks() -> Select[Any]:
    """Select task instances with what they have pushed."""
    request, error = aliased(XComModel), aliased(XComModel)
    return (
        _columns(request, error)
        .select_from(TaskInstance)
        .outerjoin(request, and_(same_task(request), request.key == REQUEST))
        .outerjoin(error, and_(same_task(error), error.key == ERROR))
    )


def _task(row: Any) -> Task:
    return Task(Key(*row[:4]), row[4] and str(row[4]), row[5], row[6] or 0, row[7], row[8], row[9])


def same_task(xcom: Any) -> Any:
    """Return what joins XComs with their task instances."""
    names = ("dag_id", "task_id", "run_id", "map_index")
    return and_(*(getattr(xcom, name) == getattr(TaskInstance, name) for name in names))


def is_key(table: Any, key: Key) -> list[Any]:
    """Return what finds a task instance, or an XCom of it."""
    return [getattr(table, name) == value for name, value in vars(key).items()]


def _narrowed(table: Any, filters: Filters, *, with_prompt: bool = True) -> list[Any]:
    names = {name: value for name, value in filters.given.items() if name != "prompt"}
    clauses = [getattr(table, name).icontains(value, autoescape=True) for name, value in names.items()]
    if filters.prompt and with_prompt:
        clauses.append(table.value["prompt"].as_string().icontains(filters.prompt, autoescape=True))
    return clauses


def _class_of(session: Session, version: Any, dag_id: str, task_id: str) -> str | None:
    """Return a task's class with its module, as the Dag was parsed that the task instance ran."""
    if version is None:
        found = SerializedDagModel.get(dag_id, session=session)
        version = found and found.dag_version_id
    return _classes_of(version)(session).get(task_id) if version else None


@lru_cache(maxsize=64)
def _classes_of(version: Any) -> Callable[[Session], dict[str, str]]:
    """Return what reads a Dag's version once: it does not change any more when a task instance has it."""
    known: dict[str, str] = {}

    def read(session: Session) -> dict[str, str]:
        if not known:
            found = session.scalar(select(SerializedDagModel).where(SerializedDagModel.dag_version_id == version))
            data = (found.data if found else None) or {}
            for task in data.get("dag", {}).get("tasks", []):
                told = task.get("__var", task)
                known[str(told.get("task_id"))] = f"{told.get('_task_module')}.{told.get('task_type')}"
        return known

    return read


def _cursor(*place: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _read(cursor: str) -> Place:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        run, task_id, map_index = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadCursor("That is no place in the list.") from error
    whole = all(type(number) is int and abs(number) <= _MOST_INDEX for number in (run, map_index))
    if not (whole and isinstance(task_id, str)) or "\0" in task_id:
        raise BadCursor("That is no place in the list.")
    return run, task_id, map_index
