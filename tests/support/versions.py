"""What the Airflow under test can do."""

from __future__ import annotations

from airflow import __version__
from packaging.version import Version

#: From 3.3 on, Airflow keeps a task's state between its attempts.
KEEPS_TASK_STATE = Version(__version__) >= Version("3.3")
