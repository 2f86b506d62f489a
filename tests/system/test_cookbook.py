"""The cookbook's Dags that need more than `dag.test`: a person's answer, a stopped run, a pool, a mended row."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.review.decision import KEEP, REJECT
from dev.airflow_home import pika_connection
from tests.support.emulator import RunningEmulator
from tests.support.reviews import SETTLED, Review
from tests.support.running_airflow import RunningAirflow, until
from tests.support.saved import metadata_beside
from tests.support.strange_server import StrangeServer, reply
from tests.support.versions import KEEPS_TASK_STATE

APPROVAL, BEST_OF = "example_pika_approval", "example_pika_best_of"
CLEAN_UP, ROWS = "example_pika_clean_up", "example_pika_table_rows"

#: How a task waits for a person.
WAITS = "awaiting_input" if KEEPS_TASK_STATE else "deferred"


#: What nobody may read of the address to which the report is posted.
SECRET = "T0123/B4567/not-for-any-log"


def answer(airflow: RunningAirflow, run_id: str, option: str, dag_id: str) -> dict[str, Any]:
    """Answer the question as the page does, and return what the page showed."""
    path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"
    shown: dict[str, Any] = airflow.call("GET", path)
    airflow.call("PATCH", path, json={"chosen_options": [option], "params_input": {}})
    return shown


@pytest.mark.before_release
def test_a_clip_is_published_where_a_person_keeps_it_and_the_chat_is_told_that_it_waits(
    airflow: RunningAirflow, tmp_path: Path
) -> None:
    with StrangeServer(reply(200, "ok")) as chat:
        webhook = {"connection_id": "pika_chat", "conn_type": "generic", "password": f"{chat.url}/hooks/{SECRET}"}
        airflow.call("POST", "/api/v2/connections", json=webhook)
        runs = {
            option: airflow.start_run(APPROVAL, prompt=f"To {option}", folder=str(tmp_path))
            for option in (KEEP, REJECT)
        }
        best = airflow.start_run(BEST_OF, prompt="A boat", folder=str(tmp_path))
        reviews = {option: Review(airflow, APPROVAL, run_id) for option, run_id in runs.items()}
        asked = {option: review.question() for option, review in reviews.items()}
        first = Review(airflow, BEST_OF, best, "round_1.review")
        takes = first.question()["clips"]
        time.sleep(SETTLED)
        for option, review in reviews.items():
            assert review.answer(option, clips=[asked[option]["clips"][0]["sha256"]]) == 200
        assert first.answer(REJECT, note="In the sun") == 200
        assert [airflow.end_of_run(APPROVAL, run_id) for run_id in runs.values()] == ["success", "success"]
        told = [body for body in chat.bodies if runs[KEEP].partition("+")[0].encode() in unquote_to_bytes(body)]
    published = airflow.xcom(APPROVAL, runs[KEEP], "publish")
    assert metadata_beside(published)["prompt"] == f"To {KEEP}"
    assert airflow.tasks(APPROVAL, runs[REJECT])["publish"]["state"] == "skipped"
    [message] = told
    assert b"Keep this clip?: http" in message
    assert Path(f"{published}.jpg").read_bytes() in message
    assert SECRET not in airflow.log(APPROVAL, runs[KEEP], "review")

    second = Review(airflow, BEST_OF, best, "round_2.review")
    better = second.question()["clips"]
    assert {clip["prompt"] for clip in better} == {"A boat. In the sun"}
    time.sleep(SETTLED)
    assert second.answer(KEEP, clips=[better[2]["sha256"]]) == 200
    assert airflow.end_of_run(BEST_OF, best) == "success"
    assert airflow.xcom(BEST_OF, best, "publish") == better[2]["path"]
    assert airflow.xcom(BEST_OF, best, "leftovers") == [clip["path"] for clip in (*takes, *better[:2])]
    assert airflow.tasks(BEST_OF, best)["round_3.take"]["state"] == "skipped"


@pytest.mark.newest  # a batch needs Airflow 3.3
def test_a_batch_whose_cost_a_person_confirms_costs_what_was_said(airflow: RunningAirflow, tmp_path: Path) -> None:
    budget = "example_pika_budget"
    run_id = airflow.start_run(budget, prompts=["one", "two", "three"], folder=str(tmp_path))
    airflow.until_state(budget, run_id, "approve", WAITS)
    time.sleep(SETTLED)
    shown = answer(airflow, run_id, "Approve", budget)
    assert shown["body"] == "3 clips for about 0.90 USD"
    assert airflow.end_of_run(budget, run_id) == "success"
    assert airflow.xcom(budget, run_id, "report") == "3 clips for 0.90 USD"


@pytest.mark.newest
def test_the_morning_report_posts_what_fals_books_say_to_the_cent(
    airflow: RunningAirflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # an emulator of its own: nobody else's clips are in its books
    key, admin, report = "priced:secret-of-the-clips", "admin:secret-of-the-books", "example_pika_morning_report"
    options = ["--admin-key", admin, "--price", f"{TEXT_TO_VIDEO}=seconds:0.07", "--render", "off"]
    with (
        RunningEmulator.start(tmp_path, runners=8, generation_time="0.5", keys=[key], extra=options) as emulator,
        StrangeServer(reply(200, "ok")) as webhook,
    ):
        secret = f"{webhook.url}/hooks/{SECRET}"
        pika = {"conn_type": "pika", "host": emulator.queue_url}
        for conn_id, fields in {
            "pika_priced": {**pika, "password": key},
            "pika_admin": {**pika, "password": admin},
            "pika_report": {"conn_type": "generic", "password": secret},
        }.items():
            airflow.call("POST", "/api/v2/connections", json={"connection_id": conn_id, **fields})
        runs = {dag_id: airflow.start_run(dag_id) for dag_id in ("priced_recap", "priced_products")}
        for name, value in pika_connection(emulator.queue_url, key).items():
            monkeypatch.setenv(name, value)
        from airflow_provider_pika.hooks.pika import PikaHook  # and with it Airflow, for seconds

        PikaHook().submit(TEXT_TO_VIDEO, {"prompt": "without a Dag", "duration": 10})
        assert [airflow.end_of_run(*run) for run in runs.items()] == ["success"] * 2
        until(lambda: len(emulator.books()) == 4, "all charges", 30)
        day = time.strftime("%Y-%m-%d", time.gmtime())
        run_id = airflow.start_run(report, day=day)
        assert airflow.end_of_run(report, run_id) == "success"
        # at six o'clock, the schedule's own run of the day before is posted, too
        [text] = [said for body in webhook.bodies if f"{day}T00" in (said := json.loads(body)["text"])[:40]]
        sums, total = emulator.billed_by("dag"), emulator.billed()
    head, *lines = text.splitlines()
    assert head.endswith(f"from fal's billing events: {total:.2f} USD (requests: 4)")
    assert sums == {"priced_products": Decimal("1.05"), "priced_recap": Decimal("0.35"), None: Decimal("0.70")}
    assert lines == [
        f"- priced_products: {sums['priced_products']:.2f} USD (requests: 2)",
        f"- unknown Dag: {sums[None]:.2f} USD (requests: 1)",
        f"- priced_recap: {sums['priced_recap']:.2f} USD (requests: 1)",
    ]
    assert airflow.xcom(report, run_id, "costs") == text
    logs = airflow.log(report, run_id, "costs") + airflow.log(report, run_id, "post")
    assert SECRET not in logs
    assert "secret-of-the-books" not in logs


@pytest.mark.parametrize("stopped", ["a task", "the run"])
def test_a_clip_that_nobody_waits_for_is_cancelled(
    airflow: RunningAirflow, emulator: RunningEmulator, stopped: str
) -> None:
    prompt = f"A plane that never lands: {stopped} [[never_finish]]"
    run_id = airflow.start_run(CLEAN_UP, prompt=prompt)
    airflow.until_state(CLEAN_UP, run_id, "video", "deferred")
    if stopped == "a task":
        airflow.set_state(CLEAN_UP, run_id, "video", "failed")
    else:
        airflow.call("PATCH", f"/api/v2/dags/{CLEAN_UP}/dagRuns/{run_id}", json={"state": "failed"})
    assert airflow.end_of_run(CLEAN_UP, run_id) == "failed"
    # from Airflow 3.3 on, the triggerer may have been faster
    assert airflow.xcom(CLEAN_UP, run_id, "clean_up") in ("CANCELLATION_REQUESTED", "ALREADY_COMPLETED")
    [request] = emulator.requests(prompt)
    assert request["status_code"] == 499


@pytest.mark.newest
def test_a_clean_up_has_nothing_to_do_where_all_went_well(
    airflow: RunningAirflow, emulator: RunningEmulator, tmp_path: Path
) -> None:
    run_id = airflow.start_run(CLEAN_UP, prompt="A plane that lands", folder=str(tmp_path))
    assert airflow.end_of_run(CLEAN_UP, run_id) == "success"
    assert airflow.xcom(CLEAN_UP, run_id, "clean_up") == "ALREADY_COMPLETED"
    # a clear of `save` runs it and the clean-up again, and pays for nothing
    airflow.clear(CLEAN_UP, run_id, "save", include_downstream=True)
    assert airflow.end_of_run(CLEAN_UP, run_id) == "success"
    assert airflow.tasks(CLEAN_UP, run_id)["generate"]["try_number"] == 1
    assert len(emulator.requests("A plane that lands")) == 1


def test_a_worker_that_fails_sends_the_alert(
    airflow: RunningAirflow, emulator: RunningEmulator, tmp_path: Path
) -> None:
    dag_id, prompt = "example_pika_alert", "An alarming owl [[content_policy_violation]]"
    run_id = airflow.start_run(dag_id, prompt=prompt, folder=str(tmp_path))
    assert airflow.end_of_run(dag_id, run_id) == "failed"
    [request] = emulator.requests("An alarming owl")
    log = airflow.log(dag_id, run_id, "video")
    assert f"example_pika_alert.video failed in {run_id}" in log
    assert f"Request: {request['request_id']}" in log
    assert "The same again may help: no" in log


@pytest.mark.newest
def test_a_pool_holds_back_what_several_tasks_would_send(
    airflow: RunningAirflow, emulator: RunningEmulator, tmp_path: Path
) -> None:
    run_id = airflow.start_run("example_pika_pool_urgent", folder=str(tmp_path))
    assert airflow.end_of_run("example_pika_pool_urgent", run_id, 200) == "success"
    assert len(emulator.requests(prompt="Breaking news")) == 4
    assert emulator.most_at_once("Breaking news") <= 2


@pytest.mark.newest
def test_a_batch_takes_its_share_of_the_pool(
    airflow: RunningAirflow, emulator: RunningEmulator, tmp_path: Path
) -> None:
    run_id = airflow.start_run("example_pika_pool_archive", number=4, folder=str(tmp_path))
    instance = airflow.until_state("example_pika_pool_archive", run_id, "batch", "deferred")
    assert (instance["pool"], instance["pool_slots"]) == ("pika", 2)
    assert airflow.end_of_run("example_pika_pool_archive", run_id, 200) == "success"
    assert len(list(tmp_path.glob("*.mp4"))) == 4
    assert emulator.most_at_once("From the archive") <= 2


@pytest.mark.newest
def test_one_row_is_mended_and_the_others_stay(
    airflow: RunningAirflow, emulator: RunningEmulator, tmp_path: Path
) -> None:
    table, good = tmp_path / "table.csv", "good,A good row,5\n"
    table.write_text(f"name,prompt,duration\n{good}bad,A bad row [[content_policy_violation]],5\n")
    run_id = airflow.start_run(ROWS, table=str(table), folder=str(tmp_path))
    assert airflow.end_of_run(ROWS, run_id) == "failed"
    table.write_text(f"name,prompt,duration\n{good}bad,A mended row,5\n")
    airflow.clear(ROWS, run_id, "rows")
    assert airflow.end_of_run(ROWS, run_id) == "failed"  # still: the row has not been tried again
    airflow.clear(ROWS, run_id, ["clip.video", 1], ["clip.save", 1])  # type: ignore[arg-type]
    assert airflow.end_of_run(ROWS, run_id) == "success"
    [folder] = {path.parent for path in tmp_path.rglob("*.mp4")}
    assert {path.stem for path in folder.glob("*.mp4")} == {"good", "bad"}
    assert metadata_beside(folder / "bad.mp4")["prompt"] == "A mended row"
    assert len(emulator.requests("A good row")) == 1
