"""The lines and the totals of saved clips."""

from __future__ import annotations

import math
from typing import Any

import pytest

from airflow_provider_pika.exceptions import (
    DownloadInterrupted,
    PikaError,
    SavingFailed,
    SavingIncomplete,
    VideoExpired,
    VideoRejected,
)
from airflow_provider_pika.saving.saved_lines import Totals, line_of, units_of, video_of
from airflow_provider_pika.strict_json import is_strict

LINE: dict[str, Any] = {"index": 4, "state": "done", "request_id": "r-1", "url": "https://x/y.mp4", "name": "sku"}


def test_a_line_of_a_clip_that_failed_at_fal_keeps_fals_words() -> None:
    failed = {**LINE, "state": "failed", "url": None, "error": "no", "error_type": "content_policy_violation"}
    line = line_of(failed, None)
    assert (line["state"], line["error"], line["error_type"]) == ("failed", "no", "content_policy_violation")
    assert line["path"] is line["sha256"] is line["bytes"] is None


def test_a_line_of_a_clip_that_could_not_be_saved_says_why_and_where_it_was_to_be() -> None:
    line = line_of(LINE, VideoExpired("x" * 1000), "/clips/4.mp4")
    assert (line["state"], line["path"], line["error_type"]) == ("failed", "/clips/4.mp4", "VideoExpired")
    assert len(line["error"]) <= 300


@pytest.mark.parametrize("name", ["endpoint", "file_name", "file_size", "inference_time"])
def test_what_a_line_says_in_another_type_is_not_known(name: str) -> None:
    assert video_of({**LINE, name: ["x"]})[name] is None


@pytest.mark.parametrize("value", [math.nan, math.inf, 10**400, "\ud800", "a\0b", ["x", math.nan]])
@pytest.mark.parametrize("name", ["seed", "prompt", "name", "error", "error_type"])
def test_a_line_is_strict_json_whatever_the_batchs_line_holds(name: str, value: Any) -> None:
    line = line_of({**LINE, "state": "failed", name: value}, None)
    assert is_strict(line)
    assert line["request_id"] == "r-1"


@pytest.mark.parametrize("value", [math.nan, 10**400])
def test_a_number_that_cannot_be_kept_is_not_known_and_costs_no_clip(value: float) -> None:
    assert video_of({**LINE, "inference_time": value, "file_size": value})["inference_time"] is None


@pytest.mark.parametrize(
    ("said", "units"),
    [
        (5, 5.0),
        (0, 0.0),
        (2.5, 2.5),
        (None, None),
        (True, None),
        ("5", None),
        (-1, None),
        (math.inf, None),
        (math.nan, None),
        (10**400, None),
    ],
)
def test_units_that_are_no_number_are_not_known(said: Any, units: float | None) -> None:
    assert units_of({**LINE, "billable_units": said}) == units


@pytest.mark.parametrize(
    ("failures", "kind"),
    [
        ([VideoExpired("gone"), VideoRejected("text")], SavingFailed),
        ([VideoExpired("gone"), DownloadInterrupted("cut")], SavingIncomplete),
    ],
)
def test_a_retry_is_wanted_where_it_may_help_one_clip(failures: list[PikaError], kind: type[PikaError]) -> None:
    totals = Totals()
    for error in failures:
        totals = totals.with_line(LINE).with_unsaved("Clip 4", error)
    error = totals.failure(None)
    assert type(error) is kind
    assert error.message.startswith("2 of 2 clips could not be saved: Clip 4: gone; Clip 4: ")


def test_an_error_names_the_first_few_only() -> None:
    totals = Totals()
    for n in range(9):
        totals = totals.with_line(LINE).with_unsaved(f"Clip {n}", VideoExpired("gone."))
    assert totals.failure(None).message.endswith("Clip 4: gone; and 4 more.")


def test_the_time_left_follows_from_the_pace() -> None:
    totals = Totals(total=120, clips=100)
    for _ in range(20):
        totals = totals.with_saved(2_000_000, True)
    assert totals.in_words(10) == "20 saved, 0 failed of 100 clips, 40.0 MB, 4.0 MB/s; about 40 seconds left"


def test_what_was_there_before_does_not_count_as_speed() -> None:
    assert "2.0 MB, 0.0 MB/s" in Totals(clips=1).with_saved(2_000_000, False).in_words(10)
