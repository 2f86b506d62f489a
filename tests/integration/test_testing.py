"""The pytest fixture that the package ships, as somebody else's test suite uses it: in a process of its own.

The files of that suite are the snippets of ``docs/testing-your-dags.md``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from airflow_provider_pika.emulator.testing import FalEmulator, emulated_fal
from tests.support.versions import KEEPS_TASK_STATE

PAGE = (Path(__file__).parents[2] / "docs" / "testing-your-dags.md").read_text()

#: The page's files in their order, the first conftest.py before the longer one.
FILES = re.findall(r"^```python\n# (\S+\.py)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)

#: Tests of a suite that runs them in this order: what one of them does, the next one does not see.
ONE_AFTER_THE_OTHER = """
import os
import pathlib

import pytest

from airflow_provider_pika.hooks.pika import PikaHook

ENDPOINT = "fal-ai/pika/v2.5/text-to-video"


def test_it_leaves_something_behind(fal_emulator):
    PikaHook().submit(ENDPOINT, {"prompt": "A fox that never ends [[never_finish]]"})
    fal_emulator.fault("locked")
    fal_emulator.connect("other")
    assert PikaHook("other").get_connection("other").host == fal_emulator.url
    assert "FAL_KEY" not in os.environ
    pathlib.Path("url").write_text(fal_emulator.url)


def test_the_next_one_starts_afresh(fal_emulator):
    assert fal_emulator.url == pathlib.Path("url").read_text()
    assert fal_emulator.prompts == []
    PikaHook().submit(ENDPOINT, {"prompt": "An owl"})
    assert [request["input"]["prompt"] for request in fal_emulator.requests("ow")] == ["An owl"]
    assert fal_emulator.requests("fox") == []
    assert "AIRFLOW_CONN_OTHER" not in os.environ


def test_without_the_fixture_nothing_is_changed():
    assert os.environ["FAL_KEY"] == "real"
    assert "AIRFLOW_CONN_PIKA_DEFAULT" not in os.environ


def test_a_fault_that_does_not_exist_is_refused(fal_emulator):
    with pytest.raises(ValueError, match="no such fault as 'nonsense'"):
        fal_emulator.fault("nonsense")
    with pytest.raises(ValueError, match="pace: Extra inputs are not permitted"):
        fal_emulator.fault("locked", pace=3)
"""


def run(
    project: Path, files: list[tuple[str, str]], only: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Write a project, and run its tests as a person does, with nothing of this Airflow around them."""
    for name, text in files:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTEST"))}
    (temporary := project / "tmp").mkdir()
    home = {"AIRFLOW_HOME": str(project / "airflow"), "TMPDIR": str(temporary), "FAL_KEY": "real"}
    command = [sys.executable, "-m", "pytest", "-q", "-W", "ignore", "-p", "no:cacheprovider", "-k", only, "tests"]
    return subprocess.run(
        command, cwd=project, env={**inherited, **home, **environment}, capture_output=True, text=True, check=False
    )


def test_the_page_has_the_files_that_a_suite_needs() -> None:
    assert [name for name, _ in FILES] == [
        "tests/conftest.py",
        "tests/test_operator.py",
        "tests/conftest.py",
        "dags/nightly_clip.py",
        "tests/test_nightly_clip.py",
        "tests/test_many_clips.py",
    ]


@pytest.mark.newest
def test_a_suite_runs_an_operator_in_three_lines(tmp_path: Path) -> None:
    (_, test) = FILES[1]
    assert len([line for line in test.split("def ")[1].splitlines()[1:] if line.strip()]) == 3
    no_way = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}
    done = run(tmp_path, [*FILES[:2], FILES[5], ("tests/test_order.py", ONE_AFTER_THE_OTHER)], **no_way)
    assert "6 passed" in done.stdout, done.stdout
    # the emulator has gone, and its folder
    with pytest.raises(httpx.ConnectError):
        httpx.get((tmp_path / "url").read_text(), trust_env=False)
    assert list((tmp_path / "tmp").glob("fal-emulator-*")) == []


def test_a_suite_runs_a_whole_dag(tmp_path: Path) -> None:
    # one test on Airflow 3.1, whose `dag.test` takes seconds of CPU for each task
    done = run(tmp_path, FILES[2:5], only="" if KEEPS_TASK_STATE else "saves_a_clip")
    assert ("2 passed" if KEEPS_TASK_STATE else "1 passed") in done.stdout, done.stdout


@pytest.mark.newest
def test_without_the_extra_a_test_fails_with_one_sentence(tmp_path: Path) -> None:
    absent = "raise ModuleNotFoundError(\"No module named 'fastapi'\", name='fastapi')"
    files = [FILES[0], ("tests/test_any.py", "def test_any(fal_emulator): ..."), ("without/fastapi.py", absent)]
    path = os.pathsep.join((str(tmp_path / "without"), os.environ.get("PYTHONPATH", "")))
    done = run(tmp_path, files, PYTHONPATH=path)
    assert "1 error" in done.stdout
    sentence = "fal emulator: fastapi is not installed: pip install 'airflow-provider-pika[emulator]'"
    told, summary = [line for line in done.stdout.splitlines() if "fastapi" in line]
    assert told == sentence
    assert summary.startswith("ERROR tests/test_any.py::test_any - Failed: fal emulator: ")


@pytest.mark.newest
def test_an_emulator_of_ones_own_ends_with_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", "real")
    with emulated_fal(runners=3, generation_time="0-0.1", render=False) as fal:
        assert httpx.get(f"{fal.url}/_emulator/requests", trust_env=False).json() == []
        assert "FAL_KEY" not in os.environ
        assert fal.url in os.environ["AIRFLOW_CONN_PIKA_DEFAULT"]
    assert os.environ["FAL_KEY"] == "real"
    assert "AIRFLOW_CONN_PIKA_DEFAULT" not in os.environ
    with pytest.raises(httpx.ConnectError):
        httpx.get(fal.url, trust_env=False)


@pytest.mark.newest
def test_a_context_keeps_what_the_task_pushes() -> None:
    context = FalEmulator.context(run_id="r")
    context["ti"].xcom_push(key="request_id", value="r-1")
    assert context["ti"].xcom_pull(task_ids="generate", key="request_id", map_indexes=-1) == "r-1"
    assert context["ti"].xcom_pull("other") is None
    assert context["run_id"] == "r"
