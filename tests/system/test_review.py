"""Reviews in a real Airflow, answered by a script through Airflow's API, or by nobody."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_pika.review.decision import KEEP, REJECT
from tests.support.running_airflow import RunningAirflow, until
from tests.system.stage import Stage

DAG = "reviewed"

#: States of a task that waits for a person: of Airflow 3.3, and of 3.1.
WAITING = ("awaiting_input", "deferred")


#: Seconds that 3.3.2 needs to park a task: it fails one that is answered at once.
PARKING = 2.0


class Review:
    """One task that asks, of one run."""

    def __init__(self, airflow: RunningAirflow, run_id: str, task_id: str, map_index: int = -1) -> None:
        self._airflow, self.run_id, self.task_id, self.map_index = airflow, run_id, task_id, map_index

    def question(self) -> Any:
        """Return what is asked, once somebody may answer."""
        self._airflow.until_state(DAG, self.run_id, self.task_id, *WAITING, map_index=self.map_index)
        time.sleep(PARKING)
        return self.xcom("pika_review")

    def xcom(self, key: str) -> Any:
        return self._airflow.xcom(DAG, self.run_id, self.task_id, key, map_index=self.map_index)

    def answer(self, option: str, **values: Any) -> int:
        """Answer as a script does; gives the status of the API."""
        path = f"/api/v2/dags/{DAG}/dagRuns/{self.run_id}/taskInstances/{self.task_id}/{self.map_index}/hitlDetails"
        try:
            self._airflow.call("PATCH", path, json={"chosen_options": [option], "params_input": values})
        except httpx.HTTPStatusError as error:
            return error.response.status_code
        return 200

    def refusal_of(self, option: str, **values: Any) -> str:
        """Answer, and give why the task asks again."""
        before = self.question()["asked_at"]
        until(lambda: self.answer(option, **values) == 200, "the answer to be taken", 30)
        until(lambda: (self.xcom("pika_review") or {}).get("asked_at") not in (None, before), "a new question", 120)
        return str(self.question()["refused"]["why"])


@pytest.fixture(scope="module")
def run_id(airflow: RunningAirflow, stage: Stage) -> str:
    return airflow.start_run(DAG, folder=str(stage.clips / "reviewed"))


def test_a_script_chooses_one_of_three_and_the_dag_goes_on_with_that_file(airflow: RunningAirflow, run_id: str) -> None:
    review = Review(airflow, run_id, "review")
    question = review.question()
    clips = question["clips"]
    assert [clip["prompt"] for clip in clips] == ["a kite over the harbour"] * 3
    stranger = hashlib.sha256(b"a clip of another run").hexdigest()
    assert "that was not shown" in review.refusal_of(KEEP, clips=[stranger])
    assert "2 of 3" in review.refusal_of(KEEP, clips=[clip["sha256"] for clip in clips[:2]])
    assert "other clips" in review.refusal_of(REJECT, shown="0" * 64)

    chosen = clips[1]
    whole = Path(chosen["path"]).read_bytes()
    Path(chosen["path"]).write_bytes(whole[:-1] + b"x")
    assert "is not what was shown" in review.refusal_of(KEEP, clips=[chosen["sha256"]])
    Path(chosen["path"]).write_bytes(whole)

    assert review.question()["shown"] == question["shown"]
    assert review.answer(KEEP, clips=[chosen["sha256"]], shown=question["shown"], note="the light") == 200
    airflow.until_state(DAG, run_id, "publish", "success")
    assert airflow.xcom(DAG, run_id, "publish", "return_value") == [chosen["path"]]

    [kept] = review.xcom("return_value")
    assert kept.items() >= {**chosen, "reviewed_by": "Anonymous", "note": "the light"}.items()
    decided = review.xcom("review")
    assert [clip["decision"] for clip in decided["clips"]] == ["reject", "keep", "reject"]
    for clip in decided["clips"]:
        beside = json.loads(Path(clip["path"] + ".review.json").read_text())
        assert beside["sha256"] == clip["sha256"]
        [of_this] = [each for each in beside["reviews"] if each["task_id"] == "review"]
        assert of_this.items() >= {"decision": clip["decision"], "reviewed_by": "Anonymous"}.items()
    assert review.answer(REJECT) in (409, 200)
    assert review.xcom("review") == decided


def test_a_clip_that_is_made_anew_while_the_question_is_open_is_asked_about_again(
    airflow: RunningAirflow, run_id: str
) -> None:
    review = Review(airflow, run_id, "each", 2)
    before = review.question()
    airflow.clear(DAG, run_id, ["take", 2], ["save", 2])
    for task_id in ("take", "save"):
        until(lambda t=task_id: airflow.instance(DAG, run_id, t, 2)["try_number"] > 1, f"{task_id} to run again", 120)
        airflow.until_state(DAG, run_id, task_id, "success", map_index=2)
    why = review.refusal_of(KEEP, clips=[before["clips"][0]["sha256"]], shown=before["shown"])
    assert why == "Clip 1 has been made anew since it was shown."
    now = review.question()
    assert now["clips"][0]["sha256"] != before["clips"][0]["sha256"]
    assert review.answer(KEEP, clips=[now["clips"][0]["sha256"]], shown=now["shown"]) == 200
    airflow.until_state(DAG, run_id, "each", "success", map_index=2)
    [kept] = review.xcom("return_value")
    assert kept["sha256"] == now["clips"][0]["sha256"]


def test_what_nobody_answers_ends_as_the_dag_says(airflow: RunningAirflow, run_id: str) -> None:
    airflow.until_state(DAG, run_id, "failed", "failed")
    airflow.until_state(DAG, run_id, "skipped", "skipped")
    airflow.until_state(DAG, run_id, "published_without_answer__1", "skipped")
    airflow.until_state(DAG, run_id, "published_without_answer", "success")
    said = airflow.xcom(DAG, run_id, "approved", "review")
    assert (said["answer"], said["reviewed_by"]) == ("timeout", None)
    assert len(airflow.xcom(DAG, run_id, "published_without_answer", "return_value")) == 3


def test_a_rejection_can_be_an_empty_list(airflow: RunningAirflow, run_id: str) -> None:
    review = Review(airflow, run_id, "each", 0)
    review.question()
    assert review.answer(REJECT, note="too dark") == 200
    airflow.until_state(DAG, run_id, "each", "success", map_index=0)
    assert review.xcom("return_value") == []
    assert review.xcom("review")["note"] == "too dark"
