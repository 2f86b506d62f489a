"""What Airflow does to a deferred task besides waiting for it: its time is up, or another process resumes it."""

from __future__ import annotations

import json
import sys
from datetime import datetime

import pytest

from airflow_provider_pika.exceptions import TryLater
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.account import Account
from airflow_provider_pika.fal.client import FalQueue
from airflow_provider_pika.fal.polling import Failed
from tests.support.emulator import RunningEmulator
from tests.support.running_airflow import RunningAirflow, until
from tests.support.versions import KEEPS_TASK_STATE
from tests.system.stage import KEY

#: Seconds: the ``execution_timeout`` of the Dag ``out_of_time``.
LIMIT = 15.0

#: Resumes a task as an API server does that takes a person's answer.
RESUME = """
import json, sys
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import handle_event_submit
from airflow.triggers.base import TriggerEvent
from airflow.utils.session import create_session
from sqlalchemy import select

dag_id, run_id, task_id, event = sys.argv[1:]
found = select(TaskInstance).filter_by(dag_id=dag_id, run_id=run_id, task_id=task_id).with_for_update(of=TaskInstance)
with create_session() as session:
    task_instance = session.scalars(found).one()
    assert task_instance.state == "deferred"
    handle_event_submit(TriggerEvent(json.loads(event)), task_instance=task_instance, session=session)
"""


def test_an_execution_timeout_ends_a_wait_as_airflow_ends_a_task_and_what_is_on_record_is_not_paid_again(
    airflow: RunningAirflow, busy: RunningEmulator
) -> None:
    run_id = airflow.start_run("out_of_time")
    assert airflow.end_of_run("out_of_time", run_id, 200) == "failed"
    tasks = airflow.tasks("out_of_time", run_id)
    assert tasks.pop("submit")["state"] == "success"
    if not KEEPS_TASK_STATE:  # a batch is refused before it submits, and not retried
        batch = tasks.pop("batch")
        assert (batch["state"], batch["try_number"]) == ("failed", 1)
        assert "needs Airflow 3.3" in airflow.log("out_of_time", run_id, "batch")
    for task_id, ended in tasks.items():
        assert (ended["state"], ended["try_number"]) == ("failed", 2), task_id  # it was retried
        start, end = (datetime.fromisoformat(ended[name]) for name in ("start_date", "end_date"))
        assert LIMIT - 2 < (end - start).total_seconds() < LIMIT + 25, task_id
        for log in airflow.logs("out_of_time", run_id, task_id):
            assert "AirflowTaskTimeout" in log, task_id
            assert "execution_timeout of 15 seconds" in log, task_id
    # what ``submit`` submitted, the sensor waits for; without a record, the retry of each operator submits again
    paid = (
        {"submit": 1, "deferred": 1, "held": 1, "batch": 1}
        if KEEPS_TASK_STATE
        else {"submit": 1, "deferred": 2, "held": 2}
    )
    assert busy.counts()["submit"]["accepted"] == sum(paid.values())  # nobody else uses this emulator
    assert busy.counts()["cancel"] == 0


@pytest.mark.skipif(not KEEPS_TASK_STATE, reason="without a record, the retry submits another request")
def test_a_task_that_another_process_resumes_keeps_its_request_and_a_cleared_one_is_replaced(
    airflow: RunningAirflow, busy: RunningEmulator
) -> None:
    busy.reset_counts()
    airflow.call("PATCH", "/api/v2/dags/interfered_with", json={"is_paused": False})
    fal = FalQueue(Account(f"Key {KEY}", busy.queue_url))
    fal.submit(TEXT_TO_VIDEO, {"prompt": "blocker [[never_finish]]"})

    run_id = airflow.start_run("interfered_with", prompt="a clip that waits")
    airflow.until_state("interfered_with", run_id, "clip", "deferred")
    until(lambda: airflow.instance("interfered_with", run_id, "clip")["triggerer"], "a triggerer to have it", 60)
    from airflow_provider_pika.triggers.pika import to_event  # and with it Airflow, for seconds

    broken = json.dumps(to_event(Failed(TryLater("The wait broke.")), []))
    log = airflow.home.folder / "resume.log"
    assert airflow.home.run([sys.executable, "-c", RESUME, "interfered_with", run_id, "clip", broken], log) == 0

    def is_retried() -> bool:
        instance = airflow.instance("interfered_with", run_id, "clip")
        return (instance["try_number"], instance["state"]) == (2, "deferred")

    until(is_retried, "the retry to wait", 120)
    assert busy.counts()["cancel"] == 0
    [request] = busy.requests("a clip that waits")
    assert request["state"] == "IN_QUEUE"

    airflow.clear("interfered_with", run_id, "clip")
    until(lambda: len(busy.requests("a clip that waits")) == 2, "the new try to submit", 120)
    old, new = busy.requests("a clip that waits")
    assert (old["error_type"], new["error_type"]) == ("client_cancelled", None)
    for request in busy.requests():
        if request["state"] != "COMPLETED" and request["request_id"] != new["request_id"]:
            fal.cancel(TEXT_TO_VIDEO, request["request_id"])
    fal.close()
    assert airflow.end_of_run("interfered_with", run_id, 120) == "success"
