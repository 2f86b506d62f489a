from __future__ import annotations

import pytest

from airflow_provider_pika.triggers.fate import Fate, judge


@pytest.mark.parametrize(
    ("state", "pushed", "fate"),
    [
        ("failed", "r-1", Fate.KILLED),
        ("success", "r-1", Fate.KILLED),
        ("skipped", None, Fate.KILLED),
        ("deferred", "r-1", Fate.MOVED),
        ("deferred", None, Fate.MOVED),
        ("deferred", "r-2", Fate.CLEARED),
        (None, "r-1", Fate.CLEARED),
        ("scheduled", "r-1", Fate.CLEARED),
        ("queued", None, Fate.CLEARED),
        ("running", "r-1", Fate.CLEARED),
    ],
)
def test_a_killed_a_cleared_and_a_moved_task_are_told_apart(state: str | None, pushed: str | None, fate: Fate) -> None:
    assert judge(state, pushed, "r-1") is fate
