"""README is run, not believed: its snippets, its commands, its tables."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.batch.progress import Tally
from airflow_provider_pika.fal import TEXT_TO_VIDEO, responses
from airflow_provider_pika.fal.http_answer import Answer
from airflow_provider_pika.fal.models import Video
from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.saving.metadata import Metadata
from airflow_provider_pika.sensors.pika import PikaVideoSensor
from airflow_provider_pika.transfers.batch_to_object_storage import PikaBatchToObjectStorageOperator
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator
from dev.airflow_home import ROOT, AirflowHome
from tests.support.running_airflow import RunningAirflow, until
from tests.support.versions import KEEPS_TASK_STATE
from tests.system.stage import README, blocks


def table(heading: str) -> dict[str, list[str]]:
    """Return the table below a heading: the other cells by the first."""
    section = README.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in rows[2:]}


COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]


@pytest.fixture
def home(airflow: RunningAirflow) -> AirflowHome:
    """Return where commands find Airflow's database."""
    return airflow.home


def run(home: AirflowHome, command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {**home.environment, **environment}
    return subprocess.run(command, env=environment, cwd=home.folder, capture_output=True, text=True, check=False)


def test_every_snippet_is_a_dag_that_makes_a_video(airflow: RunningAirflow) -> None:
    runs = {}
    for snippet in blocks("python"):
        [dag_id] = re.findall(r"DAG\(\W(\w+)", snippet)
        if "Batch" in snippet and not KEEPS_TASK_STATE:
            continue  # README says so
        runs[dag_id] = airflow.start_run(dag_id)
    assert runs
    for dag_id, run_id in runs.items():
        assert airflow.end_of_run(dag_id, run_id) == "success", dag_id
        until(lambda d=dag_id, r=run_id: _says_where_the_video_is(airflow, d, r), f"{dag_id} to say where it is", 30)  # type: ignore[misc]


def _says_where_the_video_is(airflow: RunningAirflow, dag_id: str, run_id: str) -> bool:
    done = [each for each in airflow.instances(dag_id, run_id) if each["state"] == "success"]
    logs = [airflow.log(dag_id, run_id, each["task_id"], map_index=each["map_index"]) for each in done]
    said = r"Here it is: (http:/)?/\S+\.mp4, for request|Saved /tmp/\S+\.mp4: \d+ bytes|Finished: http://\S+\.mp4"
    return any(re.search(said, log) for log in logs)


@pytest.mark.newest
def test_a_connection_that_is_stored_in_airflow_works_as_well(home: AirflowHome, tmp_path: Path) -> None:
    # `airflow dags test` runs the trigger without Airflow's means for an async answer. It needs a database of its own:
    # in one that has a scheduler, the scheduler starts the same tasks.
    connection = json.loads(home.settings["AIRFLOW_CONN_PIKA_DEFAULT"])
    stored = AirflowHome(tmp_path, home.dags)
    stored.migrate(tmp_path / "migrate.log")
    parts = ["--conn-host", connection["host"], "--conn-password", connection["password"], "--conn-extra"]
    command = ["airflow", "connections", "add", "pika_default", "--conn-type", "pika"]
    assert run(stored, [*command, *parts, '{"http_timeout": 20}']).returncode == 0
    done = run(stored, ["airflow", "dags", "test", "nightly_clip"])
    assert done.returncode == 0, done.stdout[-3000:]
    assert "Pausing task as DEFERRED" in done.stdout


def test_the_first_snippet_is_as_short_as_it_says() -> None:
    code = [line for line in blocks("python")[0].splitlines() if line.strip()]
    assert len(code) == 10


def test_every_command_of_readme_is_run_by_a_test() -> None:
    known = ("make ", "pip install .", "airflow connections add ", "python -m airflow_provider_pika.emulator")
    assert [command for command in COMMANDS if not command.startswith(known)] == []


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("make ")])
def test_the_make_command_exists(command: str) -> None:
    # what demo and standalone do is run in test_commands.py, and this is part of `make test`
    targets = re.findall(r"^([a-z ]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert command.removeprefix("make ") in " ".join(targets).split()


@pytest.mark.newest
def test_the_connection_is_added(home: AirflowHome) -> None:
    [command] = [command for command in COMMANDS if command.startswith("airflow connections add")]
    script = command.replace("pika_default", "pika_added")  # the default one is there already
    added = run(home, ["bash", "-c", script], FAL_KEY="id:sec/ret+1")
    assert added.returncode == 0, added.stderr
    shown = json.loads(run(home, ["airflow", "connections", "get", "pika_added", "--output", "json"]).stdout)
    assert (shown[0]["conn_type"], shown[0]["password"]) == ("pika", "id:sec/ret+1")


@pytest.mark.newest
def test_the_emulator_starts_where_readme_says(tmp_path: Path) -> None:
    [command] = [command for command in COMMANDS if "emulator" in command and command.startswith("python")]
    words = [sys.executable, *shlex.split(command)[1:], "--port", "0"]  # the default port may be taken here
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "fal emulator ready\n"
        assert "http://127.0.0.1:" in process.stdout.readline()
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.newest
def test_the_package_installs_from_the_checkout(tmp_path: Path) -> None:
    # what it needs is here already; dev/check_wheel installs it with everything, into an empty environment
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", str(tmp_path)]
    [command] = [command for command in COMMANDS if command.startswith("pip install")]
    words = [sys.executable, "-m", *shlex.split(command), *options]
    subprocess.run(words, cwd=ROOT, check=True)
    assert (tmp_path / "airflow_provider_pika" / "py.typed").exists()


KINDS = [
    PikaTextToVideoOperator,
    PikaVideoSensor,
    PikaTextToVideoBatchOperator,
    PikaVideoToObjectStorageOperator,
    PikaBatchToObjectStorageOperator,
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_table_of_parameters_is_complete_and_has_the_real_defaults(kind: Any) -> None:
    rows = table(kind.__name__)
    parameters = inspect.signature(kind.__init__).parameters
    own = [name for name in parameters if name not in ("self", "kwargs", "poke_interval")]
    documented = {name.strip("`"): cells[0].strip("`") for name, cells in rows.items()}
    for name in own:
        default = parameters[name].default
        written = "" if default is inspect.Parameter.empty else json.dumps(default) if default else str(default)
        assert documented[name].strip("`") in (written, str(default)), name
    assert set(documented) - set(own) <= {"mode", "timeout", "soft_fail"}


def test_the_batch_says_how_far_it_has_come_as_readme_shows_it() -> None:
    [shown] = [text.strip() for text in blocks("text") if text.startswith("Batch")]
    tally = Tally(done=1240, failed=3, in_flight=20, queued=8737, began=0.0, at_first=0)
    assert shown == f"Batch: {tally.in_words(2150.4)}"


def test_every_error_a_user_can_meet_is_in_the_table_of_failures() -> None:
    named = {
        name for cells in table("What each failure looks like").values() for name in re.findall(r"`(\w+)`", cells[1])
    }
    bases = {"PikaError", "TryLater", "GenerationFailed", "RequestRejected", "UnexpectedAnswer"}
    assert named == set(errors.__all__) - bases


def test_the_message_shown_is_the_real_one() -> None:
    flagged = "The content could not be processed because it contained material flagged by a content checker."
    detail = [{"loc": ["body", "prompt"], "msg": flagged, "type": "content_policy_violation"}]
    request_id = "019e1951-c778-7120-9c82-16efcf40ec82"
    answer = Answer.read(422, {}, json.dumps({"detail": detail}).encode())
    with pytest.raises(errors.ContentPolicyViolation) as refused:
        responses.result(answer, TEXT_TO_VIDEO, request_id)
    [shown] = [text for text in blocks("text") if "content_policy_violation" in text]
    assert " ".join(shown.split()) == str(refused.value)


def test_the_objects_shown_have_the_real_keys() -> None:
    video, saved, metadata = map(json.loads, blocks("json"))
    assert list(video) == [name for name, field in Video.model_fields.items() if not field.exclude]
    assert list(metadata) == [field.alias or name for name, field in Metadata.model_fields.items()]
    assert set(saved) == set(Metadata.model_validate(metadata).in_short())


def test_every_link_leads_somewhere() -> None:
    headings = re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(([^)]+)\)", README):
        path, _, anchor = target.partition("#")
        assert path.startswith("http") or ((ROOT / path).exists() if path else anchor in anchors), target


def test_the_versions_named_are_those_that_are_tested() -> None:
    pinned = {path.stem.removeprefix("airflow-") for path in (ROOT / "dev" / "constraints").glob("*.txt")}
    cells = table("Which Airflow gives what")["tested here"]
    assert pinned == set(re.findall(r"\d+\.\d+\.\d+", " ".join(cells)))
    by_hand = {cell.split(":")[0] for cell in cells if cell.endswith("by hand, before a release")}
    in_each_run = {"3.3.2", *re.findall(r"AIRFLOW=(\S+)", (ROOT / ".ci" / "run").read_text())}
    assert in_each_run == pinned - by_hand
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    assert all(f"AIRFLOW={version}` " in contributing for version in by_hand)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
