"""The Dags of the pages are run. tests/commands runs their commands, tests/unit/test_docs.py holds the rest."""

from __future__ import annotations

import re
import time

from airflow_provider_pika.review.decision import KEEP
from dev.pages import dags
from tests.support.reviews import SETTLED, Review
from tests.support.running_airflow import RunningAirflow, until
from tests.support.versions import KEEPS_TASK_STATE

#: Dags of the pages that run on Airflow 3.1, too. That it parses the others is another test's affair.
ON_THE_OLDEST = {"first_clip", "nightly_clip"}


def test_every_snippet_is_a_dag_that_makes_a_video(airflow: RunningAirflow) -> None:
    shown = set(dags()) if KEEPS_TASK_STATE else ON_THE_OLDEST
    assert dags().keys() >= ON_THE_OLDEST
    runs = {dag_id: airflow.start_run(dag_id) for dag_id in sorted(shown)}
    asked = {dag_id: Review(airflow, dag_id, runs[dag_id]) for dag_id in runs if "PikaReview" in dags()[dag_id]}
    questions = {dag_id: review.question() for dag_id, review in asked.items()}
    time.sleep(SETTLED)
    for dag_id, review in asked.items():
        assert review.answer(KEEP, clips=[questions[dag_id]["clips"][0]["sha256"]]) == 200
    for dag_id, run_id in runs.items():
        assert airflow.end_of_run(dag_id, run_id) == "success", dag_id
        until(lambda d=dag_id, r=run_id: _says_where_the_video_is(airflow, d, r), f"{dag_id} to say where it is", 30)  # type: ignore[misc]


def _says_where_the_video_is(airflow: RunningAirflow, dag_id: str, run_id: str) -> bool:
    done = [each for each in airflow.instances(dag_id, run_id) if each["state"] == "success"]
    logs = [airflow.log(dag_id, run_id, each["task_id"], map_index=each["map_index"]) for each in done]
    saved = r"Saved /tmp/\S+\.mp4: \d+ bytes|Saved: \d+ saved, 0 failed"
    said = rf"Here it is: (http:/)?/\S+\.mp4, for request|{saved}|Finished: http://\S+\.mp4"
    return any(re.search(said, log) for log in logs)
