"""A batch's manifest is written as a clip is saved, and in place of an earlier manifest only."""

from __future__ import annotations

import json
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import ObjectStoragePath

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.batch import manifest
from airflow_provider_pika.batch.item import Item
from airflow_provider_pika.fal.models import Video
from tests.support.airflow import event_of
from tests.support.batch import BatchTask, accepted
from tests.support.emulator import RunningEmulator
from tests.support.s3 import RunningS3
from tests.support.saving import names_in

SECRET = "root:x:0:0\n"
LINE = '{"index": 0, "state": "queued", "request_id": null}\n'


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "old.jsonl").write_text(LINE)
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "clips.jsonl"


STRANGE: dict[str, Callable[[Path], object]] = {
    "text": lambda path: path.write_text(SECRET),
    "other JSON": lambda path: path.write_text('{"index": 0, "state": "queued"}\n'),
    "a list": lambda path: path.write_text('["index", "state", "request_id"]\n'),
    "an empty line first": lambda path: path.write_text("\n" + LINE),
    "bytes": lambda path: path.write_bytes(b"\xff\xfe\0"),
    "a line without end": lambda path: path.write_text('{"index": "' + "x" * (2 << 20)),
    "JSON without a bottom": lambda path: path.write_text("[" * 100_000),
    "a folder": Path.mkdir,
    "a FIFO": os.mkfifo,
    "a link to a file": lambda path: path.symlink_to("../secret"),
    "a link to a manifest": lambda path: path.symlink_to("../old.jsonl"),
    "a link to nothing": lambda path: path.symlink_to("../new"),
    "a link to a device": lambda path: path.symlink_to("/dev/full"),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_no_manifest_stops_the_batch_before_a_submit_and_is_left_as_it_is(
    emulator: RunningEmulator, place: Path, kind: str
) -> None:
    STRANGE[kind](place)
    before = place.lstat()
    began = time.monotonic()
    with pytest.raises(AirflowFailException, match="submitted nothing") as raised:
        BatchTask("not mine", 2, manifest_path=str(place)).attempt()
    assert time.monotonic() - began < 5
    assert isinstance(raised.value.__cause__, errors.PathTaken)
    after = place.lstat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
    assert (place.parent.parent / "secret").read_text() == SECRET
    assert (place.parent.parent / "old.jsonl").read_text() == LINE
    assert names_in(place.parent) == ["clips.jsonl"]
    assert emulator.counts()["submit"]["received"] == 0


@pytest.mark.parametrize("content", [None, "", LINE, LINE * 3, LINE[:-1]])
def test_a_manifest_an_empty_file_or_none_is_replaced(
    emulator: RunningEmulator, place: Path, content: str | None
) -> None:
    if content is not None:
        place.write_text(content)
    brought = BatchTask("mine", 2, manifest_path=f"file://{place}").attempt()
    assert brought["manifest"] == f"file://{place}"
    lines = [json.loads(line) for line in place.read_text().splitlines()]
    assert [(line["index"], line["state"]) for line in lines] == [(0, "done"), (1, "done")]
    assert names_in(place.parent) == ["clips.jsonl"]


def test_a_reader_never_sees_half_a_manifest(place: Path) -> None:
    manifest.write(str(place), [manifest.line_of(0, Item())] * 3, "")
    before = place.read_bytes()

    def items() -> Iterator[dict[str, Any]]:
        yield manifest.line_of(0, Item())
        assert place.read_bytes() == before
        raise KeyboardInterrupt  # the worker is stopped

    with pytest.raises(KeyboardInterrupt):
        manifest.write(str(place), items(), "")
    assert place.read_bytes() == before
    assert names_in(place.parent) == ["clips.jsonl"]


def test_a_manifest_of_any_length_takes_no_memory(place: Path) -> None:
    video = Video(url="https://v3.fal.media/" + "x" * 5_000, request_id="r", endpoint="fal-ai/pika")
    manifest.write(str(place), [manifest.line_of(0, Item())], "")  # what is imported is
    tracemalloc.start()
    manifest.write(str(place), (manifest.line_of(n, Item(outcome=video)) for n in range(2_000)), "")
    manifest.write(str(place), (manifest.line_of(n, Item(outcome=video)) for n in range(2_000)), "")  # over its own
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert place.stat().st_size > 10_000_000
    assert peak < 5_000_000


@pytest.mark.parametrize(
    "path",
    ["out/clips.jsonl", "/out/../clips.jsonl", "s3://b/%2e%2e/x", "/out/{{ ds }}/../x", f"/{'x' * 256}", "/a\0b"],
)
def test_a_wrong_path_fails_when_the_dag_is_parsed(path: str) -> None:
    with pytest.raises(AirflowFailException, match="manifest_path="):
        BatchTask("wrong", 2, manifest_path=path).begin()


@pytest.mark.parametrize("said", ["../escaped", "%2e%2e/escaped", "{{ conn.pika_default.password }}", "a\nb", "\ud83d"])
def test_what_data_brings_into_the_path_is_checked_before_a_submit(
    emulator: RunningEmulator, place: Path, said: str
) -> None:
    task, more = BatchTask("data", 2, manifest_path=f"{place.parent}/{{{{ params.who }}}}.jsonl").begin()
    here = {**more, "task": task, "params": {"who": said}}
    task.render_template_fields(here)  # type: ignore[arg-type]
    with pytest.raises(AirflowFailException, match="manifest_path="):
        task.execute(here)  # type: ignore[arg-type]
    assert names_in(place.parent) == []
    assert emulator.counts()["submit"]["received"] == 0


def hinder(place: Path) -> None:
    place.unlink()
    place.mkdir()


def close(place: Path) -> None:
    place.unlink()
    place.parent.rmdir()
    place.parent.write_text("a file where the folder was")


@pytest.mark.parametrize(("meanwhile", "kind"), [(hinder, AirflowFailException), (close, errors.RecordUnavailable)])
def test_a_manifest_that_cannot_be_written_in_the_end_loses_no_clip_that_is_paid(
    emulator: RunningEmulator, place: Path, meanwhile: Callable[[Path], None], kind: type[Exception]
) -> None:
    task = BatchTask("paid", 2, manifest_path=str(place))
    operator, more, trigger = task.first_round()
    meanwhile(place)
    with pytest.raises(kind, match="pays for none of them again"):
        operator.execute_complete(more, event_of(trigger))  # type: ignore[arg-type]
    pushed = task.ti.xcoms["manifest"]
    assert (pushed["done"], pushed["manifest"]) == (2, None)
    assert all(clip["url"] for clip in pushed["clips"])
    place.rmdir() if place.is_dir() else place.parent.unlink()
    assert task.attempt()["done"] == 2
    assert len(place.read_text().splitlines()) == 2
    assert accepted(emulator) == 2


def test_how_the_clips_failed_is_not_hidden_by_a_manifest_that_cannot_be_written(
    emulator: RunningEmulator, place: Path
) -> None:
    emulator.fault("content_policy_violation", match="refused 00001", times=9)
    task = BatchTask("refused", 2, manifest_path=str(place))
    operator, more, trigger = task.first_round()
    hinder(place)
    with pytest.raises(AirflowFailException, match="1 of 2 clips failed"):
        operator.execute_complete(more, event_of(trigger))  # type: ignore[arg-type]
    assert task.ti.xcoms["manifest"]["manifest"] is None


@pytest.mark.parametrize("made", [Path, ObjectStoragePath])
@pytest.mark.parametrize("name", ["clips.jsonl", "x" * 255])
def test_a_path_object_is_the_path_of_a_manifest(
    emulator: RunningEmulator, tmp_path: Path, made: Callable[[Path], Any], name: str
) -> None:
    brought = BatchTask("object", 2, manifest_path=made(tmp_path) / name).attempt()
    assert brought["manifest"] == f"{tmp_path}/{name}"
    assert names_in(tmp_path) == [name]


@pytest.mark.parametrize("content", [None, b"", LINE.encode()])
def test_a_manifest_in_a_bucket_is_written_the_same_way(
    emulator: RunningEmulator, s3: RunningS3, content: bytes | None
) -> None:
    if content is not None:
        s3.client.put_object(Bucket="clips", Key="out/clips.jsonl", Body=content)
    BatchTask("bucket", 2, manifest_path="s3://clips_store@clips/out/clips.jsonl").attempt()
    lines = [json.loads(line) for line in s3.read("out/clips.jsonl").splitlines()]
    assert [line["state"] for line in lines] == ["done", "done"]
    assert s3.objects() == ["out/clips.jsonl"]


def test_a_strangers_object_in_a_bucket_is_left_as_it_is(emulator: RunningEmulator, s3: RunningS3) -> None:
    s3.client.put_object(Bucket="clips", Key="theirs.csv", Body=SECRET.encode())
    with pytest.raises(AirflowFailException, match="no manifest of a batch"):
        BatchTask("theirs", 2, manifest_path="s3://clips_store@clips/theirs.csv").attempt()
    assert s3.read("theirs.csv") == SECRET.encode()
    assert emulator.counts()["submit"]["received"] == 0


def test_a_bucket_that_is_not_there_stops_the_batch_before_a_submit(emulator: RunningEmulator, s3: RunningS3) -> None:
    with pytest.raises(errors.RecordUnavailable, match="submitted nothing"):
        BatchTask("nowhere", 2, manifest_path="s3://clips_store@no-such-bucket/clips.jsonl").attempt()
    assert emulator.counts()["submit"]["received"] == 0
