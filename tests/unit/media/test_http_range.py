from __future__ import annotations

import pytest

from airflow_provider_pika.exceptions import (
    DownloadInterrupted,
    DownloadRefused,
    PikaError,
    UnexpectedFile,
    VideoExpired,
    VideoRejected,
    VideoTooLarge,
)
from airflow_provider_pika.media.http_range import (
    PAUSES,
    Elsewhere,
    Part,
    check_length,
    check_size,
    meaning,
    pause_after,
)

VIDEO = {"content-type": "video/mp4"}
PART = Part(have=100, total=300, validator='"v1"', content_type="video/mp4")


def test_the_first_call_asks_for_the_file_as_it_is() -> None:
    headers = Part().headers()
    assert headers["Accept-Encoding"] == "identity"
    assert "Range" not in headers


def test_the_next_call_asks_for_the_rest_of_the_same_version() -> None:
    assert PART.headers()["Range"] == "bytes=100-"
    assert PART.headers()["If-Range"] == '"v1"'
    assert "If-Range" not in Part(have=100).headers()


def test_a_whole_answer_begins_at_the_start_whatever_there_was() -> None:
    answer = meaning(200, {**VIDEO, "content-length": "500", "etag": '"v2"'}, PART)
    assert answer == Part(0, 500, '"v2"', "video/mp4")


def test_a_weak_mark_is_none_and_the_date_stands_in_for_it() -> None:
    headers = {**VIDEO, "etag": 'W/"v2"', "last-modified": "Tue, 24 Nov 2026 10:00:00 GMT"}
    assert meaning(200, headers, Part()) == Part(0, None, "Tue, 24 Nov 2026 10:00:00 GMT", "video/mp4")


def test_a_partial_answer_goes_on() -> None:
    answer = meaning(206, {**VIDEO, "content-range": "bytes 100-299/300"}, PART)
    assert answer == PART


@pytest.mark.parametrize(
    "content_range", ["bytes 0-299/300", "bytes 100-399/400", "bytes x", "", "bytes 101-299/300"], ids=repr
)
def test_another_range_than_was_asked_for_is_never_appended(content_range: str) -> None:
    with pytest.raises(DownloadInterrupted, match="another range"):
        meaning(206, {**VIDEO, "content-range": content_range}, PART)


def test_a_part_of_another_version_is_never_appended() -> None:
    with pytest.raises(DownloadInterrupted, match="changed"):
        meaning(206, {**VIDEO, "content-range": "bytes 100-299/300", "etag": '"v2"'}, PART)
    assert meaning(206, {**VIDEO, "content-range": "bytes 100-299/300", "etag": '"v1"'}, PART) == PART


def test_nothing_more_to_be_had_is_the_end_if_the_host_says_that_it_is_all() -> None:
    for content_range in ("bytes */100", "*/100"):
        answer = meaning(416, {"content-range": content_range}, PART)
        assert isinstance(answer, Part)
        assert answer.is_whole
    with pytest.raises(DownloadInterrupted, match="no more"):
        meaning(416, {"content-range": "bytes */90"}, PART)


def test_a_redirect_is_told_and_not_followed_here() -> None:
    assert meaning(302, {"location": "/x"}, Part()) == Elsewhere("/x")
    with pytest.raises(DownloadRefused):
        meaning(302, {}, Part())


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, VideoExpired),
        (410, VideoExpired),
        (401, DownloadRefused),
        (403, DownloadRefused),
        (400, DownloadRefused),
        (416, DownloadRefused),
        (408, DownloadInterrupted),
        (429, DownloadInterrupted),
        (500, DownloadInterrupted),
        (503, DownloadInterrupted),
        (204, DownloadRefused),
    ],
)
def test_an_answer_without_a_file(status: int, error: type[PikaError]) -> None:
    with pytest.raises(error) as raised:
        meaning(status, {}, Part())
    assert type(raised.value) is error
    assert raised.value.status_code == status


NO_VIDEO = [
    "text/html",
    "text/html; charset=utf-8",
    "TEXT/HTML",
    "text/xml",
    "application/json",
    "application/problem+json",
    "application/xml",
    "application/xhtml+xml",
    "application/dash+xml",
    "application/vnd.apple.mpegurl",
    "audio/x-mpegurl",
    "application/zip",
    "image/png",
    "multipart/byteranges; boundary=x",
]


