"""A night of sixty clips over three Dags of a real Airflow: what was spent is what fal's books say, to the cent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from dev.airflow_home import pika_connection
from tests.support.emulator import RunningEmulator
from tests.support.running_airflow import RunningAirflow
from tests.support.versions import KEEPS_TASK_STATE
from tests.support.waiting import until

pytestmark = pytest.mark.skipif(not KEEPS_TASK_STATE, reason="Airflow 3.1 keeps no task state")

KEY = "night-key-id:night-key-secret"

ENDPOINT = "fal-ai/pika/v2.5/text-to-video"
CATALOGUE_DAG, RECAP_DAG, TEASERS_DAG = "night_catalogue", "night_recap", "night_teasers"

#: Clips of each, as ``dags/night.py`` has them, which takes Airflow to import.
CATALOGUE, RECAP, TEASERS = 34, 20, 3

#: Seconds that lie between a request and the start of a run that may reuse it.
APART = 7.0

#: Prompts whose clip fails, and the fault: fal bills one kind of refusal, and no other.
BILLED, UNBILLED, BROKEN = (
    ("catalogue 03", "catalogue 04"),
    ("catalogue 05",),
    ("catalogue 06", "catalogue 07", "teaser 1"),
)


@dataclass(frozen=True)
class Night:
    """What ran.

    :param runs: the IDs of the runs, by Dag.
    :param reused: what the second run of the teasers returned, before one of them was cleared.
    """

    airflow: RunningAirflow
    emulator: RunningEmulator
    runs: dict[str, list[str]]
    reused: list[dict[str, Any]]


@pytest.fixture(scope="module")
def night(airflow: RunningAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """The night, over."""
    options = ["--render", "off", "--admin-key", KEY, "--price", f"{ENDPOINT}=seconds:0.06"]
    folder = tmp_path_factory.mktemp("night")
    with RunningEmulator.start(folder, runners=40, generation_time="1", keys=[KEY], extra=options) as emulator:
        queue = {"conn_type": "pika", "host": emulator.queue_url, "password": KEY}
        airflow.call("POST", "/api/v2/connections", json={"connection_id": "night", **queue})
        _break(emulator)
        runs = {dag: [airflow.start_run(dag)] for dag in (CATALOGUE_DAG, RECAP_DAG, TEASERS_DAG)}
        for dag, (run_id,) in runs.items():
            assert airflow.end_of_run(dag, run_id) == "success"
        time.sleep(max(0.0, emulator.requests("teaser")[-1]["sent_at"] + APART - time.time()))
        runs[TEASERS_DAG].append(airflow.start_run(TEASERS_DAG))
        assert airflow.end_of_run(TEASERS_DAG, runs[TEASERS_DAG][1]) == "success"
        reused = [_clip(airflow, runs[TEASERS_DAG][1], n) for n in range(TEASERS)]
        _clear_one(airflow, runs[TEASERS_DAG][1])
        yield Night(airflow, emulator, runs, reused)


def _break(emulator: RunningEmulator) -> None:
    for prompt in BILLED:
        emulator.fault("content_policy_violation", match=prompt, billed=True)
    for prompt in UNBILLED:
        emulator.fault("content_policy_violation", match=prompt)
    for prompt in BROKEN:
        emulator.fault("runner_error", match=prompt)
    emulator.fault("lost_reply", match="recap 02")


def _clip(airflow: RunningAirflow, run_id: str, number: int) -> dict[str, Any]:
    clip: dict[str, Any] = airflow.xcom(TEASERS_DAG, run_id, "clip", map_index=number)
    return clip


def _clear_one(airflow: RunningAirflow, run_id: str) -> None:
    before = _clip(airflow, run_id, 0)["request_id"]
    airflow.clear(TEASERS_DAG, run_id, ["clip", 0])  # type: ignore[arg-type]
    airflow.end_of_run(TEASERS_DAG, run_id)
    until(lambda: _clip(airflow, run_id, 0)["request_id"] != before, "a new clip", 60)


def _spend(night: Night, by: str) -> dict[str, Any]:
    """Run the command as a person does, without Airflow's database."""
    command = [sys.executable, "-m", "airflow_provider_pika", "spend", "--since", "1h", "--by", by, "--json"]
    environment = {**os.environ, **pika_connection(night.emulator.queue_url, KEY)}
    said: dict[str, Any] = json.loads(subprocess.run(command, env=environment, check=True, capture_output=True).stdout)
    return said


@pytest.mark.parametrize(("by", "tag"), [("dag", "dag"), ("task", "task"), ("endpoint", "endpoint_id")])
def test_spend_is_what_fals_books_say_to_the_cent(night: Night, by: str, tag: str) -> None:
    said = _spend(night, by)
    assert Decimal(said["total"]["amount"]) == night.emulator.billed() > 0
    sums: dict[str, Decimal] = {}
    for group in said["groups"]:
        name = group[by].rpartition(".")[2] if by == "task" else group[by]
        sums[name] = sums.get(name, Decimal(0)) + Decimal(group["amount"])
    assert sums == night.emulator.billed_by(tag)
    assert (said["total"]["unknown"], said["total"]["differing"], said["without_dag"]["requests"]) == (0, 0, 0)


def test_each_dag_paid_for_what_was_generated_and_for_the_refusals_that_fal_bills(night: Night) -> None:
    clip, long_clip = Decimal("0.30"), Decimal("0.60")
    refused = len(BILLED) + len(UNBILLED)
    assert night.emulator.billed(dag=CATALOGUE_DAG) == clip * (CATALOGUE - refused + len(BILLED))
    assert night.emulator.billed(dag=RECAP_DAG) == (clip + long_clip) * (RECAP // 2)
    assert night.emulator.billed(dag=TEASERS_DAG) == clip * (TEASERS + 1)  # one more for the clear, none for the reuse


def test_what_the_tasks_say_of_their_clips_is_what_fal_billed_for_them(night: Night) -> None:
    for dag in (CATALOGUE_DAG, RECAP_DAG):
        [run_id] = night.runs[dag]
        cost = night.airflow.xcom(dag, run_id, "batch")["cost"]
        failures = Decimal("0.30") * len(BILLED) if dag == CATALOGUE_DAG else 0
        assert Decimal(cost["amount"]) + failures == night.emulator.billed(dag=dag)
    first = [_clip(night.airflow, night.runs[TEASERS_DAG][0], n) for n in range(TEASERS)]
    assert [clip["request_id"] for clip in night.reused] == [clip["request_id"] for clip in first]
    assert [(clip["reused"], clip["cost"]["amount"]) for clip in night.reused] == [(True, "0.00")] * TEASERS
    anew = _clip(night.airflow, night.runs[TEASERS_DAG][1], 0)
    assert (anew["reused"], anew["cost"]["amount"]) == (False, "0.30")


def test_no_prompt_was_paid_for_twice_but_the_one_that_a_person_cleared(night: Night) -> None:
    paid = [charge["request_id"] for charge in night.emulator.books()]
    prompts = [request["input"]["prompt"] for request in night.emulator.requests() if request["request_id"] in paid]
    again = {prompt for prompt in prompts if prompts.count(prompt) > 1}
    assert again == {"teaser 0"}
    assert CATALOGUE + RECAP + 2 * TEASERS == 60
