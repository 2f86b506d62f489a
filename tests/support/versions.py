"""What the Airflow under test can do."""

from __future__ import annotations

from importlib.metadata import version

from packaging.version import Version

#: From 3.3 on, Airflow keeps a task's state between its attempts.
KEEPS_TASK_STATE = Version(version("apache-airflow")) >= Version("3.3")
