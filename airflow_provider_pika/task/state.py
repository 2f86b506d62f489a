"""Where Airflow keeps a task's record of its submission between two attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_pika.exceptions import RecordUnavailable
from airflow_provider_pika.strict_json import for_airflow

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_pika.fal.record import Record

#: The key of the record in the task's state, which people see in Airflow's UI.
KEY = "pika_submission"


class TaskStateRecords:
    """The record in Airflow's task state (``context["task_state_store"]``, Airflow 3.3 and newer).

    It survives a retry and a ``kill -9``; XCom does not (airflow-facts.md, section 3.1).
    """

    survives = True

    def __init__(self, store: Any) -> None:
        self._store = store

    def read(self) -> Record | None:
        """Return the record; None if there is none.

        :raises RecordUnavailable: Airflow does not say whether there is one.
        :raises RecordUnreadable: there is one that this version cannot read.
        """
        from airflow_provider_pika.fal.record import Record

        try:
            value = self._store.get(KEY)
        except Exception as error:
            raise RecordUnavailable(f"The task's state could not be read: {error}") from error
        return None if value is None else Record.read(value)

    def write(self, record: Record) -> None:
        """Keep the record.

        :raises RecordUnavailable: Airflow did not keep it.
        """
        try:
            self._store.set(KEY, for_airflow(record.as_json()))
        except Exception as error:
            raise RecordUnavailable(f"The task's state could not be written: {error}") from error


class NoRecords:
    """Airflow 3.1 and 3.2 have no place that survives a retry: the record lives as long as the attempt."""

    survives = False

    def __init__(self) -> None:
        self._record: Record | None = None

    def read(self) -> Record | None:
        """Return what this attempt wrote."""
        return self._record

    def write(self, record: Record) -> None:
        """Keep the record for this attempt."""
        self._record = record


def records_of(context: Context) -> TaskStateRecords | NoRecords:
    """Return the place for a task's record."""
    store: Any = context.get("task_state_store")
    return NoRecords() if store is None else TaskStateRecords(store)
