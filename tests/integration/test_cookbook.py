"""The cookbook's Dags, run by Airflow in this process: ``dag.test``, the emulator, and files on a disk.

`tests/system` runs those that need a scheduler: a pool, an asset, a person's answer, a stopped run, a batch.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.dag_runs import Examples
from tests.support.emulator import RunningEmulator
from tests.support.saving import metadata_beside
from tests.support.versions import KEEPS_TASK_STATE

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.drawn


def snippets(page: str) -> list[str]:
    """Return the Python blocks of a page."""
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def clips_in(folder: Path) -> dict[str, Path]:
    """Return the clips below a folder by their names."""
    return {path.stem: path for path in folder.rglob("*.mp4")}


def test_each_row_of_a_table_becomes_a_clip_named_after_it(examples: Examples, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("name,prompt,duration\nfox,A fox of the table,5\nowl,An owl of the table,5\n")
    run = examples.run("example_pika_table_rows", table=str(table), folder=str(tmp_path / "clips"))
    assert run.state == "success"
    assert [run.names[f"clip.video[{n}]"] for n in range(2)] == ["fox", "owl"]
    assert [run.names[f"clip.save[{n}]"] for n in range(2)] == ["fox.mp4", "owl.mp4"]
    clips = clips_in(tmp_path / "clips")
    assert {name: metadata_beside(path)["prompt"] for name, path in clips.items()} == {
        "fox": "A fox of the table",
        "owl": "An owl of the table",
    }
    [folder] = {path.parent for path in clips.values()}
    assert folder.name.startswith("manual__")


def test_a_row_that_fal_refuses_holds_no_other_row_back(examples: Examples, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("name,prompt,duration\nbad,A fox [[content_policy_violation]],5\ngood,An owl in snow,5\n")
    run = examples.run("example_pika_table_rows", table=str(table), folder=str(tmp_path / "clips"))
    assert run.state == "failed"
    assert list(clips_in(tmp_path / "clips")) == ["good"]


def test_two_rows_of_one_name_fail_before_anything_is_paid_for(
    examples: Examples, emulator: RunningEmulator, tmp_path: Path
) -> None:
    table = tmp_path / "table.csv"
    table.write_text("name,prompt,duration\nfox,A twin of the fox,5\nfox,A twin of the fox,5\n")
    assert examples.run("example_pika_table_rows", table=str(table), folder=str(tmp_path)).state == "failed"
    assert emulator.requests("A twin of the fox") == []


def test_the_table_beside_the_dag_has_good_rows(examples: Examples) -> None:
    rows = examples.dag("example_pika_table_rows").get_task("rows").python_callable({"table": "products.csv"})
    assert [row["name"] for row in rows] == ["kettle", "bicycle", "scarf"]
    assert all(row.keys() == {"name", "prompt", "duration"} for row in rows)


def test_a_task_writes_the_prompt(examples: Examples, emulator: RunningEmulator, tmp_path: Path) -> None:
    run = examples.run("example_pika_written_prompt", product="a written kettle", folder=str(tmp_path))
    assert run.state == "success"
    [request] = emulator.requests("written kettle")
    assert request["input"]["prompt"] == "A slow close-up, soft daylight. a written kettle"
    assert len(clips_in(tmp_path)) == 1


def test_a_model_that_writes_nothing_costs_nothing(
    examples: Examples, emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples.module("example_pika_written_prompt"), "ask_model", lambda _: ' "" ')
    write = examples.dag("example_pika_written_prompt").get_task("write").python_callable
    with pytest.raises(ValueError, match="wrote nothing"):
        write({"product": "a kettle"})


def test_takes_of_one_prompt_differ_by_their_seeds(
    examples: Examples, emulator: RunningEmulator, tmp_path: Path
) -> None:
    run = examples.run("example_pika_takes", prompt="A taken boat", takes=2, first_seed=7, folder=str(tmp_path))
    assert run.state == "success"
    assert [run.names[f"video[{n}]"] for n in range(2)] == ["seed 7", "seed 8"]
    assert {request["input"]["prompt"] for request in emulator.requests("A taken boat")} == {"A taken boat"}
    clips = clips_in(tmp_path)
    assert {name: metadata_beside(path)["seed"] for name, path in clips.items()} == {"seed-7": 7, "seed-8": 8}
    assert clips["seed-7"].read_bytes() != clips["seed-8"].read_bytes()


@pytest.mark.skipif(not KEEPS_TASK_STATE, reason="dag.test of Airflow 3.1 gives a callback no exception; a worker does")
def test_an_alert_says_what_happened_which_request_it_was_and_what_to_do(
    examples: Examples, emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(examples.module("example_pika_alert"), "send", sent.append)
    prompt = "An alarming fox [[content_policy_violation]]"
    assert examples.run("example_pika_alert", prompt=prompt, folder=str(tmp_path)).state == "failed"
    [text] = sent  # `save` did not run, so nobody is told of it
    [request] = emulator.requests("An alarming fox")
    head, what, which, again = text.splitlines()
    assert head.startswith("example_pika_alert.video failed in manual__")
    assert what.startswith("ContentPolicyViolation: The generation failed: prompt: The content")
    assert "may charge for a refused request that ran" in what
    assert (which, again) == (f"Request: {request['request_id']}", "The same again may help: no")


@pytest.mark.parametrize("exception", [None, "a text", ValueError("of mine"), KeyboardInterrupt()])
def test_an_alert_copes_with_a_failure_that_is_not_fals(examples: Examples, exception: object) -> None:
    module = examples.module("example_pika_alert")
    assert module.pika_error_of(exception) is None
    ti = SimpleNamespace(dag_id="d", task_id="t", run_id="r")
    module.alert({"ti": ti} if exception is None else {"ti": ti, "exception": exception})


def test_what_subscribe_did_is_what_the_dag_replaces(tmp_path: Path) -> None:
    before = snippets("docs/cookbook/from-fal-client.md")[0]
    with RunningEmulator.start(tmp_path, generation_time="0.1", tls=True, extra=["--render", "off"]) as emulator:
        hosts = {"FAL_QUEUE_RUN_HOST": emulator.queue_url, "FAL_RUN_HOST": emulator.run_url}
        environment = {
            **os.environ,
            **{name: url.removeprefix("https://") for name, url in hosts.items()},
            "SSL_CERT_FILE": str(emulator.ca_file),
            "FAL_KEY": "any:key",
            "CITY": "Lisbon",
        }
        # the function under @task, called as it is
        code = f"{before}\n\nprint(lisbon.function())\n"
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        assert done.stdout.strip().endswith(".mp4"), done.stderr
        assert len(emulator.requests("tram")) == 1