@pytest.mark.parametrize("kind", NO_VIDEO)
def test_what_is_no_video_by_its_type_is_refused(kind: str) -> None:
    with pytest.raises(UnexpectedFile, match="not a video"):
        meaning(200, {"content-type": kind}, Part())


MAY_BE_ONE = [
    "video/mp4",
    "Video/MP4; codecs=avc1",
    "video/webm",
    "application/octet-stream",
    "Application/Octet-Stream; charset=binary",
    "binary/octet-stream",
    "application/mp4",
    "application/force-download",
    "application/x-download",
    "application/download",
    "application/x-octet-stream",
    "application/x-www-form-urlencoded",  # what curl says of an upload, and a bucket keeps
    "multipart/form-data",
    "text/plain",  # what nginx says of what it does not know
    "audio/mp4",
    "unknown/unknown",
    "",
]


@pytest.mark.parametrize("kind", MAY_BE_ONE)
def test_what_may_be_a_video_by_its_type_is_taken(kind: str) -> None:
    assert meaning(200, {"content-type": kind}, Part()) == Part(content_type=kind.partition(";")[0].lower() or None)


@pytest.mark.parametrize("kind", ["video/mp4, video/mp4", "mp4", "/", "video/", "x" * 300 + "/mp4", "vidéo/mp4"])
def test_what_is_no_type_names_nothing(kind: str) -> None:
    assert meaning(200, {"content-type": kind}, Part()) == Part(content_type=None)


@pytest.mark.parametrize(
    "coding", ["gzip", "GZIP", "x-gzip", "br", "deflate", "zstd", "identity, gzip", "aws-chunked,gzip", "gzip, br"]
)
def test_a_compressed_answer_is_refused_since_its_ranges_count_other_bytes(coding: str) -> None:
    with pytest.raises(UnexpectedFile, match="compressed"):
        meaning(200, {**VIDEO, "content-encoding": coding}, Part())


@pytest.mark.parametrize(
    "coding",
    [
        "",
        " ",
        ",",
        "identity",
        "Identity, identity",
        "aws-chunked",
        "AWS-chunked",
        "aws-chunked,",
        "none",
        "utf-8",
        "binary",
    ],
)
def test_a_coding_that_changes_no_byte_costs_no_clip(coding: str) -> None:
    for status, more in ((200, {}), (206, {"content-range": "bytes 100-299/300"})):
        answer = meaning(status, {**VIDEO, **more, "content-encoding": coding}, PART if more else Part())
        assert isinstance(answer, Part)


def test_trouble_is_sat_out_with_growing_pauses_and_ends() -> None:
    trouble = DownloadInterrupted("x")
    assert [pause_after(trouble, tries) for tries in range(1, len(PAUSES) + 2)] == [*PAUSES, None]


def test_a_host_that_asks_for_a_pause_gets_it() -> None:
    assert pause_after(DownloadInterrupted("x", retry_after=20.0), 1) == 20.0


def test_a_file_that_is_not_there_is_looked_for_a_little_longer() -> None:
    assert [pause_after(VideoExpired("x"), tries) for tries in (1, 2, 3)] == [PAUSES[0], PAUSES[1], None]


@pytest.mark.parametrize("error", [DownloadRefused("x"), UnexpectedFile("x"), VideoRejected("x")])
def test_what_does_not_pass_is_not_tried_again(error: PikaError) -> None:
    assert pause_after(error, 1) is None


def test_a_file_is_as_long_as_fal_said_or_refused() -> None:
    check_length(Part(300, 300), 300)
    check_length(Part(300, None), None)
    check_length(Part(300, 300), None)
    for part, announced in ((Part(300, 300), 301), (Part(200, 300), None), (Part(0, 0), None)):
        with pytest.raises(UnexpectedFile, match="bytes"):
            check_length(part, announced)


def test_a_file_above_the_cap_is_refused() -> None:
    check_size(100, 100)
    check_size(None, 100)
    with pytest.raises(VideoTooLarge, match="raise max_bytes"):
        check_size(101, 100)
