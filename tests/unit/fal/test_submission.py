from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_pika.exceptions import RateLimited, ServerUnavailable
from airflow_provider_pika.fal.submission import LONGEST_PAUSE, REPEAT_AFTER, pause_before_repeat


def test_a_refusal_is_repeated_twice_with_growing_pauses() -> None:
    busy = ServerUnavailable("busy")
    assert [pause_before_repeat(busy, repeats) for repeats in range(4)] == [1.0, 4.0, None, None]


@pytest.mark.parametrize(("asked", "pause"), [(0.5, 1.0), (20.0, 20.0), (30.0, 30.0), (31.0, None), (1e12, None)])
def test_fals_own_wish_is_met_or_left_to_airflow(asked: float, pause: float | None) -> None:
    assert pause_before_repeat(RateLimited("slowly", retry_after=asked), 0) == pause


@given(st.floats(min_value=0, max_value=1e9), st.integers(min_value=0, max_value=5))
def test_a_repeat_never_comes_sooner_than_fal_asked_and_never_holds_a_slot_for_long(asked: float, repeats: int) -> None:
    pause = pause_before_repeat(RateLimited("slowly", retry_after=asked), repeats)
    assert pause is None or (asked <= pause <= LONGEST_PAUSE and repeats < len(REPEAT_AFTER))
