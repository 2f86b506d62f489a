"""What a test run leaves behind that is killed: nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dev.airflow_home import ROOT
from tests.support.leftovers import MARK, marked
from tests.support.waiting import until

pytestmark = pytest.mark.newest

TEST = """
import os, subprocess, sys
from tests.support.emulator import RunningEmulator

def test_that_is_killed(tmp_path):
    with RunningEmulator.start(tmp_path):
        subprocess.Popen(["sleep", "600"], start_new_session=True)
        print(os.environ["{mark}"], file=sys.__stderr__, flush=True)
        input()
"""


def test_what_a_killed_test_run_has_started_ends_with_it(tmp_path: Path) -> None:
    test = tmp_path / "test_killed.py"
    test.write_text(TEST.format(mark=MARK))
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "tests.conftest", f"--rootdir={tmp_path}", str(test)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=subprocess.DEVNULL, stderr=pipe, text=True) as run:
        assert run.stderr is not None
        mark = run.stderr.readline().strip()
        assert len(marked(mark)) >= 3  # the emulator, what the test has started, and what watches over both
        run.send_signal(signal.SIGKILL)
        run.wait()
        until(lambda: not marked(mark), "all of it to end", 20)
