from __future__ import annotations

import os
from typing import Any
from urllib.parse import unquote

import pytest
from airflow.sdk import ObjectStoragePath
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.task.paths import MOST_BYTES, SIDECAR, check_known_path, checked_path

UPWARDS = [
    "..",
    "../up",
    "a/../../up",
    "%2e%2e/up",
    ".%2E/up",
    "%252e%252e/up",
    "%25252e.%2fup",
    "a%2f..%2f..%2fup",
    "a%5c..%5cup",
    "..\\up",
    "a\\..\\up",
    " .. /up",
    "..?x",
    "..#x",
]


@pytest.mark.parametrize("data", UPWARDS)
@pytest.mark.parametrize("folder", ["/clips/", "file:///clips/", "s3://bucket/clips/", "s3://", "gs://conn@"])
def test_no_path_leads_out_of_its_folder_however_it_is_written(folder: str, data: str) -> None:
    with pytest.raises(InvalidInput, match="out of its folder"):
        checked_path(f"{folder}{data}/fox.mp4")


@pytest.mark.parametrize(
    "path", ["/clips/a..b/fox.mp4", "/clips/.../fox.mp4", "/clips/..fox.mp4", "s3://b/100%/fox..mp4", "/clips/%20.mp4"]
)
def test_dots_and_percents_that_lead_nowhere_are_names(path: str) -> None:
    assert checked_path(path) == path


@pytest.mark.parametrize("sign", ["\0", "\n", "\r", "\x1b", "\x7f", "\x85", "\u2028", "%00", "%0a", "%250a"])
def test_a_control_character_is_refused(sign: str) -> None:
    with pytest.raises(InvalidInput, match="control character"):
        checked_path(f"/clips/a{sign}b.mp4")


@pytest.mark.parametrize("half", [0xD83D, 0xDC80, 0xDFFF])
def test_half_a_character_is_refused_in_words_that_can_be_written(half: int) -> None:
    with pytest.raises(InvalidInput, match="half a character") as raised:
        checked_path(f"/clips/{chr(half)}.mp4")
    str(raised.value).encode()


@pytest.mark.parametrize("sign", ["{{", "{%", "{{ conn.pika_default.password }}", "{% raw %}"])
def test_a_template_that_came_of_data_is_no_path(sign: str) -> None:
    with pytest.raises(InvalidInput, match="came of data"):
        checked_path(f"/clips/{sign}.mp4")


@pytest.mark.parametrize(
    ("path", "suffix", "fits"),
    [
        (f"/clips/{'x' * 235}", SIDECAR, True),
        (f"/clips/{'x' * 236}", SIDECAR, False),
        (f"/clips/{'x' * 240}", "", True),
        (f"/clips/{'é' * 121}", "", False),
        (f"/{'x' * 255}/fox.mp4", SIDECAR, True),
        (f"/{'x' * 256}/fox.mp4", SIDECAR, False),
        (f"file:///clips/{'x' * 241}", "", False),
        (f"s3://b/{'x' * 300}.mp4", SIDECAR, True),  # a key has no folders
        (f"s3://b/{'x' * MOST_BYTES}", SIDECAR, False),
        (f"/clips{'/x' * 600}", SIDECAR, False),
        ("/" + "%25" * 400_000, SIDECAR, False),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_no_store_can_hold_is_refused(path: str, suffix: str, fits: bool) -> None:
    if fits:
        assert checked_path(path, suffix=suffix) == path
    else:
        with pytest.raises(InvalidInput, match="longer than") as raised:
            checked_path(path, suffix=suffix)
        assert len(str(raised.value)) < 1000


@pytest.mark.parametrize(
    "path",
    ["", "/", "/clips/.", "tmp/fox.mp4", "tmp/https://x/fox.mp4", "file://tmp/x", "FILE://tmp/x", None, 7],
)
def test_what_is_no_path_of_a_file_is_refused(path: Any) -> None:
    with pytest.raises(InvalidInput, match="path="):
        checked_path(path)


@pytest.mark.parametrize("path", ["s3://clips/a::b/fox.mp4", "file:///clips/a::file:///etc/x", "gs://b/::x"])
def test_a_url_that_the_storage_library_would_cut_off_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput, match="cut off"):
        checked_path(path)


@pytest.mark.parametrize("path", ["s3://[b/fox.mp4", "s3://b\u2100/fox.mp4", "s3://[::1/x"])
def test_what_is_no_url_is_an_error_of_ours(path: str) -> None:
    with pytest.raises(InvalidInput):
        checked_path(path)


DATA = st.text(st.sampled_from("ab./\\%2eEfF5cC:@?#{}~ \0\n\ud83dé"), max_size=40) | st.text(max_size=40)


@settings(deadline=None)
@given(DATA)
@example("..")
@example("a::file:///etc/passwd")
@example("%252e%252e%252f")
def test_whatever_data_brings_the_path_stays_below_what_the_author_wrote(data: str) -> None:
    for root, stored in (("/clips/in/", "/clips/in/"), ("file:///clips/in/", "/clips/in/"), ("s3://b/in/", "b/in/")):
        try:
            path = checked_path(f"{root}{data}/fox.mp4")
        except InvalidInput:
            continue
        place = ObjectStoragePath(path).path
        for read in (place, unquote(place), unquote(unquote(place)), place.replace("\\", "/")):
            assert os.path.normpath(read).startswith(stored)
        assert place.endswith("/fox.mp4")


@given(DATA)
def test_no_path_is_an_exception_of_another_kind(data: str) -> None:
    for path in (data, f"s3://{data}", f"{data}://x"):
        try:
            checked_path(path)
        except InvalidInput as error:
            str(error).encode()


@pytest.mark.parametrize("path", ["/clips/../{{ ds }}.mp4", "s3://b/{{ ds }}/../x.mp4", "/{% if a %}a{% endif %}/../x"])
def test_a_templates_own_text_that_leads_upwards_is_refused_when_the_dag_is_parsed(path: str) -> None:
    with pytest.raises(InvalidInput, match="write the path out"):
        check_known_path(path)


@pytest.mark.parametrize("path", ["/{{ '../' }}x.mp4", "{{ var.value.folder }}/x.mp4", "s3://{{ a }}..{{ b }}/x"])
def test_what_a_template_brings_is_not_known_when_the_dag_is_parsed(path: str) -> None:
    check_known_path(path)
