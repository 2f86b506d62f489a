"""Which requests of fal's history may be taken in place of a new one, whatever the history says."""

from __future__ import annotations

import email.utils
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.fal import TEXT_TO_VIDEO, reuse
from airflow_provider_pika.fal.http_answer import Answer
from airflow_provider_pika.fal.requests import Call
from airflow_provider_pika.fal.reuse import PastClip, Reuse, name_of, past_clips
from airflow_provider_pika.fal.sansio import hold

INPUT = {"prompt": "a fox", "resolution": "720p", "duration": 5, "seed": 7}
DAY = 86400.0


def at(seconds_ago: float) -> str:
    return datetime.fromtimestamp(time.time() - seconds_ago, UTC).isoformat()


def row(name: str = "r-1", **fields: Any) -> dict[str, Any]:
    """Return a row of a request that was sent an hour ago, and ended well."""
    return {
        "request_id": name,
        "endpoint_id": TEXT_TO_VIDEO,
        "sent_at": at(3600),
        "started_at": at(3590),
        "ended_at": at(3500),
        "status_code": 200,
        "json_input": INPUT,
        "json_output": {"video": {"url": f"https://v3.fal.media/files/{name}.mp4"}},
        **fields,
    }


def page(*rows: dict[str, Any], cursor: str | None = None) -> dict[str, Any]:
    return {"items": list(rows), "next_cursor": cursor, "has_more": cursor is not None}


class History:
    """Answers one call after the other, the last answer again and again."""

    def __init__(self, *answers: Any, date: float | None = None) -> None:
        self.answers = list(answers)
        self.headers = {} if date is None else {"date": email.utils.formatdate(date, usegmt=True)}
        self.calls = 0
        self.told: list[str] = []

    def send(self, call: Call[Any]) -> Any:
        said = self.answers[min(self.calls, len(self.answers) - 1)]
        self.calls += 1
        return call.understand(said if isinstance(said, Answer) else Answer(200, self.headers, said))

    def find(self, within: float = DAY, run_began: float | None = None, **wanted: Any) -> list[PastClip]:
        name = name_of({**INPUT, **wanted})
        began = time.time() if run_began is None else run_began
        search = past_clips(
            "https://api.fal.ai/v1", TEXT_TO_VIDEO, Reuse(within, began, bool), {name}, self.told.append
        )
        return hold(search, self.send, lambda _: None).get(name, [])


def test_a_request_that_ended_well_with_this_input_is_found_with_its_clip() -> None:
    [clip] = History(page(row())).find()
    assert (clip.request_id, clip.video.url) == ("r-1", "https://v3.fal.media/files/r-1.mp4")


def test_of_several_the_one_that_ended_last_comes_first() -> None:
    found = History(page(row("r-2"), row("r-1", ended_at=at(3000)))).find()
    assert [clip.request_id for clip in found] == ["r-2", "r-1"]  # as fal lists them


@pytest.mark.parametrize(
    "fields",
    [
        {"status_code": 422},
        {"status_code": 500},
        {"status_code": None},
        {"ended_at": None},
        {"ended_at": "yesterday"},
        {"ended_at": at(DAY + 60)},
        {"sent_at": None},
        {"sent_at": "soon"},
        {"json_output": None},
        {"json_output": {"video": None}},
        {"json_output": {"video": {"url": 7}}},
        {"json_input": None},
        {"json_input": "a fox"},
        {"json_input": [INPUT]},
        {"json_input": {**INPUT, "seed": 8}},
        {"json_input": {**INPUT, "image_url": "https://example.com/a.png"}},
        {"json_input": {name: INPUT[name] for name in ("prompt", "seed")}},
        {"json_input": {**INPUT, "prompt": "A fox"}},
    ],
)
def test_no_other_row_is_taken(fields: dict[str, Any]) -> None:
    assert History(page(row(**fields))).find() == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"duration": 5}, {"duration": "5"}, True),
        ({"a": 1, "b": None}, {"a": 1}, True),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}}, True),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
        ({"a": True}, {"a": 1}, False),
        ({"a": True}, {"a": "True"}, False),
        ({"a": True}, {"a": "true"}, False),
        ({"a": [1]}, {"a": "[1]"}, False),
        ({"a": "x"}, {"a": "x "}, False),
        ({"a": 1}, {"b": 1}, False),
        ({"a": "\ud800"}, {"a": "\ud801"}, False),
    ],
)
def test_two_inputs_have_one_name_only_if_they_are_the_same(one: Any, other: Any, same: bool) -> None:
    assert (name_of(one) == name_of(other)) is same


@pytest.mark.parametrize(
    ("ahead", "sent_before_the_run", "taken"),
    [
        (None, 310, True),  # nobody tells fal's time: five minutes are left free
        (None, 290, False),
        (0, 10, True),
        (0, 1, False),
        (-600, 700, True),  # fal's clock is ten minutes behind, and so are its rows
        (-600, 500, False),
        (600, 1, False),  # a gateway's clock is ahead, and nothing says that fal's is
    ],
)
def test_what_may_have_been_sent_by_the_same_dag_run_is_never_taken(
    ahead: float | None, sent_before_the_run: float, taken: bool
) -> None:
    now = time.time()
    sent = datetime.fromtimestamp(now - sent_before_the_run, UTC).isoformat()
    history = History(page(row(sent_at=sent)), date=None if ahead is None else now + ahead)
    assert bool(history.find(run_began=now)) is taken


def test_the_search_ends_with_the_page_that_has_what_is_wanted() -> None:
    history = History(page(row("r-0", json_input={}), cursor="2"), page(row("r-1"), cursor="3"))
    assert [clip.request_id for clip in history.find()] == ["r-1"]
    assert (history.calls, history.told) == (2, [])


def test_a_history_without_end_is_read_up_to_a_number_of_pages_and_that_is_said() -> None:
    history = History(page(row(json_input={}), cursor="again"))
    assert history.find() == []
    assert history.calls == reuse.MOST_PAGES
    assert "longer than is searched" in history.told[0]


def test_a_slow_history_is_read_for_a_number_of_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reuse, "PAGES_WITHIN", -1.0)
    history = History(page(row(json_input={}), cursor="again"))
    assert (history.find(), history.calls) == ([], 1)


def test_a_page_that_cannot_be_read_for_a_moment_is_read_again() -> None:
    history = History(Answer(503, {}, "busy"), page(row()))
    assert len(history.find()) == 1


def test_a_history_that_is_refused_is_an_error() -> None:
    with pytest.raises(errors.PikaError):
        History(Answer(403, {}, {"detail": "Forbidden"})).find()


def test_an_answer_cannot_tell_its_time_in_its_body() -> None:
    history = History({**page(row(sent_at=at(10))), "answered_at": 0.0})
    assert history.find() == []
