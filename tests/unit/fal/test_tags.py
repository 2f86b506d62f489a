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
    assert header_of(None, origin) == "dag=nightly-clips,task=group.make,run=scheduled__2026-11-27T00:00:00+00:00"


def test_a_users_tags_come_beside_those_of_the_task() -> None:
    origin = tags.of_task("d", "t", "r")
    assert header_of({"team": "social", "sku": 42}, origin) == "dag=d,task=t,run=r,team=social,sku=42"


@pytest.mark.parametrize("nothing", [None, {}, "", "None", {"team": None}, {"team": " "}])
def test_without_tags_there_is_no_header(nothing: Any) -> None:
    assert header_of(nothing) is None


@pytest.mark.parametrize(
    "text", ["a,b=c", "x\r\nAuthorization: Key stolen", "zażółć", "\0", "a b", "=", "🦊", "\ud800", "x" * 200]
)
def test_no_text_breaks_the_header(text: str) -> None:
    header = header_of({"team": text}, tags.of_task(text, text, text)) or ""
    assert header.isascii()
    assert header.isprintable()
    assert [pair.partition("=")[0] for pair in header.split(",")] == ["dag", "task", "run", "team"]
    assert all(pair.count("=") == 1 for pair in header.split(","))
    assert len(header.encode()) <= 1024


def test_names_are_in_small_letters_since_fal_makes_them_so() -> None:
    assert header_of({"Team": "Social"}) == "team=Social"


def test_the_longest_ids_of_airflow_fit_and_what_is_too_much_is_left_out() -> None:
    origin = tags.of_task("d" * 250, "t" * 250, "r" * 250)
    header = header_of({"first": "x" * 1000, "second": "y"}, origin) or ""
    assert [len(pair.partition("=")[2]) for pair in header.split(",")] == [250, 250, 250, 1]
    assert header.endswith(",second=y")


WRONG = [
    "team=social",
    ["team"],
    {"fal.team": "x"},
    {"FAL.team": "x"},
    {"Dag": "another"},
    {"dag": "another"},
    {"run": "another"},
    {"": "x"},
    {"a,b": "x"},
    {"a b": "x"},
    {"ä": "x"},
    {"x" * 65: "x"},
    {1: "x"},
    {"team": True},
    {"team": ["x"]},
    {f"tag{number}": "x" for number in range(8)},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_what_is_no_tag_is_refused_and_the_error_says_what_is(wrong: Any) -> None:
    with pytest.raises(InvalidInput, match=r"tags=.*a dict of up to 7 tags"):
        SubmitControls.checked({"tags": wrong})


def test_tags_change_nothing_of_what_is_wanted() -> None:
    wanted = [Wanted("e", {"prompt": "a fox"}, "q", 1, 1, headers={"X-Fal-Tags": tag}) for tag in ("a=b", "c=d")]
    assert wanted[0].fingerprint == wanted[1].fingerprint
