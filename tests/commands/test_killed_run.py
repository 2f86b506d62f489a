"""What a test run leaves behind that is killed: nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from dev.airflow_home import ROOT
from tests.support.components import Process
from tests.support.leftovers import EVERY
from tests.support.waiting import until

#: Starts an emulator, and a process that leaves for a session of its own and changes its name, as Airflow's do.
TEST = """
import subprocess, sys, time
from tests.support.emulator import RunningEmulator

RENAMED = "import setproctitle, time; setproctitle.setproctitle('airflow' + 500 * ' '); time.sleep(600)"

def test_that_is_killed(tmp_path):
    with RunningEmulator.start(tmp_path) as emulator:
        renamed = subprocess.Popen([sys.executable, "-c", RENAMED], start_new_session=True)
        time.sleep({after})
        print(emulator.pid, renamed.pid, file=sys.__stderr__, flush=True)
        input()
"""


def test_what_a_killed_test_run_has_started_ends_with_it(tmp_path: Path) -> None:
    test = tmp_path / "test_killed.py"
    test.write_text(TEST.format(after=2 * EVERY))
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "tests.conftest", f"--rootdir={tmp_path}", str(test)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=subprocess.DEVNULL, stderr=pipe, text=True) as run:
        assert run.stderr is not None
        pids = [int(pid) for pid in run.stderr.readline().split()]
        assert all(map(Process.read, pids))
        run.send_signal(signal.SIGKILL)
        run.wait()
        until(lambda: not any(map(Process.read, pids)), "all of it to end", 30)
