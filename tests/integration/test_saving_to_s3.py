"""Saving to a bucket, through Airflow's own connection and s3fs, at a real S3 server."""

from __future__ import annotations

import gc
import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from botocore.exceptions import ClientError

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.saving import disk
from airflow_provider_pika.saving.object_store import Place, writer_of
from tests.support.emulator import RunningEmulator
from tests.support.s3 import RunningS3
from tests.support.saving import SavingInstance, Video, generated, names_in, save, saver

pytestmark = pytest.mark.drawn


def test_a_video_lands_in_a_bucket_with_its_metadata_and_its_type(s3: RunningS3, video: Video) -> None:
    saved = save(video, "s3://clips/2026-11-24/fox.mp4", conn_id="clips_store")
    names = ["2026-11-24/fox.mp4", "2026-11-24/fox.mp4.jpg", "2026-11-24/fox.mp4.json"]
    assert s3.objects() == names
    assert s3.read(names[1])[:3] == b"\xff\xd8\xff"
    assert saved["poster"] == f"s3://clips/{names[1]}"
    content = s3.read("2026-11-24/fox.mp4")
    assert saved["sha256"] == hashlib.sha256(content).hexdigest()
    assert saved["path"] == "s3://clips/2026-11-24/fox.mp4"
    assert json.loads(s3.read("2026-11-24/fox.mp4.json"))["request_id"] == video["request_id"]
    types = [s3.client.head_object(Bucket="clips", Key=key)["ContentType"] for key in s3.objects()]
    assert types == ["video/mp4", "image/jpeg", "application/json"]


def test_the_connection_may_stand_in_the_path(s3: RunningS3, video: Video) -> None:
    save(video, "s3://clips_store@clips/fox.mp4")
    assert s3.objects() == ["fox.mp4", "fox.mp4.jpg", "fox.mp4.json"]


def test_done_twice_is_done_once_in_a_bucket_too(s3: RunningS3, video: Video, emulator: RunningEmulator) -> None:
    first = save(video, "s3://clips/fox.mp4", conn_id="clips_store")
    emulator.reset_file_requests()
    assert save(video, "s3://clips/fox.mp4", conn_id="clips_store") == first
    assert emulator.file_requests() == []


def test_another_request_at_the_same_key_is_refused(s3: RunningS3, video: Video) -> None:
    save(video, "s3://clips/fox.mp4", conn_id="clips_store")
    before = s3.read("fox.mp4")
    other, _ = generated("an owl")
    with pytest.raises(AirflowFailException, match="holds the video of request"):
        save(other, "s3://clips/fox.mp4", conn_id="clips_store")
    assert s3.read("fox.mp4") == before
    save(other, "s3://clips/fox.mp4", conn_id="clips_store", overwrite=True)
    assert s3.read("fox.mp4") != before


def test_a_large_file_is_uploaded_in_parts_and_whole_when_it_shows(s3: RunningS3, emulator: RunningEmulator) -> None:
    large, _ = generated("a whale [[large_file bytes=70000000]]")
    save(large, "s3://clips/whale.mp4", conn_id="clips_store")
    head = s3.client.head_object(Bucket="clips", Key="whale.mp4")
    assert head["ContentLength"] == 70_000_000
    assert head["ETag"].endswith('-5"')  # parts
    assert s3.uploads() == 0


def test_a_file_that_fails_its_checks_leaves_nothing_in_the_bucket(s3: RunningS3, emulator: RunningEmulator) -> None:
    broken, _ = generated("a fox [[broken_file]]")
    with pytest.raises(AirflowFailException):
        save(broken, "s3://clips/fox.mp4", conn_id="clips_store")
    assert s3.objects() == []


def test_a_store_that_refuses_fails_so_that_a_retry_can_help(s3: RunningS3, video: Video) -> None:
    with pytest.raises(errors.StorageFailed, match="bucket does not exist"):
        save(video, "s3://no-such-bucket/fox.mp4", conn_id="clips_store")


