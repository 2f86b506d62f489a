from __future__ import annotations

import pytest

from airflow_provider_pika.plugins.pages.ranges import asked_part, is_known

SIZE, ETAG = 1000, '"abc"'


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-", 0, 1000),
        ("bytes=0-0", 0, 1),
        ("bytes=999-", 999, 1000),
        ("bytes=10-19", 10, 20),
        ("bytes=10-5000", 10, 1000),
        ("bytes=-1", 999, 1000),
        ("bytes=-5000", 0, 1000),
        ("Bytes= 5-6 ", 5, 7),
    ],
)
def test_one_range_is_answered_with_these_bytes(asked: str, start: int, end: int) -> None:
    part = asked_part(asked, None, ETAG, SIZE)
    assert part is not None
    assert (part.start, part.end, part.is_whole) == (start, end, False)
    assert part.headers["Content-Range"] == f"bytes {start}-{end - 1}/1000"
    assert part.headers["Content-Length"] == str(end - start)


@pytest.mark.parametrize("asked", ["bytes=1000-", "bytes=5000-6000", "bytes=-0"])
def test_a_range_behind_the_end_cannot_be_had(asked: str) -> None:
    assert asked_part(asked, None, ETAG, SIZE) is None


@pytest.mark.parametrize(
    "asked",
    [
        None,
        "",
        "bytes=",
        "bytes=-",
        "bytes=5-4",
        "items=0-1",
        "bytes=0-1,5-9",
        "bytes=a-b",
        "bytes=\N{ARABIC-INDIC DIGIT ONE}-",
        "x" * 99,
    ],
)
def test_what_is_no_single_range_is_answered_with_the_whole_file(asked: str | None) -> None:
    part = asked_part(asked, None, ETAG, SIZE)
    assert part is not None
    assert (part.start, part.end, part.is_whole) == (0, SIZE, True)
    assert "Content-Range" not in part.headers


@pytest.mark.parametrize(
    ("if_range", "whole"), [(ETAG, False), ('"old"', True), ("Fri, 27 Nov 2026 08:00:00 GMT", True)]
)
def test_a_range_of_another_file_is_answered_with_the_whole_file(if_range: str, whole: bool) -> None:
    part = asked_part("bytes=5-9", if_range, ETAG, SIZE)
    assert part is not None
    assert part.is_whole is whole


def test_an_empty_file_has_no_range() -> None:
    assert asked_part("bytes=0-", None, ETAG, 0) is None


@pytest.mark.parametrize(
    ("header", "known"),
    [(None, False), (ETAG, True), (f"W/{ETAG}", True), (f'"x", {ETAG}', True), ("*", True), ('"x"', False)],
)
def test_a_browser_that_has_the_file_is_told_so(header: str | None, known: bool) -> None:
    assert is_known(header, ETAG) is known
