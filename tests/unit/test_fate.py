from __future__ import annotations

import pytest

from airflow_provider_pika.fate import Fate, fate_of_deferred, fate_of_running


@pytest.mark.parametrize(
    ("state", "pushed", "fate"),
    [
        ("failed", "r-1", Fate.KILLED),
        ("success", "r-1", Fate.KILLED),
        ("skipped", None, Fate.KILLED),
        ("deferred", "r-1", Fate.GOES_ON),
        ("deferred", None, Fate.GOES_ON),
        ("deferred", "s3://xcoms/what-a-backend-put-there", Fate.GOES_ON),
        ("deferred", "r-2", Fate.CLEARED),
        (None, "r-1", Fate.CLEARED),
        ("scheduled", "r-1", Fate.CLEARED),
        ("queued", None, Fate.CLEARED),
        ("running", "r-1", Fate.CLEARED),
    ],
)
def test_a_killed_a_cleared_and_a_moved_task_are_told_apart(state: str | None, pushed: str | None, fate: Fate) -> None:
    assert fate_of_deferred(state, pushed, "r-1") is fate


@pytest.mark.parametrize(
    ("state", "fate"),
    [("failed", Fate.KILLED), ("success", Fate.KILLED), ("restarting", Fate.CLEARED)]
    + [(state, Fate.GOES_ON) for state in ("running", "queued", "scheduled", "deferred", "up_for_retry", None)],
)
def test_a_worker_that_was_only_replaced_is_told_from_one_whose_task_was_ended(state: str | None, fate: Fate) -> None:
    assert fate_of_running(state) is fate
