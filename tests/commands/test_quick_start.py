"""The quick start is run, not believed: each command of it. tests/system/test_docs.py runs the pages' Dags."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

from airflow_provider_pika.emulator.process import EmulatorProcess
from dev.airflow_home import ROOT, AirflowHome
from dev.pages import README, commands, dags

QUICK_START = (ROOT / "docs" / "quick-start.md").read_text()


def test_the_quick_start_works_as_it_is_written(tmp_path: Path) -> None:
    # `airflow dags test` runs the trigger without Airflow's means for an async answer. It needs a database of its own:
    # in one that has a scheduler, the scheduler starts the same tasks.
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "first_clip.py").write_text(dags()["first_clip"])
    home = AirflowHome(tmp_path / "airflow", tmp_path / "dags")
    home.migrate(tmp_path / "migrate.log")
    _install, _start, add, run, delete, add_fal = commands(QUICK_START)
    with EmulatorProcess.start(tmp_path / "emulator", generation_time="1") as emulator:
        here = add.replace("http://127.0.0.1:8188", emulator.queue_url)
        assert emulator.add_connection == here
        said(home, f"""{here} --conn-extra '{{"http_timeout": 20}}'""")
        [test] = [each for each in commands((ROOT / "docs/reference/connection.md").read_text()) if " test " in each]
        assert "Connection success!" in said(home, test)
        done = said(home, run)
    assert "Pausing task as DEFERRED" in done
    assert re.search(r"Saved /tmp/clips/\S+\.mp4: \d+ bytes", done)
    said(home, delete)
    said(home, add_fal, FAL_KEY="id:sec/ret+1")
    shown = json.loads(said(home, "airflow connections get pika_default --output json"))
    assert (shown[0]["conn_type"], shown[0]["host"], shown[0]["password"]) == ("pika", None, "id:sec/ret+1")


def said(home: AirflowHome, command: str, **environment: str) -> str:
    """Run a command as a shell does, and return what it printed; it must succeed."""
    environment = {**home.environment, **environment}
    words = ["bash", "-c", command]
    done = subprocess.run(words, env=environment, cwd=home.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_emulator_starts_as_the_pages_say(tmp_path: Path) -> None:
    [command] = {line for text in (README.read_text(), QUICK_START) for line in commands(text) if "python -m" in line}
    words = [sys.executable, *shlex.split(command)[1:], "--port", "0"]  # the default port may be taken here
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "fal emulator ready\n"
        assert "http://127.0.0.1:" in process.stdout.readline()
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_the_package_installs_from_the_checkout(tmp_path: Path) -> None:
    # what it needs is here already; dev/check_wheel installs it with everything, into an empty environment
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", str(tmp_path)]
    shown = {line for text in (README.read_text(), QUICK_START) for line in commands(text) if line.startswith("pip ")}
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {extra for line in shown for extra in re.findall(r"[\[,](\w+)", line)} == set(known)
    subprocess.run([sys.executable, "-m", *shlex.split(max(shown, key=len)), *options], cwd=ROOT, check=True)
    assert (tmp_path / "airflow_provider_pika" / "py.typed").exists()