@pytest.mark.parametrize("after", [1, 3], ids=lambda after: f"at part {after}")
def test_an_upload_that_breaks_in_the_middle_shows_nothing_and_leaves_no_parts(
    s3: RunningS3, emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    from s3fs.core import S3File

    large, _ = generated("a whale [[large_file bytes=70000000]]")
    upload, calls = S3File._upload_chunk, []

    def breaking(file: S3File, final: bool = False) -> object:
        calls.append(final)
        if len(calls) == after:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no more"}}, "UploadPart")
        return upload(file, final)

    monkeypatch.setattr(S3File, "_upload_chunk", breaking)
    with pytest.raises(errors.StorageFailed, match="AccessDenied"):
        save(large, "s3://clips/whale.mp4", conn_id="clips_store")
    gc.collect()  # an fsspec file that is collected publishes what it has, unless it is told not to
    assert s3.objects() == []
    assert s3.uploads() == 0


def test_a_scheme_that_airflow_does_not_know_is_a_storage_failure(video: Video) -> None:
    with pytest.raises(errors.StorageFailed, match="cannot be used"):
        save(video, "nosuchscheme://clips/fox.mp4")


def test_a_store_of_any_other_kind_gets_the_file_under_another_name_first(
    video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.io import attach
    from fsspec.implementations.local import LocalFileSystem

    name = f"{'x' * 246}.mp4"  # the longest whose metadata has a name
    moved: list[tuple[str, str, int]] = []

    class Drive(LocalFileSystem):  # type: ignore[misc]
        """A store that shows a file while it is written: another disk, by way of fsspec."""

        protocol = "memory"
        cachable = False

        def mv(self, path1: str, path2: str, **options: object) -> None:
            moved.append((Path(path1).name, Path(path2).name, Path(path1).stat().st_size))
            super().mv(path1, path2, **options)

    attach("memory", fs=Drive())
    task = saver(video, f"memory://{tmp_path}/{name}")
    here: Any = {"ti": SavingInstance(), "outlet_events": {}}
    left, others = (
        tmp_path / disk.hidden_name(name, f"-{disk.tag(writer)}.0123.part")
        for writer in (writer_of(here["ti"]), "another task")
    )
    left.write_bytes(b"what a dead attempt left")
    others.write_bytes(b"what another task may be writing")
    task.execute(here)
    (part, final, size), (_, poster, _), (_, sidecar, _) = moved
    assert part.startswith(".pika-")
    assert (final, poster, sidecar) == (name, f"{name}.jpg", f"{name}.json")
    assert size == video["file_size"]
    assert names_in(tmp_path) == sorted([others.name, name, f"{name}.jpg", f"{name}.json"])


def test_a_store_that_does_not_move_onto_a_file_and_does_not_say_so_is_seen_through(
    video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.io import attach
    from fsspec.implementations.local import LocalFileSystem

    class Reluctant(LocalFileSystem):  # type: ignore[misc]
        protocol = "reluctant"
        cachable = False

        def mv(self, path1: str, path2: str, **options: object) -> None:
            if not Path(path2).exists():
                super().mv(path1, path2, **options)

    monkeypatch.setattr("airflow_provider_pika.saving.object_store.DISK", ("",))
    attach("local", fs=Reluctant())
    first = save(video, f"local://{tmp_path}/fox.mp4")
    other, _ = generated("an owl")
    second = save(other, f"local://{tmp_path}/fox.mp4", overwrite=True)
    assert hashlib.sha256((tmp_path / "fox.mp4").read_bytes()).hexdigest() == second["sha256"] != first["sha256"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fox.mp4", "fox.mp4.jpg", "fox.mp4.json"]
    with pytest.raises(AirflowFailException, match="pattern"):
        save(other, f"local://{tmp_path}/owl[1].mp4")


@pytest.mark.parametrize("key", ["a#b.mp4", "a?b.mp4", "a b/[1]*.mp4"])
def test_a_key_with_signs_that_mean_something_elsewhere_is_a_key(s3: RunningS3, video: Video, key: str) -> None:
    save(video, f"s3://clips/{key}", conn_id="clips_store")
    assert s3.objects() == [key, f"{key}.jpg", f"{key}.json"]
    place = Place(f"s3://clips/{key}", "clips_store")
    assert (place.name, place.uri) == (key, f"s3://clips/{quote(key, safe='/*')}")


@pytest.mark.parametrize("key", ["x" * 1019, f"clips/{'é' * 500}.mp4", "x" * 1000 + ".mp4"], ids=lambda key: key[:7])
def test_a_key_of_any_length_that_s3_takes_is_a_key(s3: RunningS3, video: Video, key: str) -> None:
    save(video, f"s3://clips_store@clips/{key}")
    assert s3.objects() == [key, f"{key}.jpg", f"{key}.json"]


def test_a_key_that_s3_does_not_take_is_refused_before_anything_is_fetched(
    s3: RunningS3, video: Video, emulator: RunningEmulator
) -> None:
    with pytest.raises(AirflowFailException, match="longer than 1019 bytes"):
        save(video, f"s3://clips/{'x' * 1020}", conn_id="clips_store")
    assert emulator.file_requests() == []
