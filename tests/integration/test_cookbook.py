"""The cookbook's Dags, run by Airflow in this process: ``dag.test``, the emulator, and files on a disk.

`tests/system` runs those that need a scheduler: a pool, an asset, a person's answer, a stopped run, a batch.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.dag_runs import Examples
from tests.support.emulator import RunningEmulator
from tests.support.saving import metadata_beside, names_in

pytestmark = pytest.mark.drawn


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


def test_a_fallback_is_for_a_refused_prompt(examples: Examples, emulator: RunningEmulator, tmp_path: Path) -> None:
    run = examples.run("example_pika_refused_prompt", instead="A boat instead", folder=str(tmp_path))
    assert (run.state, run.tasks["first"], run.tasks["another_prompt"]) == ("success", "failed", "success")
    assert [request["input"]["prompt"] for request in emulator.requests("A boat instead")] == ["A boat instead"]
    assert len(clips_in(tmp_path)) == 1
