"""Tags of a request: what fal's reports split by, in a header that no text of a user's can break."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.fal import tags
from airflow_provider_pika.fal.inputs import SubmitControls
from airflow_provider_pika.fal.recovery import Wanted


def header_of(user: Any = None, origin: dict[str, str] | None = None) -> str | None:
    return SubmitControls.checked({"tags": user}).headers(origin).get("X-Fal-Tags")


def test_a_request_says_its_dag_task_and_run() -> None:
    origin = tags.of_task("nightly-clips", "group.make", "scheduled__2026-11-27T00:00:00+00:00")
    assert header_of(None, origin) == "dag=nightly-clips,task=group.make,run=scheduled__2026-11-27T00:00:00_00:00"


def test_a_users_tags_come_beside_those_of_the_task() -> None:
    origin = tags.of_task("d", "t", "r")
    assert header_of({"team": "social", "sku": 42}, origin) == "dag=d,task=t,run=r,team=social,sku=42"


@pytest.mark.parametrize("nothing", [None, {}, "", "None", {"team": None}, {"team": " "}])
def test_without_tags_there_is_no_header(nothing: Any) -> None:
    assert header_of(nothing) is None


@pytest.mark.parametrize(
    "text", ["a,b=c", "x\r\nAuthorization: Key stolen", "zażółć", "\0", "a b", "=", "🦊", "\ud800", "x" * 10_000]
)
def test_no_text_breaks_the_header(text: str) -> None:
    header = header_of({"team": text}, tags.of_task(text, text, text)) or ""
    assert header.isascii()
    assert header.isprintable()
    assert " " not in header
    assert [pair.partition("=")[0] for pair in header.split(",")] == ["dag", "task", "run", "team"]
    assert all(pair.count("=") == 1 for pair in header.split(","))
    assert len(header) < 500


WRONG = [
    "team=social",
    ["team"],
    {"fal.team": "x"},
    {"dag": "another"},
    {"run": "another"},
    {"": "x"},
    {"a,b": "x"},
    {"a b": "x"},
    {"ä": "x"},
    {"x" * 51: "x"},
    {1: "x"},
    {"team": True},
    {"team": ["x"]},
    {f"tag{number}": "x" for number in range(21)},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_what_is_no_tag_is_refused_and_the_error_says_what_is(wrong: Any) -> None:
    with pytest.raises(InvalidInput, match=r"tags=.*a dict of up to 20 tags"):
        SubmitControls.checked({"tags": wrong})


def test_tags_change_nothing_of_what_is_wanted() -> None:
    wanted = [Wanted("e", {"prompt": "a fox"}, "q", 1, 1, headers={"X-Fal-Tags": tag}) for tag in ("a=b", "c=d")]
    assert wanted[0].fingerprint == wanted[1].fingerprint
