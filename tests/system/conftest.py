"""The one Airflow of the system tests, in whichever of their processes a test runs."""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.distribution import Distribution, put_first
from tests.support.emulator import RunningEmulator
from tests.support.running_airflow import RunningAirflow
from tests.support.s3 import RunningS3
from tests.system.stage import Stage, running_stage

#: Tests that share what takes long to make, or must not run at once, by words in their node IDs.
GROUPS = (
    *("test_clips_in_a_browser", "test_review_in_a_browser", "test_night", "test_review.py", "test_decorator"),
    *("test_worker_processes", "test_deferred_tasks", "of_the_pool|a_pool"),
    # Airflow 3.1 fills the form in the thread of the first request that needs it: what comes meanwhile sees half of it.
    "a_real_form|the_forms_test_button",
)

#: What takes longest, in its order: whatever begins late, all else waits for at the end. pytest-xdist gives each of the
#: six processes a second test at the start, which has to wait: those are short.
LONGEST = (
    *("test_clips_in_a_browser", "test_review_in_a_browser", "test_review.py"),
    *("test_a_clip_is_published", "test_night", "_pool"),
    *("test_provider", "balance_makes", "fails_sends", "nobody_waits_for"),
    *("test_every_snippet", "test_deferred_tasks", "test_a_worker_killed", "test_batch", "whose_cost", "test_one_row"),
    *("test_decorator", "refused_prompt", "test_worker_processes", "days_product", "test_a_clean_up", "openlineage"),
    "test_many_prompts",
)

_RUNNING = pytest.StashKey[tuple[Stage, contextlib.ExitStack]]()


def _stage_of(config: pytest.Config) -> Stage:
    """Return what this process has started; start it the first time."""
    if _RUNNING not in config.stash:
        with contextlib.ExitStack() as stack:
            folder = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="system-", ignore_cleanup_errors=True))
            )
            config.stash[_RUNNING] = stack.enter_context(running_stage(folder)), stack.pop_all()
    return config.stash[_RUNNING][0]


def pytest_configure_node(node: Any) -> None:
    """Tell a process of pytest-xdist's, before it starts, where everything is."""
    node.workerinput["stage"] = json.dumps(_stage_of(node.config).told())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest."""
    put_first(items, LONGEST)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Distribution:
    """Share the tests out one by one, and groups as a whole."""

    def group_of(nodeid: str) -> str:
        return next((group for group in GROUPS if re.search(group, nodeid)), nodeid)

    return Distribution(config, log, group_of)


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what this process has started."""
    if _RUNNING in config.stash:
        config.stash[_RUNNING][1].close()


@pytest.fixture(scope="session")
def stage(request: pytest.FixtureRequest) -> Stage:
    """What all system tests share."""
    told = getattr(request.config, "workerinput", {}).get("stage")
    return Stage.attached(json.loads(told)) if told else _stage_of(request.config)


@pytest.fixture(scope="session")
def airflow(stage: Stage) -> RunningAirflow:
    """The Airflow."""
    return stage.airflow


@pytest.fixture(scope="session")
def emulator(stage: Stage) -> RunningEmulator:
    """The emulator behind ``pika_default``."""
    return stage.emulator


@pytest.fixture(scope="session")
def slow(stage: Stage) -> RunningEmulator:
    """The emulator behind ``slow``."""
    return stage.slow


@pytest.fixture(scope="session")
def busy(stage: Stage) -> RunningEmulator:
    """The emulator behind ``busy``."""
    return stage.busy


@pytest.fixture(scope="session")
def s3(stage: Stage) -> RunningS3:
    """The S3 server."""
    return stage.s3
