"""``@task.pika_text_to_video`` in a real Airflow: found by its name, mapped, deferred, tried again, refused."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.support.emulator import RunningEmulator
from tests.support.running_airflow import RunningAirflow
from tests.support.versions import KEEPS_TASK_STATE

DAG = "decorated"


class Ran(NamedTuple):
    """A run of the Dag that has ended."""

    airflow: RunningAirflow
    run_id: str


@pytest.fixture(scope="module")
def run(airflow: RunningAirflow) -> Ran:
    """One run of the Dag, that has ended."""
    run_id = airflow.start_run(DAG)
    airflow.end_of_run(DAG, run_id, 300)
    return Ran(airflow, run_id)


def test_each_of_two_mapped_arguments_becomes_a_video_of_what_the_function_returned(
    run: Ran, slow: RunningEmulator
) -> None:
    for map_index, subject in enumerate(["fox", "owl"]):
        [request] = slow.requests(f"decorated {subject} in winter")
        assert request["input"]["resolution"] == "480p"
        assert run.airflow.xcom(DAG, run.run_id, "clip", map_index=map_index)["request_id"] == request["request_id"]
        assert run.airflow.xcom(DAG, run.run_id, "clip", "request_id", map_index) == request["request_id"]
    assert len(run.airflow.xcom(DAG, run.run_id, "use")) == 2


def test_dicts_of_arguments_are_mapped_too(run: Ran, slow: RunningEmulator) -> None:
    sent = [slow.requests(f"decorated {words}")[0]["input"] for words in ("hare in spring", "stag in autumn")]
    assert [values["resolution"] for values in sent] == ["480p", "720p"]
    states = [run.airflow.instance(DAG, run.run_id, "clips_of_kwargs", index)["state"] for index in (0, 1)]
    assert states == ["success", "success"]


def test_the_function_runs_before_the_deferral_only(run: Ran) -> None:
    log = run.airflow.logs(DAG, run.run_id, "impatient")[0]
    assert log.count("impatient() returned: {'prompt': 'decorated and impatient'}") == 1
    assert "Pausing task as DEFERRED" in log


def test_a_retry_calls_the_function_again_and_waits_for_the_same_request_where_airflow_keeps_state(
    run: Ran, slow: RunningEmulator
) -> None:
    tried = run.airflow.instance(DAG, run.run_id, "impatient")
    requests = slow.requests("decorated and impatient")
    assert tried["try_number"] > 1
    if KEEPS_TASK_STATE:
        assert (tried["state"], len(requests)) == ("success", 1)
    else:
        assert len(requests) == tried["try_number"]


def test_a_wrong_return_value_fails_at_once_in_spite_of_retries(run: Ran, slow: RunningEmulator) -> None:
    tried = run.airflow.instance(DAG, run.run_id, "wrong")
    assert (tried["state"], tried["try_number"], tried["max_tries"]) == ("failed", 1, 3)
    assert "wrong() returned what cannot be sent. resolution='4k' is not allowed" in run.airflow.log(
        DAG, run.run_id, "wrong"
    )
    assert slow.requests("decorated and wrong") == []
