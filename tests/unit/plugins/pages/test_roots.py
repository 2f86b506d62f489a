from __future__ import annotations

import pytest

from airflow_provider_pika.plugins.pages.roots import Roots

ROOTS = Roots.read("s3://clips, s3://store@movies/final/,\n/data/clips\nfile:///srv/films, gs://clips/a")


@pytest.mark.parametrize(
    ("path", "conn_id", "url"),
    [
        ("s3://clips/fox.mp4", None, "s3://clips/fox.mp4"),
        ("s3://clips/2026/11/fox.mp4", "", "s3://clips/2026/11/fox.mp4"),
        ("s3://store@movies/final/fox.mp4", None, "s3://store@movies/final/fox.mp4"),
        ("s3://movies/final/fox.mp4", "store", "s3://store@movies/final/fox.mp4"),
        ("s3://other@movies/final/fox.mp4", "store", "s3://store@movies/final/fox.mp4"),  # the task's counts first
        ("/data/clips/fox.mp4", None, "/data/clips/fox.mp4"),
        ("file:///data/clips/a/fox.mp4", None, "/data/clips/a/fox.mp4"),
        ("/data//clips/fox.mp4", "any", "/data/clips/fox.mp4"),
        ("/srv/films/50% off.mp4", None, "/srv/films/50% off.mp4"),
        ("gs://clips/a/b.mp4", None, "gs://clips/a/b.mp4"),
    ],
)
def test_a_file_under_a_root_is_found(path: str, conn_id: str | None, url: str) -> None:
    found = ROOTS.find(path, conn_id)
    assert found is not None
    assert found[1].url == url


@pytest.mark.parametrize(
    ("path", "conn_id"),
    [
        # siblings whose names begin alike
        ("s3://clips-private/fox.mp4", None),
        ("s3://clips.private/fox.mp4", None),
        ("/data/clips-private/fox.mp4", None),
        ("s3://store@movies/final-cut/fox.mp4", None),
        ("gs://clips/ab.mp4", None),
        # the root itself, or above it
        ("s3://clips", None),
        ("s3://clips/", None),
        ("/data/clips", None),
        ("/data/clips/", None),
        ("s3://store@movies/fox.mp4", None),
        ("/data/fox.mp4", None),
        ("/etc/passwd", None),
        # upwards, in any spelling
        ("/data/clips/../secret.mp4", None),
        ("/data/clips/a/../../secret.mp4", None),
        ("/data/clips/./../secret.mp4", None),
        ("/data/clips/%2e%2e/secret.mp4", None),
        ("s3://clips/../clips-private/fox.mp4", None),
        ("s3://clips/%2E%2E/fox.mp4", None),
        ("s3://clips/a/./fox.mp4", None),
        ("s3://clips//fox.mp4", None),
        ("file:///data/clips/..\\..\\secret.mp4", None),
        # another scheme, bucket or connection
        ("s3a://clips/fox.mp4", None),
        ("S3://clips/fox.mp4", None),
        ("http://clips/fox.mp4", None),
        ("https://clips/fox.mp4", None),
        ("gs://clips/fox.mp4", None),
        ("s3://admin@clips/fox.mp4", None),
        ("s3://clips/fox.mp4", "admin"),
        ("s3://movies/final/fox.mp4", None),
        ("s3://store@movies/final/fox.mp4", "admin"),
        ("s3://clips@evil/fox.mp4", None),
        ("s3://a@b@clips/fox.mp4", None),
        ("s3://@clips/fox.mp4", None),
        ("s3://CLIPS/fox.mp4", None),
        # what a store's library could read in another way
        ("s3://clips/fox.mp4?versionId=1", None),
        ("s3://clips/fox.mp4#x", None),
        ("simplecache::s3://clips/fox.mp4", None),
        ("s3://clips/x::file:///etc/passwd", None),
        ("file://host/data/clips/fox.mp4", None),
        ("data/clips/fox.mp4", None),
        ("/data/clips/fox\0.mp4", None),
        ("s3://clips/fox\n.mp4", None),
        ("", None),
        ("s3://", None),
        ("s3:///fox.mp4", None),
    ],
)
def test_a_file_under_no_root_is_not_found(path: str, conn_id: str | None) -> None:
    assert ROOTS.find(path, conn_id) is None


@pytest.mark.parametrize(
    "text",
    ["data/clips", "/", "file:///", "s3://", "s3:///x", "s3://a/../b", "/data/../etc", "C:\\clips", "S3://clips"],
)
def test_what_is_no_folder_to_show_is_refused_and_told(text: str) -> None:
    roots = Roots.read(f"{text}, /data/clips")
    assert roots.refused == (text,)
    assert [root.url for root in roots.spots] == ["/data/clips"]


@pytest.mark.parametrize("text", ["", " ", ",", "\n , \n"])
def test_without_roots_nothing_is_found(text: str) -> None:
    roots = Roots.read(text)
    assert not roots
    assert roots.find("/data/clips/fox.mp4") is None
