"""What the Airflow under test can do."""

from __future__ import annotations

from importlib.metadata import version

from packaging.version import Version

_installed = Version(version("apache-airflow"))

#: From 3.3 on, Airflow keeps a task's state between its attempts.
KEEPS_TASK_STATE = _installed >= Version("3.3")

#: Whether it is the newest one that we test, on which every test runs.
IS_NEWEST = _installed >= Version("3.3.2")
