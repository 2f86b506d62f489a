from __future__ import annotations

import os
import re
import warnings
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from airflow.sdk import Asset, ObjectStoragePath
from hypothesis import example, given, settings
from hypothesis import strategies as st
from upath import UPath

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.task.paths import (
    MOST_BYTES,
    SIDECAR,
    as_text,
    check_alias_uri,
    check_known_path,
    checked_path,
    uri_of,
)

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
        (f"/clips/{'x' * 250}", SIDECAR, True),
        (f"/clips/{'x' * 251}", SIDECAR, False),
        (f"/clips/{'x' * 255}", "", True),
        (f"/clips/{'é' * 128}", "", False),
        (f"/{'x' * 255}/fox.mp4", SIDECAR, True),
        (f"/{'x' * 256}/fox.mp4", SIDECAR, False),
        (f"file:///clips/{'x' * 256}", "", False),
        (f"s3://b/{'x' * 300}.mp4", SIDECAR, True),  # a key has no folders
        (f"s3://conn@bucket/{'x' * (MOST_BYTES - 5)}", SIDECAR, True),  # nor does its bucket count
        (f"s3://conn@bucket/{'x' * (MOST_BYTES - 4)}", SIDECAR, False),
        (f"gs://b/{'é' * 512}", "", True),
        (f"gs://b/{'é' * 512}x", "", False),
        (f"s3://{'b' * 2000}/x", "", False),
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


TOO_LONG = [
    (f"/clips/{{{{ ds }}}}{'x' * 251}", "its file name is longer than 250"),
    (f"/clips/{{{{ ds }}}}/{'x' * 247}.mp4", "its file name is longer than 250"),
    (f"/{'x' * 256}/{{{{ ds }}}}.mp4", "longer than 255"),
    (f"/{{{{ ds }}}}{'x' * 256}{{{{ ds }}}}/fox.mp4", "longer than 255"),
    (f"s3://b/{{{{ ds }}}}{'x/' * 600}fox.mp4", "its key is longer than 1019"),
    (f"/{{{{ ds }}}}{'x/' * 600}fox.mp4", "longer than 1019"),
]


