from __future__ import annotations

import pytest

from airflow_provider_pika.task.kill import Fate, fate_of_deferred, fate_of_running


@pytest.mark.parametrize(
    ("state", "pushed", "fate"),
    [
        ("failed", "r-1", Fate.KILLED),
        ("success", "r-1", Fate.KILLED),
        ("skipped", None, Fate.KILLED),
        ("upstream_failed", "r-1", Fate.KILLED),
        ("deferred", "r-1", Fate.GOES_ON),
        ("deferred", None, Fate.GOES_ON),
        ("deferred", "s3://xcoms/what-a-backend-put-there", Fate.GOES_ON),
        ("deferred", "r-2", Fate.CLEARED),
        (None, "r-1", Fate.CLEARED),
        (None, None, Fate.CLEARED),
        ("restarting", "r-1", Fate.CLEARED),
        ("removed", "r-1", Fate.GOES_ON),
    ],
)
def test_a_killed_a_cleared_and_a_moved_task_are_told_apart(state: str | None, pushed: str | None, fate: Fate) -> None:
    assert fate_of_deferred(state, pushed, "r-1") is fate


@pytest.mark.parametrize("pushed", ["r-1", None, "s3://xcoms/what-a-backend-put-there", {"request_id": "r-1"}])
@pytest.mark.parametrize(
    "state",
    ["scheduled", "queued", "running", "up_for_retry", "up_for_reschedule", "awaiting_input", "a state of later days"],
)
def test_a_task_that_somebody_else_resumed_is_not_taken_for_cleared(state: str, pushed: object) -> None:
    assert fate_of_deferred(state, pushed, "r-1") is Fate.GOES_ON


def test_a_batch_which_pushes_no_id_is_told_apart_by_its_state_alone() -> None:
    assert fate_of_deferred("failed", None, "") is Fate.KILLED
    assert fate_of_deferred("queued", None, "") is Fate.GOES_ON


@pytest.mark.parametrize("state", ["scheduled", "queued", "running", "up_for_retry", "up_for_reschedule"])
def test_a_request_that_its_task_has_replaced_is_known_in_every_state(state: str) -> None:
    assert fate_of_deferred(state, "r-2", "r-1") is Fate.CLEARED


@pytest.mark.parametrize(
    ("state", "fate"),
    [("failed", Fate.KILLED), ("success", Fate.KILLED), ("restarting", Fate.CLEARED)]
    + [
        (state, Fate.GOES_ON)
        for state in (
            "running",
            "queued",
            "scheduled",
            "deferred",
            "up_for_retry",
            "up_for_reschedule",
            "awaiting_input",
            "removed",
            None,
        )
    ],
)
def test_a_worker_that_was_only_replaced_is_told_from_one_whose_task_was_ended(state: str | None, fate: Fate) -> None:
    assert fate_of_running(state) is fate
