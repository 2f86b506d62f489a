"""Buckets of time: where each starts, in every time zone and on the nights of a time change."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airflow_provider_pika.emulator.engine.timeframes import Timeframe, floor, following


def unix(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def said(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()[:16]


@pytest.mark.parametrize(
    ("frame", "zone", "start", "end"),
    [
        ("minute", "UTC", "2026-11-18T13:47", "2026-11-18T13:48"),
        ("hour", "UTC", "2026-11-18T13:00", "2026-11-18T14:00"),
        ("hour", "Asia/Kolkata", "2026-11-18T13:30", "2026-11-18T14:30"),
        ("day", "UTC", "2026-11-18T00:00", "2026-11-19T00:00"),
        ("day", "America/New_York", "2026-11-18T05:00", "2026-11-19T05:00"),
        ("week", "UTC", "2026-11-16T00:00", "2026-11-23T00:00"),
        ("month", "UTC", "2026-11-01T00:00", "2026-12-01T00:00"),
        ("month", "Europe/Paris", "2026-10-31T23:00", "2026-11-30T23:00"),
    ],
)
def test_a_bucket_starts_where_the_zone_has_it(frame: Timeframe, zone: str, start: str, end: str) -> None:
    here = floor(unix("2026-11-18T13:47:31.5"), frame, zone)
    assert said(here) == start
    assert said(following(here, frame, zone)) == end


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_a_day_of_a_time_change_is_shorter_or_longer(day: str) -> None:
    start = floor(unix(f"{day}T12:00"), "day", "Europe/Paris")
    hours = (following(start, "day", "Europe/Paris") - start) / 3600
    assert hours == {"2026-03-29": 23, "2026-10-25": 25}[day]


def test_the_hour_that_comes_twice_is_two_buckets() -> None:
    twice = [floor(unix(f"2026-10-25T0{hour}:30"), "hour", "Europe/Paris") for hour in (0, 1)]
    assert twice == [unix("2026-10-25T00:00"), unix("2026-10-25T01:00")]


def test_december_is_followed_by_january() -> None:
    assert said(following(unix("2026-12-01T00:00"), "month", "UTC")) == "2027-01-01T00:00"
