from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_pika.media.mp4 import Clip
from airflow_provider_pika.media.verify import misfit

ASKED = {"duration": 5, "resolution": "720p"}


@pytest.mark.parametrize(
    "clip",
    [
        Clip(1280, 720, 5.0, 24),
        Clip(1280, 720, 5.04, 24),
        Clip(1280, 704, 4.9, 24),
        Clip(720, 1280, 5.0, 24),
        Clip(960, 960, 5.0, None),
        Clip(720, 720, 5.0, 24),
        Clip(1680, 720, 5.0, 24),
    ],
)
def test_a_clip_of_about_the_asked_length_and_size_fits_whatever_its_aspect(clip: Clip) -> None:
    assert misfit(clip, ASKED) is None


def test_a_clip_of_half_the_length_does_not_fit() -> None:
    assert misfit(Clip(1280, 720, 2.5, 24), ASKED) == "It is 2.50 s long; the request asked for 5 s."


def test_a_clip_of_another_resolution_does_not_fit() -> None:
    reason = misfit(Clip(854, 480, 5.0, 24), ASKED)
    assert reason == "It has 854 by 480 pixels; the request asked for 720p."


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"duration": None, "resolution": None},
        {"duration": "long", "resolution": "8k"},
        {"prompt": "x"},
        {"duration": 10**400},
    ],
)
def test_what_is_not_known_of_the_request_is_not_compared(asked: dict[str, Any]) -> None:
    assert misfit(Clip(1, 1, 99.0, None), asked) is None


def test_a_duration_as_text_is_compared_too() -> None:
    assert misfit(Clip(1280, 720, 5.0, 24), {"duration": "10"}) is not None
