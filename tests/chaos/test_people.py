"""People act on deferred tasks of an Airflow with CeleryExecutor: a request that nobody wants any more is cancelled."""

from __future__ import annotations

from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.account import Account
from airflow_provider_pika.fal.client import FalQueue
from tests.chaos.conftest import RUNNERS, Stage
from tests.support.running_airflow import until
from tests.support.scenario import KEY


def test_a_person_marks_a_deferred_task_failed(stage: Stage) -> None:
    scenario = stage.begin("deferred task marked failed", each=1, dag_id="chaos_clips")
    stage.emulator.fault("never_finish", match=scenario.prompt(0))  # however long the triggerer takes to hear of it
    scenario.watched(0)
    triggers = stage.database.dump("trigger")
    assert scenario.requests(0)[0]["request_id"] in triggers
    assert KEY.partition(":")[2] not in triggers
    stage.airflow.set_state(scenario.dag_id, scenario.run_id, "clip", "failed", 0)
    until(lambda: scenario.requests(0)[0]["status_code"] == 499, "the request to be cancelled", 60)
    scenario.end("failed", ended_by_a_person=scenario.prompt(0))
    assert len(scenario.cancelled()) == 1


def test_a_person_clears_a_deferred_task_whose_request_waits(stage: Stage) -> None:
    fal = FalQueue(Account(f"Key {KEY}", stage.emulator.queue_url))
    blockers = [fal.submit(TEXT_TO_VIDEO, {"prompt": "blocker [[never_finish]]"}) for _ in range(RUNNERS)]
    scenario = stage.begin("deferred task cleared", each=1, dag_id="chaos_clips")
    stage.airflow.until_state(scenario.dag_id, scenario.run_id, "clip", "deferred", map_index=0, within=120)
    [request] = scenario.requests(0)
    assert request["state"] == "IN_QUEUE"
    stage.airflow.clear(scenario.dag_id, scenario.run_id, task_ids=[["clip", 0]])
    until(lambda: scenario.requests(0)[0]["status_code"] == 499, "the old request to be cancelled", 90)
    for blocker in blockers:
        fal.cancel(TEXT_TO_VIDEO, blocker)
    fal.close()
    scenario.end(asked_twice=scenario.prompt(0))
    old, new = scenario.requests(0)
    assert (old["error_type"], new["status_code"]) == ("client_cancelled", 200)
