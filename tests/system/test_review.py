"""Reviews in a real Airflow, answered by a script through Airflow's API, or by nobody."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from airflow_provider_pika.review.decision import KEEP, REJECT
from tests.support.reviews import SETTLED, Review
from tests.support.running_airflow import RunningAirflow, until
from tests.system.stage import Stage

DAG = "reviewed"


@pytest.fixture(scope="module")
def run_id(airflow: RunningAirflow, stage: Stage) -> str:
    """A run whose reviews have been asked."""
    run_id = airflow.start_run(DAG, folder=str(stage.clips / "reviewed"))
    for review in (Review(airflow, DAG, run_id), *(Review(airflow, DAG, run_id, "each", place) for place in range(3))):
        review.question()
    time.sleep(SETTLED)
    return run_id


def test_what_nobody_answers_ends_as_the_dag_says(airflow: RunningAirflow, run_id: str) -> None:
    # before the next test makes a clip anew: silence approves nothing that was not shown
    Review(airflow, DAG, run_id, "failed").ended("failed")
    Review(airflow, DAG, run_id, "skipped").ended("skipped")
    airflow.until_state(DAG, run_id, "published_without_answer__1", "skipped")
    airflow.until_state(DAG, run_id, "published_without_answer", "success")
    said = Review(airflow, DAG, run_id, "approved").xcom("review")
    assert (said["answer"], said["reviewed_by"]) == ("timeout", None)
    assert len(airflow.xcom(DAG, run_id, "published_without_answer")) == 3


def test_answers_count_for_the_bytes_that_were_shown_and_the_dag_goes_on_with_those(
    airflow: RunningAirflow, run_id: str
) -> None:
    one, rejected, anew = Review(airflow, DAG, run_id), *(Review(airflow, DAG, run_id, "each", n) for n in (0, 2))
    asked, asked_anew = one.question(), anew.question()
    chosen = asked["clips"][1]
    assert {clip["prompt"] for clip in asked["clips"]} == {"a kite over the harbour"}

    # a file that is replaced, a clip that is made anew, and one that is simply rejected
    whole = Path(chosen["path"]).read_bytes()
    Path(chosen["path"]).write_bytes(whole[:-1] + b"x")
    airflow.clear(DAG, run_id, ["take", 2], ["save", 2])  # type: ignore[arg-type]
    until(lambda: airflow.instance(DAG, run_id, "save", 2)["try_number"] > 1, "the clip to be made anew", 120)
    airflow.until_state(DAG, run_id, "save", "success", map_index=2)
    assert anew.answer(KEEP, clips=[asked_anew["clips"][0]["sha256"]]) == 200
    assert rejected.answer(REJECT, note="too dark") == 200
    # of the three that `review` shows, one was made anew, too
    assert one.answer(KEEP, clips=[chosen["sha256"]], shown=asked["shown"]) == 200
    again, again_anew = one.question(asked["asked_at"]), anew.question(asked_anew["asked_at"])
    assert again["refused"]["why"] == "Clip 3 has been made anew since it was shown."
    assert again_anew["refused"]["why"] == "Clip 1 has been made anew since it was shown."
    assert again_anew["clips"][0]["sha256"] != asked_anew["clips"][0]["sha256"]
    time.sleep(SETTLED)

    assert anew.answer(KEEP, clips=[again_anew["clips"][0]["sha256"]], shown=again_anew["shown"]) == 200
    assert one.answer(KEEP, clips=[chosen["sha256"]], shown=again["shown"]) == 200
    last = one.question(again["asked_at"])
    assert "is not what was shown" in last["refused"]["why"]
    Path(chosen["path"]).write_bytes(whole)
    time.sleep(SETTLED)
    assert one.answer(KEEP, clips=[chosen["sha256"]], shown=last["shown"], note="the light") == 200

    airflow.until_state(DAG, run_id, "publish", "success")
    assert airflow.xcom(DAG, run_id, "publish") == [chosen["path"]]
    [kept] = one.xcom("return_value")
    assert kept.items() >= {**chosen, "reviewed_by": "Anonymous", "note": "the light"}.items()
    decided = one.xcom("review")
    assert [clip["decision"] for clip in decided["clips"]] == ["reject", "keep", "reject"]
    for clip in decided["clips"]:
        beside = json.loads(Path(clip["path"] + ".review.json").read_text())
        assert beside["sha256"] == clip["sha256"]
        [of_this] = [each for each in beside["reviews"] if each["task_id"] == "review"]
        assert of_this.items() >= {"decision": clip["decision"], "reviewed_by": "Anonymous"}.items()
    assert one.answer(REJECT) == 409
    assert one.xcom("review") == decided

    anew.ended("success")
    assert [clip["sha256"] for clip in anew.xcom("return_value")] == [again_anew["clips"][0]["sha256"]]
    rejected.ended("success")
    assert rejected.xcom("return_value") == []
    assert rejected.xcom("review")["note"] == "too dark"
