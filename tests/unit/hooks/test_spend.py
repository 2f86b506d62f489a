"""What a Dag may ask about its spending: refused before anything is asked, with the argument's name and what to do."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pendulum
import pytest

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.fal import SPENT_BY, TEXT_TO_VIDEO
from airflow_provider_pika.fal.spend import LONGEST_REPORT, MOST_ENDPOINTS
from airflow_provider_pika.hooks import spend
from airflow_provider_pika.hooks.pika import PikaHook
from airflow_provider_pika.hooks.spend import endpoints_of, group_of, span_of

NOW = datetime(2026, 11, 27, 6, tzinfo=UTC)
NIGHT = datetime(2026, 11, 26, tzinfo=UTC)
NAIVE = datetime(2026, 11, 26)


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The morning of a day, and no fal: what asks it fails."""
    monkeypatch.setattr(spend, "time", SimpleNamespace(time=NOW.timestamp))
    monkeypatch.setattr(PikaHook, "get_conn", lambda self: pytest.fail("fal is asked"))


@pytest.mark.parametrize(
    ("since", "until", "seconds"),
    [
        (NIGHT, NIGHT + timedelta(days=1), 86400),
        (pendulum.datetime(2026, 11, 26), pendulum.datetime(2026, 11, 27), 86400),
        (NIGHT, None, 30 * 3600),
        (NIGHT, NOW + timedelta(days=7), 30 * 3600),
        (NIGHT.astimezone(timezone(timedelta(hours=5))), NIGHT + timedelta(hours=1), 3600),
        (
            pendulum.datetime(2026, 10, 25, tz="Europe/Berlin"),
            pendulum.datetime(2026, 10, 26, tz="Europe/Berlin"),
            90000,
        ),
        (NOW - timedelta(seconds=LONGEST_REPORT), NOW, LONGEST_REPORT),
    ],
)
def test_a_span_is_what_lies_between_two_moments_in_any_zone_and_ends_by_now(
    since: datetime, until: datetime | None, seconds: float
) -> None:
    begins, ends = span_of(since, until)
    assert (begins, ends - begins) == (since.timestamp(), seconds)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"since": NAIVE}, r"^since=datetime.datetime\(2026, 11, 26, 0, 0\) is not allowed: .* with a time zone"),
        ({"since": pendulum.naive(2026, 11, 26)}, "^since=.* with a time zone"),
        ({"since": None}, "^since=None is not allowed"),
        ({"since": date(2026, 11, 26)}, "^since=.* is not allowed"),
        ({"since": "2026-11-26T00:00:00Z"}, "^since='2026-11-26T00:00:00Z' is not allowed"),
        ({"since": NIGHT.timestamp()}, "^since=.* is not allowed"),
        ({"since": NIGHT, "until": NAIVE}, "^until=.* with a time zone"),
        ({"since": NIGHT, "until": "now"}, "^until='now' is not allowed"),
        ({"since": NIGHT, "until": NIGHT}, "^since=2026-11-26T00:00:00.00:00 .* has an empty data interval.*run_after"),
        ({"since": NIGHT, "until": NIGHT - timedelta(days=1)}, "must be before until=2026-11-25"),
        ({"since": NOW + timedelta(days=1)}, "must be before until=now and before now"),
        ({"since": NOW - timedelta(seconds=LONGEST_REPORT + 1)}, "366 days"),
        ({"since": datetime.min.replace(tzinfo=UTC)}, "366 days"),
        ({"since": datetime(1969, 1, 1, tzinfo=UTC), "until": datetime(1969, 6, 1, tzinfo=UTC)}, "^since="),
        ({"since": NIGHT, "by": "week"}, "^by='week' is not allowed: it takes one of day, dag, task, endpoint"),
        ({"since": NIGHT, "by": ["dag"]}, "^by="),
        ({"since": NIGHT, "by": None}, "^by=None"),
        ({"since": NIGHT, "endpoints": TEXT_TO_VIDEO}, "^endpoints='fal-ai.* it takes a list"),
        ({"since": NIGHT, "endpoints": None}, "^endpoints=None"),
        ({"since": NIGHT, "endpoints": ["nonsense"]}, "^endpoint='nonsense'"),
        ({"since": NIGHT, "endpoints": [{}]}, "^endpoint="),
        ({"since": NIGHT, "endpoints": [f"a/b/{n}" for n in range(MOST_ENDPOINTS + 1)]}, "^endpoints has 51 of them"),
    ],
    ids=str,
)
def test_a_wrong_argument_is_refused_before_fal_is_asked(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        PikaHook().spend(**arguments)


@pytest.mark.parametrize("by", SPENT_BY)
def test_it_groups_by_what_the_command_groups_by(by: str) -> None:
    assert group_of(by) == by


@pytest.mark.parametrize("kind", [list, tuple, set, dict.fromkeys])
def test_endpoints_are_any_collection_and_each_counts_once(kind: Any) -> None:
    assert endpoints_of(kind([TEXT_TO_VIDEO])) == [TEXT_TO_VIDEO]
    assert endpoints_of([TEXT_TO_VIDEO] * 60) == [TEXT_TO_VIDEO]
    assert endpoints_of(()) == []
