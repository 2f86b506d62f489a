"""Where the clips of a batch are saved: no two in one place, none out of its folder, and it is known at once."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.saving.clip_paths import ClipPaths, check_known_paths

REQUEST_ID = "019e1951-c778-7120-9c82-16efcf40ec82"


def line(index: int = 7, **more: Any) -> dict[str, Any]:
    return {"index": index, "request_id": REQUEST_ID, "name": "kettle", "seed": 42, **more}


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("/clips/{index}.mp4", "/clips/7.mp4"),
        ("/clips/{index:05d}.mp4", "/clips/00007.mp4"),
        ("s3://clips/2026/{name}-{seed:x}.mp4", "s3://clips/2026/kettle-2a.mp4"),
        ("s3://conn@clips/{request_id}.mp4", f"s3://conn@clips/{REQUEST_ID}.mp4"),
        ("/clips/{name:.3}/{index}.mp4", "/clips/ket/7.mp4"),
        ("  file:///clips/{index}.mp4 ", "file:///clips/7.mp4"),
    ],
)
def test_a_path_is_filled_for_each_clip(template: str, path: str) -> None:
    assert ClipPaths(template).of(line()) == path


REFUSED = {
    "no field": "/clips/fox.mp4",
    "another field": "/clips/{ds}.mp4",
    "no name": "/clips/{}.mp4",
    "a place": "/clips/{0}.mp4",
    "an attribute": "/clips/{name.__class__}.mp4",
    "an index": "/clips/{name[0]}.mp4",
    "a conversion": "/clips/{name!r}.mp4",
    "a field in a format": "/clips/{index:{name}}.mp4",
    "a format of texts for a number": "/clips/{index:s}.mp4",
    "a format of numbers for a text": "/clips/{name:05d}.mp4",
    "a format without end": "/clips/{index:099999999d}.mp4",
    "an open bracket": "/clips/{index.mp4",
    "a closing bracket": "/clips/index}.mp4",
    "the bucket": "s3://{name}/x.mp4",
    "a part of the bucket": "s3://clips-{index}/x.mp4",
    "the scheme": "{name}://clips/x.mp4",
}


@pytest.mark.parametrize("template", REFUSED.values(), ids=REFUSED)
def test_a_template_that_cannot_be_is_refused_when_the_dag_is_parsed_and_when_it_runs(template: str) -> None:
    for refusing in (check_known_paths, ClipPaths):
        with pytest.raises(InvalidInput, match="path="):
            refusing(template)


@pytest.mark.parametrize("spec", ["c", "e", "%", ".3f"])
def test_a_number_too_large_for_its_format_is_refused_in_words(spec: str) -> None:
    with pytest.raises(InvalidInput, match="the format"):
        ClipPaths(f"/clips/{{seed:{spec}}}.mp4").of(line(seed=10**400))


@pytest.mark.parametrize("template", ["clips/{index}.mp4", "/clips/../{index}.mp4", "/clips/{index}/", "/c/\0{index}"])
def test_a_path_that_no_store_can_hold_is_refused_when_the_dag_is_parsed(template: str) -> None:
    with pytest.raises(InvalidInput, match="path="):
        check_known_paths(template)


@pytest.mark.parametrize("template", ["/clips/{{ run_id }}/{ds}.mp4", "/clips/{{ run_id }}/{index!r}.mp4"])
def test_a_wrong_field_beside_jinjas_expressions_is_refused_when_the_dag_is_parsed(template: str) -> None:
    with pytest.raises(InvalidInput, match=r"it takes|and takes"):
        check_known_paths(template)


@pytest.mark.parametrize(
    "template",
    ["/clips/{{ run_id }}/{index:05d}.mp4", "{{ params.path }}", "/c/{% if x %}{index}{% endif %}/{# {ds} #}{seed}"],
)
def test_jinjas_own_brackets_are_no_fields(template: str) -> None:
    check_known_paths(template)


@pytest.mark.parametrize("field", ["name", "seed", "request_id"])
@pytest.mark.parametrize("value", [None, "", "../x", "..", "a/b", "a\\b", "%2e%2e%2fx", "a\0b", "\ud83d", True, ["x"]])
def test_a_clip_that_lacks_what_the_path_takes_is_refused(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match="Clip 7 has ") as raised:
        ClipPaths(f"/clips/{{{field}}}.mp4").of(line(**{field: value}))
    assert "No clip is lost" in str(raised.value)


@pytest.mark.parametrize("name", ["n" * 251, "ż" * 125])
def test_a_name_that_a_disk_cannot_hold_with_its_metadata_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="path="):
        ClipPaths("/clips/{name}.mp4").of(line(name=name))


COLLIDING: dict[str, tuple[str, list[str]]] = {
    "the same": ("s3://clips/{name}.mp4", ["a", "a"]),
    "the metadata of one": ("s3://clips/{name}", ["a.mp4", "a.mp4.json"]),
    "the metadata of one, which comes later": ("s3://clips/{name}", ["a.mp4.json", "a.mp4"]),
    "case on a disk": ("/clips/{name}.mp4", ["Fox", "fOX"]),
    "accents on a disk": ("/clips/{name}.mp4", ["\u017c", "z\u0307"]),
    "cut names": ("/clips/{name:.2}.mp4", ["kettle", "kelp"]),
}


@pytest.mark.parametrize(("template", "names"), COLLIDING.values(), ids=COLLIDING)
def test_two_clips_of_one_path_are_refused(template: str, names: list[str]) -> None:
    paths = ClipPaths(template)
    paths.of(line(1, name=names[0]))
    with pytest.raises(InvalidInput, match=r"clip 2, .*another clip"):
        paths.of(line(2, name=names[1]))


def test_a_bucket_tells_case_apart() -> None:
    paths = ClipPaths("s3://clips/{name}.mp4")
    assert [paths.of(line(name=name)) for name in ("Fox", "fox")] == ["s3://clips/Fox.mp4", "s3://clips/fox.mp4"]


@pytest.mark.parametrize(
    ("template", "manifest"),
    [("/clips/{name}", "file:///clips/all.jsonl"), ("s3://clips/{name}", "s3://conn@clips/all.jsonl")],
)
def test_a_clip_is_not_saved_in_the_place_of_the_manifest(template: str, manifest: str) -> None:
    paths = ClipPaths(template)
    paths.reserve(manifest)
    with pytest.raises(InvalidInput, match="another clip"):
        paths.of(line(name="all.jsonl"))


@pytest.mark.parametrize(
    ("template", "folder"),
    [("/{name}.mp4", "/"), ("s3://b/{index}/x.mp4", "s3://b/"), ("file:///a/b{index}", "file:///a/")],
)
def test_the_folder_is_what_all_paths_begin_with(template: str, folder: str) -> None:
    assert ClipPaths(template).folder == folder
