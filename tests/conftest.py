"""Every test gets an Airflow of its own, and no fal key of the machine's."""

from __future__ import annotations

import fcntl
import gc
import os
import runpy
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.support.leftovers import end_what_outlives

# Garbage is collected less often, here and in every Python process that a test starts: that module says why.
_SITE = str(Path(__file__).parent / "support" / "site")
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (_SITE, os.environ.get("PYTHONPATH"))))
runpy.run_path(f"{_SITE}/sitecustomize.py")

# Airflow reads these when it is first imported, which the tests' modules do.
_HOME = tempfile.mkdtemp(prefix="airflow-home-")
for _name in [name for name in os.environ if name.startswith(("AIRFLOW", "FAL_"))]:
    del os.environ[_name]
os.environ.update(
    AIRFLOW_HOME=_HOME,
    AIRFLOW__CORE__UNIT_TEST_MODE="True",
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    FAL_HOME_DIR=os.path.join(_HOME, "fal"),
)
end_what_outlives(os.getpid())


def pytest_unconfigure() -> None:
    """Leave no folder behind, and spare pytest to go through all that Airflow imported, twice."""
    gc.freeze()
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def airflow_db(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Make Airflow's database, for what asks it for a connection that does not exist.

    Of pytest-xdist's processes, the first makes it, and the others copy it.
    """
    from airflow import settings
    from airflow.utils.db import initdb

    if not hasattr(request.config, "workerinput"):
        initdb()
        return
    assert settings.engine is not None
    ours, made = Path(str(settings.engine.url.database)), tmp_path_factory.getbasetemp().parent / "airflow.db"
    with Path(f"{made}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if made.exists():
            settings.engine.dispose()  # a test before this one may have opened it: its write-ahead log has no tables
            for log in ("-wal", "-shm"):
                Path(f"{ours}{log}").unlink(missing_ok=True)
            shutil.copyfile(made, ours)
            return
        initdb()
        settings.engine.dispose()  # all of it is in the file now
        shutil.copyfile(ours, f"{made}.part")
        Path(f"{made}.part").rename(made)
