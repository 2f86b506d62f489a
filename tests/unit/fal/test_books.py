"""All pages of fal's books and of its history: each row once, and never a part of them for the whole."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.fal import TEXT_TO_VIDEO, books
from airflow_provider_pika.fal.http_answer import Answer
from airflow_provider_pika.fal.models import BillingEvent
from airflow_provider_pika.fal.requests import Call
from airflow_provider_pika.fal.responses import BILLING_ROWS
from airflow_provider_pika.fal.sansio import hold

URL = "https://api.fal.ai/v1"
DAY = 86400.0
NOW = 1_790_000_000.0


def row(name: str, **fields: Any) -> dict[str, Any]:
    return {"request_id": name, "endpoint_id": TEXT_TO_VIDEO, "timestamp": "2026-11-27T01:00:00Z", **fields}


def page(*rows: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"billing_events": list(rows), "next_cursor": None, "has_more": False, **fields}


class Platform:
    """Answers one call after the other; ``asked`` are the parameters of each."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []
        self.pauses: list[float] = []

    def send(self, call: Call[Any]) -> Any:
        self.asked.append(dict(call.options["params"]))
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return call.understand(said if isinstance(said, Answer) else Answer(200, {}, said))

    def billed(self, since: float = NOW - DAY, until: float = NOW) -> list[BillingEvent]:
        return hold(books.billed(URL, since, until), self.send, self.pauses.append)

    def past(self) -> list[str]:
        found = books.past(URL, TEXT_TO_VIDEO, NOW - DAY, NOW, lambda row: row.request_id)
        return hold(found, self.send, self.pauses.append)


def test_all_pages_are_read_and_a_row_that_two_of_them_have_counts_once() -> None:
    platform = Platform(page(row("a"), row("b"), next_cursor="2", has_more=True), page(row("b"), row("c")))
    assert [event.request_id for event in platform.billed()] == ["a", "b", "c"]
    assert [asked.get("cursor") for asked in platform.asked] == [None, "2"]
    assert platform.asked[0]["source"] == "tagged-billed"


def test_a_cursor_is_followed_where_fal_does_not_say_that_there_is_more() -> None:
    first = page(row("a"), next_cursor="2")
    del first["has_more"]
    assert len(Platform(first, page(row("b"))).billed()) == 2


def test_a_longer_time_is_asked_for_in_spans_that_fal_takes() -> None:
    platform = Platform(page())
    platform.billed(NOW - 200 * DAY)
    assert len(platform.asked) == 3
    assert [asked["start"] for asked in platform.asked[1:]] == [asked["end"] for asked in platform.asked[:-1]]


def test_each_span_has_pages_of_its_own() -> None:
    more = page(row("a"), next_cursor="2", has_more=True)
    assert len(Platform(more, page(row("b")), more, page(row("c"))).billed(NOW - 100 * DAY)) == 3


@pytest.mark.parametrize(
    "answer",
    [
        page(row("a"), next_cursor="again", has_more=True),
        page(row("a"), has_more=True),
        page(row("a"), {"request_id": "../b", "endpoint_id": "x"}),
        page(*(row(f"r{number}") for number in range(BILLING_ROWS + 1))),
        {"billing_events": None},
        {"events": []},
        [],
        "<html>",
    ],
    ids=["a page again", "no cursor", "a bad row", "too many rows", "null", "another key", "a list", "a login page"],
)
def test_what_lacks_rows_is_an_error_and_no_smaller_sum(answer: Any) -> None:
    with pytest.raises(errors.UnexpectedAnswer):
        Platform(answer).billed()


def test_pages_without_end_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "MOST_PAGES", 5)
    pages = [page(row(f"r{number}"), next_cursor=str(number), has_more=True) for number in range(9)]
    with pytest.raises(errors.UnexpectedAnswer, match="too many rows"):
        Platform(*pages).billed()


def test_numbers_may_be_null_and_tags_of_another_kind_are_none() -> None:
    [event] = Platform(page(row("a", output_units=None, unit_price=None, tags={"dag": "x", "n": 5}))).billed()
    assert (event.output_units, event.tags) == (None, {"dag": "x"})
    [event] = Platform(page(row("a", tags=["dag"]))).billed()
    assert event.tags is None


@pytest.mark.parametrize(("status", "read"), [(503, True), (429, True), (404, False), (403, False), (401, False)])
def test_a_page_is_asked_for_again_only_where_that_helps(status: int, read: bool) -> None:
    platform = Platform(Answer(status, {}, {"detail": "no"}), page(row("a")))
    if read:
        assert len(platform.billed()) == 1
        assert platform.pauses == [2.0]
    else:
        with pytest.raises(errors.PikaError):
            platform.billed()


def test_a_page_that_never_comes_is_given_up() -> None:
    platform = Platform(Answer(503, {}, "busy"))
    with pytest.raises(errors.ServerUnavailable):
        platform.billed()
    assert len(platform.asked) == 3


def test_a_key_without_the_right_is_told_in_fals_words() -> None:
    body = {"error": {"type": "authorization_error", "message": "Admin API key required"}}
    with pytest.raises(errors.AccessDenied, match=r"ADMIN right: Admin API key required\."):
        Platform(Answer(403, {}, body)).billed()


def test_the_history_is_read_page_by_page_without_payloads() -> None:
    first = {"items": [{"request_id": "a"}], "next_cursor": "2", "has_more": True}
    platform = Platform(first, {"items": [{"request_id": "b"}]})
    assert platform.past() == ["a", "b"]
    assert "expand" not in platform.asked[0]
    assert platform.asked[0]["end"].startswith("2026-")


def test_a_history_that_turns_in_circles_is_an_error() -> None:
    with pytest.raises(errors.UnexpectedAnswer, match="again"):
        Platform({"items": [], "next_cursor": "2", "has_more": True}).past()
