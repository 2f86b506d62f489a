"""A hostile queue beside an honest one, on a real Airflow with PostgreSQL: nobody else notices."""

from __future__ import annotations

import json

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.conftest import Stage
from tests.support.airflow import event_of
from tests.support.hostile import HostileServer, Pieces, answers, refusals, results, statuses, trigger_at
from tests.support.hostile_queue import CASES, KEY, SECRET
from tests.support.sizes import SOAK, examples
from tests.support.spellings import spelled

DAG = "hostile"

#: What is read in another way by a stream and in a worker, and ends in another place. The others differ in an answer
#: that all ways read alike: a soak has them in each way, and tests/integration/test_hostile_answers.py.
SOME = ("nasty errors", "nasty log", "long lines", "a body without end", "a stream without pause", "the key in its log")
WAYS = {"polled": tuple(CASES), **dict.fromkeys(("streamed", "held"), tuple(CASES) if SOAK else SOME)}


@pytest.fixture(scope="module")
def run_id(stage: Stage) -> str:
    """Return a run of the Dag that has ended, whatever it met."""
    airflow = stage.airflow
    before = {name: component.processes for name, component in airflow.components.items()}
    run_id = airflow.start_run(DAG, **{way: list(cases) for way, cases in WAYS.items()})
    assert airflow.end_of_run(DAG, run_id, within=600) == "failed"
    triggerers = [name for name in before if name.startswith("triggerer")]
    assert triggerers
    for name in triggerers:
        assert set(before[name]) <= set(airflow.components[name].processes), f"{name} died"
    return run_id


def test_the_honest_clip_is_delivered(stage: Stage, run_id: str) -> None:
    assert stage.airflow.instance(DAG, run_id, "honest")["state"] == "success"
    assert stage.airflow.xcom(DAG, run_id, "honest")["url"].startswith("http")


@pytest.mark.parametrize("way", WAYS)
def test_each_hostile_clip_is_delivered_or_fails_with_a_reason(stage: Stage, run_id: str, way: str) -> None:
    found = {instance["map_index"]: instance for instance in stage.airflow.instances(DAG, run_id, way)}
    assert len(found) == len(WAYS[way])
    for number, name in enumerate(WAYS[way]):
        _, _, delivered = CASES[name]
        log = stage.airflow.log(DAG, run_id, way, map_index=number)
        assert (found[number]["state"], found[number]["try_number"]) == ("success" if delivered else "failed", 1), name
        assert delivered or f"case-{list(CASES).index(name)}" in log, (name, log[-2000:])
        assert "\0" not in log
        assert "::group::closed" not in log
        assert "\x1b" not in log
        assert log.count("flood") <= 200


def test_its_key_is_nowhere_in_any_spelling(stage: Stage, run_id: str) -> None:
    dump = stage.database.dump()
    assert "case-0" in dump  # it is the whole database
    assert SECRET not in dump
    for table in ("task_state_store", "xcom", "trigger", "task_instance", "rendered_task_instance_fields"):
        assert spelled(stage.database.dump(table), SECRET) == [], table
    for path in stage.airflow.home.folder.rglob("*.log*"):
        assert spelled(path.read_text(errors="replace"), SECRET) == [], path


@examples(40, 1000)
@given(status=answers(statuses), result=st.one_of(answers(results), answers(refusals, 422, 500)))
def test_postgresql_stores_whatever_event_comes_of_an_answer(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, status: Pieces, result: Pieces
) -> None:
    with HostileServer(lambda method, path, body: status if "/status" in path else result) as server:
        monkeypatch.setenv("FAL_KEY", KEY)
        monkeypatch.setenv(
            "AIRFLOW_CONN_FUZZED", f"pika://:{KEY.replace(':', '%3A')}@{server.url.partition('//')[2]}/http"
        )
        event = event_of(trigger_at(server, pika_conn_id="fuzzed"))
    with psycopg2.connect(f"postgresql://{stage.database.url}") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT %s::jsonb, %s::text", (json.dumps(event), str(event)))
        assert cursor.fetchone()[0] == event
