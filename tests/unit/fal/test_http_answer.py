from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import httpx
import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.fal import TEXT_TO_VIDEO, responses
from airflow_provider_pika.fal.http_answer import (
    ERROR_BYTES,
    LONGEST_PAUSE,
    LONGEST_WORDS,
    MOST_ENTRIES,
    STATUS_BYTES,
    Answer,
    most_bytes,
)
from airflow_provider_pika.fal.models import Video
from airflow_provider_pika.strict_json import for_airflow

ID = "019e1951-c778-7120-9c82-16efcf40ec82"
RESULT = {"video": {"url": "https://v3.fal.media/x.mp4", "content_type": "video/mp4", "file_size": 9}}


def answer(body: Any, status_code: int = 200, **headers: str) -> Answer:
    """Make an answer of JSON, as lax as Python writes it."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer.read(status_code, fields, body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": "a\\u0000b", "metrics": {"inference_time": NaN}, "status": "COMPLETED"}',
        b'{"error": "\\ud83d", "metrics": {"inference_time": 1e999}, "status": "COMPLETED"}',
        b'{"error": "\xf0\x9f", "metrics": {"inference_time": -1}, "status": "COMPLETED"}',
        b'{"error": "x", "queue_position": 123456789012345678901, "status": "IN_QUEUE"}',
        b'{"error": "x", "queue_position": ' + b"9" * 4000 + b', "status": "IN_QUEUE"}',
        b'{"error": ' + b"[" * 500 + b"]" * 500 + b', "status": "COMPLETED"}',
        b'{"logs": [{"message": "\\u0000", "timestamp": "\\udc00"}, {"message": "\\ud83d"}], "status": "IN_PROGRESS"}',
    ],
    ids=lambda body: body[:20].decode("latin-1"),
)
def test_a_status_with_what_no_database_takes_is_read_and_storable(body: bytes) -> None:
    status = responses.status(Answer.read(200, {}, body), ID).model_dump(mode="json")
    assert for_airflow(status) == status


@pytest.mark.parametrize(
    "video",
    [
        {"file_size": float("nan")},
        {"file_size": 2**70},
        {"file_size": -5},
        {"content_type": "video/mp4\n::group::"},
        {"content_type": "x" * 500},
        {"url": "https://v3.fal.media/a b\n::group::\u202e\0.mp4"},
        {"url": "https://v3.fal.media/" + "x" * 3000},
    ],
    ids=ascii,
)
def test_a_paid_video_is_not_lost_to_a_field_beside_it(video: dict[str, Any]) -> None:
    read = responses.result(answer({"video": {**RESULT["video"], **video}}), TEXT_TO_VIDEO, ID)
    assert for_airflow(read.model_dump()) == read.model_dump()
    assert read.url.isprintable()
    assert " " not in read.url


def test_a_number_of_any_length_costs_no_answer() -> None:
    status = responses.status(Answer.read(200, {}, b'{"status": "COMPLETED", "seed": ' + b"9" * 50_000 + b"}"), ID)
    assert status.status == "COMPLETED"


@pytest.mark.parametrize(
    "url", ["HTTPS://v3.fal.media/x.mp4", " https://v3.fal.media/x.mp4\n", "https://x/" + "s" * 8000]
)
def test_a_url_of_any_case_and_some_length_is_one(url: str) -> None:
    video = responses.result(answer({"video": {"url": url}}), TEXT_TO_VIDEO, ID)
    assert video.url == url.strip()
    assert Video.model_validate(video.model_dump()) == video


def test_a_url_without_end_is_no_reason_to_give_the_clip_up() -> None:
    with pytest.raises(errors.UnexpectedAnswer, match="URL has 10019 characters"):
        responses.result(answer({"video": {"url": "https://x.example/" + "s" * 10_001}}), TEXT_TO_VIDEO, ID)
    kept = {"url": "https://x/" + "s" * 10_000, "request_id": ID, "endpoint": TEXT_TO_VIDEO}
    assert Video.model_validate(kept).url == kept["url"]  # a record of ours is read, however long


@pytest.mark.parametrize("library", [httpx.Headers, lambda fields: CIMultiDictProxy(CIMultiDict(fields))])
def test_of_two_headers_of_one_name_the_first_counts_for_either_client(library: Any) -> None:
    fields = [("Retry-After", "5"), ("retry-after", "7"), ("X-Fal-Error-Type", "a"), ("X-Fal-Error-Type", "b")]
    read = Answer.read(429, library(fields), b"{}")
    assert (read.retry_after, read.error_type) == (5.0, "a")


@pytest.mark.parametrize("units", ["NaN", "inf", "-1", "1e999", "9" * 400, "many", ""])
def test_billable_units_that_are_no_number_are_not_known(units: str) -> None:
    assert responses.result(answer(RESULT, x_fal_billable_units=units), TEXT_TO_VIDEO, ID).billable_units is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("9" * 400, LONGEST_PAUSE),
        ("120", 120.0),
        ("-5", None),
        ("nan", None),
        ("1e9", None),
        ("Wed, 21 Oct 9999 07:28:00 GMT", LONGEST_PAUSE),
        ("Wed, 21 Oct 99999999 07:28:00 GMT", None),
        ("Wed, 21 Oct 1515 07:28:00 GMT", 0.0),
        ("\ud83d", None),
        ("", None),
    ],
    ids=lambda value: str(value)[:12].encode("ascii", "replace").decode(),
)
def test_a_retry_after_is_a_bounded_number_of_seconds_or_none(value: str, seconds: float | None) -> None:
    assert answer({}, 429, retry_after=value).retry_after == seconds


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, lambda data: zlib.compress(data, wbits=-15)])
def test_a_compressed_answer_is_read_up_to_its_limit(compress: Any) -> None:
    assert answer(compress(b'{"status": "IN_QUEUE"}'), content_encoding="gzip").body == {"status": "IN_QUEUE"}
    bomb = answer(compress(b"x" * 10 * STATUS_BYTES), content_encoding="deflate")
    assert bomb.truncated
    assert len(bomb.body) <= most_bytes(200, STATUS_BYTES)


def test_what_claims_to_be_compressed_and_is_not_is_read_as_it_is() -> None:
    assert answer(b'{"status": "IN_QUEUE"}', content_encoding="gzip").body == {"status": "IN_QUEUE"}


def test_an_answer_that_is_too_large_says_so_and_how_it_begins() -> None:
    with pytest.raises(errors.AnswerTooLarge, match="too large, which begins 'aaa"):
        responses.status(answer(b"a" * (STATUS_BYTES + 1)), ID)
    refused = answer(b"<html>" + b"b" * ERROR_BYTES, 403)
    with pytest.raises(errors.ForeignAnswer, match="too large, which begins '<html>bbb") as caught:
        responses.status(refused, ID)
    assert len(caught.value.message) < 2 * LONGEST_WORDS


def test_of_a_long_log_the_newest_lines_are_kept() -> None:
    lines = [{"message": f"line {number}", "timestamp": "t"} for number in range(3 * MOST_ENTRIES)]
    status = responses.status(answer({"status": "IN_PROGRESS", "logs": lines}), ID)
    assert len(status.logs) == MOST_ENTRIES
    assert status.logs[-1].message == f"line {3 * MOST_ENTRIES - 1}"


def test_headers_are_bounded_and_storable() -> None:
    read = Answer.read(200, {f"x{number}": "\udcff\0" + "v" * 99_999 for number in range(1000)}, b"{}")
    assert len(read.headers) == 128
    assert for_airflow(dict(read.headers)) == read.headers


def test_the_words_of_an_answer_are_one_line_that_forges_nothing() -> None:
    said = answer(
        {"detail": "broken\n::group::mine\x1b[31m\u2028[2026-11-24] INFO - all is well" + "x" * 9999}, 500
    ).words
    assert said.startswith("broken : :group::mine [31m [2026-11-24] INFO - all is well")
    assert len(said) <= LONGEST_WORDS