@pytest.mark.parametrize(("path", "words"), TOO_LONG, ids=lambda value: value[:20])
def test_a_templates_own_text_that_is_too_long_already_is_refused_when_the_dag_is_parsed(path: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        check_known_path(path, suffix=SIDECAR)


@pytest.mark.parametrize(
    "path",
    [
        f"/clips/{'x' * 200}{{{{ '/' }}}}{'x' * 200}.mp4",
        f"/clips/{{% if params.long %}}{'x' * 300}{{% endif %}}.mp4",
        f"s3://b/{{{{ ds }}}}{'x' * 1000}",
        f"/clips/{'x' * 254}{{{{ '/fox.mp4' }}}}",
    ],
    ids=lambda value: value[:20],
)
def test_a_template_that_may_come_out_short_enough_is_not_refused(path: str) -> None:
    check_known_path(path, suffix=SIDECAR)


def test_half_a_character_in_a_template_is_refused_in_words_that_can_be_written() -> None:
    with pytest.raises(InvalidInput, match="half a character") as raised:
        check_known_path("/clips/\ud83d{{ ds }}.mp4")
    str(raised.value).encode()


PATH_OBJECTS = [
    (lambda: ObjectStoragePath("s3://clips") / "{{ run_id }}.mp4", "s3://clips/{{ run_id }}.mp4"),
    (lambda: ObjectStoragePath("s3://conn@clips") / "{{ run_id }}.mp4", "s3://conn@clips/{{ run_id }}.mp4"),
    (lambda: ObjectStoragePath("s3://clips/a", conn_id="conn") / "b.mp4", "s3://conn@clips/a/b.mp4"),
    (lambda: ObjectStoragePath("file:///clips") / "{{ run_id }}.mp4", "file:///clips/{{ run_id }}.mp4"),
    (lambda: ObjectStoragePath("/clips") / "fox.mp4", "/clips/fox.mp4"),
    (lambda: UPath("gs://clips") / "fox.mp4", "gs://clips/fox.mp4"),
    (lambda: UPath("/clips") / "fox.mp4", "/clips/fox.mp4"),
    (lambda: Path("/clips") / "{{ run_id }}.mp4", "/clips/{{ run_id }}.mp4"),
    (lambda: PurePosixPath("/clips/fox.mp4"), "/clips/fox.mp4"),
    (lambda: InBytes(), "/clips/zaż.mp4"),
]


class InBytes(os.PathLike[bytes]):
    def __fspath__(self) -> bytes:
        return "/clips/zaż.mp4".encode()


@pytest.mark.parametrize(("made", "text"), PATH_OBJECTS, ids=lambda value: value if isinstance(value, str) else "from")
def test_a_path_object_is_the_text_that_it_stands_for_with_its_connection(made: Any, text: str) -> None:
    assert as_text(made()) == text
    check_known_path(made())
    if "{{" not in text:
        assert checked_path(made()) == text


@pytest.mark.parametrize("path", [Path("clips/fox.mp4"), Path("s3://clips/fox.mp4"), Path("/"), Path("/clips/../x")])
def test_a_path_object_is_checked_as_its_text_is(path: Path) -> None:
    with pytest.raises(InvalidInput, match="path="):
        check_known_path(path)
    with pytest.raises(InvalidInput, match="path="):
        checked_path(path)


def test_storage_options_which_no_text_can_carry_are_refused_without_their_values() -> None:
    path = ObjectStoragePath("s3://clips/fox.mp4", secret="hush", endpoint_url="http://x")
    with pytest.raises(InvalidInput, match=r"endpoint_url, secret.*connection") as raised:
        check_known_path(path)
    assert "hush" not in str(raised.value)


BRACES = ["{ds}", "{ ds }", "{ dag_run.run_after | ds }", "{}", "{ti.task_id}", "{index}"]


@pytest.mark.parametrize("braces", BRACES)
@pytest.mark.parametrize(
    "path", ["/clips/%s.mp4", "s3://clips/{{ run_id }}/%s.mp4", "s3://clips/{%% if a %%}%s{%% endif %%}.mp4"]
)
@pytest.mark.parametrize("name", ["path", "manifest_path"])
def test_a_template_with_single_braces_warns(path: str, braces: str, name: str) -> None:
    with pytest.warns(UserWarning, match=re.escape(braces)) as warned:
        check_known_path(path % braces, name)
    assert str(warned[0].message).startswith(f"{name}=")


@pytest.mark.parametrize(
    "path",
    [
        "/clips/{{ ds }}.mp4",
        "/clips/{{ params['a'] }}{% if a %}x{% endif %}{# {ds} #}.mp4",
        "/clips/{{ {'a': 1}['a'] }}.mp4",
        "/clips/fox.mp4",
        "/clips/{index:05d}/{name}.mp4",
        "/clips/{ index }{name!r}.mp4",
    ],
)
def test_what_is_filled_in_does_not_warn(path: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_known_path(path, fields=("index", "name"))


def test_braces_of_a_dags_own_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_known_path("/clips/${ds}.mp4", is_template=lambda text: "${" in text)


@pytest.mark.parametrize(
    "name", ["zażółć.mp4", "a#b?c.mp4", "100%.mp4", "a b[1].mp4", "x\\y|z.mp4", "é" * 500, "a=1,b:2+3@~.mp4"]
)
@pytest.mark.parametrize("namespace", ["s3://clips", "file", "sftp://host:22", "abfs://clips"])
def test_a_uri_is_one_that_airflow_keeps_whole_and_leads_back_to_the_name(namespace: str, name: str) -> None:
    uri = uri_of(namespace, f"/clips/{name}" if namespace == "file" else name)
    assert uri.isascii()
    parts = urlsplit(uri)
    assert (parts.query, parts.fragment) == ("", "")
    assert unquote(parts.path).endswith(f"/{name}")
    if len(uri) <= 1500:
        assert Asset(uri=uri).uri.rstrip("/") == uri


def test_a_plain_uri_stays_as_it_was() -> None:
    assert uri_of("s3://clips", "manual__2026-11-24T00:00:00+00:00/fox.mp4") == (
        "s3://clips/manual__2026-11-24T00:00:00+00:00/fox.mp4"
    )


def test_a_path_whose_uri_airflow_does_not_take_is_refused_for_an_alias() -> None:
    check_alias_uri(f"s3://clips/{'é' * 240}")
    with pytest.raises(InvalidInput, match="AssetAlias"):
        check_alias_uri(f"s3://clips/{'é' * 260}")
