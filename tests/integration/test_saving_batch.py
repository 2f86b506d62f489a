"""All clips of a batch, saved in one task: each once, whole and verified, whatever fails or dies in the middle."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout
from airflow.sdk import Asset, AssetAlias

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.media import http_range
from airflow_provider_pika.operators.batch import read_manifest
from airflow_provider_pika.saving import batch as saving_batch
from airflow_provider_pika.saving import lookup
from airflow_provider_pika.transfers.batch_to_object_storage import PikaBatchToObjectStorageOperator
from tests.integration.conftest import KEY, connect
from tests.support.batch import BatchTask
from tests.support.emulator import RunningEmulator
from tests.support.s3 import RunningS3
from tests.support.saving import SavingInstance, metadata_beside, names_in
from tests.support.sizes import size
from tests.support.waiting import until

SIZE = size(110, 200)  # above 100, a batch returns no lines

Batch = dict[str, Any]


@pytest.fixture(scope="module")
def generated(shared_quick_emulator: RunningEmulator, tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """A batch with a manifest; of its clips, number 3 was refused."""
    manifest = tmp_path_factory.mktemp("batch") / "batch.jsonl"
    items = [{"prompt": f"saved {n:03d}", "seed": n, "name": f"sku-{n:03d}"} for n in range(SIZE)]
    items[3]["prompt"] = "saved 003 [[content_policy_violation]]"
    with pytest.MonkeyPatch.context() as patch:
        connect(patch, shared_quick_emulator.queue_url)
        task = BatchTask("saved", 1, inputs=items, max_in_flight=SIZE, fail_on=0.5, manifest_path=str(manifest))
        batch: Batch = task.attempt()
    assert (batch["done"], batch["clips"]) == (SIZE - 1, None)
    return batch


@pytest.fixture
def batch(generated: Batch, quick_emulator: RunningEmulator) -> Batch:
    quick_emulator.reset_file_requests()
    return generated


@pytest.fixture
def few(batch: Batch) -> Batch:
    """Ten of its lines, as a small batch returns them."""
    lines = list(read_manifest(batch["manifest"]))[:10]
    return {"total": 10, "done": 9, "failed": 1, "clips": lines, "manifest": None}


@pytest.fixture(autouse=True)
def quick_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_range, "PAUSES", tuple(seconds / 100 for seconds in http_range.PAUSES))


def saver(batch: Any, path: str, **arguments: Any) -> PikaBatchToObjectStorageOperator:
    options = {"must_fit": False, **arguments}  # the emulator has drawn none of them
    return PikaBatchToObjectStorageOperator(task_id="save", batch=batch, path=path, **options)


def save(batch: Any, path: str, here: Any = None, **arguments: Any) -> dict[str, Any]:
    return saver(batch, path, **arguments).execute(context(**(here or {})))


def context(**more: Any) -> Any:
    return {"ti": SavingInstance(), "outlet_events": {}, **more}


def fails(batch: Any, path: str, **arguments: Any) -> tuple[errors.PikaError, dict[str, Any]]:
    """Save; give the error, and what was pushed."""
    ti = SavingInstance()
    with pytest.raises((AirflowFailException, errors.PikaError)) as raised:
        save(batch, path, {"ti": ti}, **arguments)
    error = raised.value
    cause = error.__cause__ if isinstance(error, AirflowFailException) else error
    assert isinstance(cause, errors.PikaError)
    return cause, ti.xcoms


def fetched(emulator: RunningEmulator) -> Counter[str]:
    """Return how often each file was asked for."""
    return Counter(request["path"] for request in emulator.file_requests() if request["status"] in (200, 206))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_clip_of_a_large_batch_is_saved_and_hashed_and_stands_in_the_manifest_in_order(
    batch: Batch, quick_emulator: RunningEmulator, tmp_path: Path
) -> None:
    quick_emulator.reset_counts()
    saved = save(batch, f"{tmp_path}/{{index:05d}}.mp4")
    assert not quick_emulator.counts()["result"]  # its lines have what fal charges for
    counts = {"total": SIZE, "saved": SIZE - 1, "failed": 1, "unsaved": 0}
    assert {name: saved[name] for name in counts} == counts
    assert saved["clips"] is None
    lines = list(read_manifest(saved["manifest"]))
    assert [line["index"] for line in lines] == list(range(SIZE))
    for n, line in enumerate(lines):
        if n == 3:
            assert (line["state"], line["path"], line["error_type"]) == ("failed", None, "content_policy_violation")
            assert "content checker" in line["error"]
            continue
        path = Path(line["path"])
        assert (path.name, line["state"]) == (f"{n:05d}.mp4", "saved")
        assert (line["sha256"], line["bytes"]) == (sha256(path), path.stat().st_size)
        assert (line["seed"], line["name"], line["prompt"]) == (n, f"sku-{n:03d}", f"saved {n:03d}")
        assert line["seconds"] > 0
        assert line["error"] is line["error_type"] is None
    assert saved["bytes"] == sum(line["bytes"] or 0 for line in lines)
    assert len(names_in(tmp_path)) == 3 * (SIZE - 1) + 1
    assert Path(saved["manifest"]).parent == tmp_path
    metadata = metadata_beside(tmp_path / "00007.mp4")
    assert (metadata["prompt"], metadata["task_id"], metadata["sha256"]) == ("saved 007", "save", lines[7]["sha256"])
    assert metadata["billable_units"] > 0
    assert metadata["completed_at"] is not None
    assert set(fetched(quick_emulator).values()) == {1}


def test_a_retry_and_a_clear_fetch_nothing_that_is_there(
    batch: Batch, quick_emulator: RunningEmulator, tmp_path: Path
) -> None:
    first = save(batch, f"{tmp_path}/{{name}}.mp4")
    lines = Path(first["manifest"]).read_text()
    gone = [tmp_path / "sku-010.mp4", tmp_path / "sku-011.mp4"]
    for path in gone:
        path.unlink()
    Path(f"{gone[0]}.json").unlink()
    quick_emulator.reset_file_requests()
    assert save(batch, f"{tmp_path}/{{name}}.mp4") == first
    assert Path(first["manifest"]).read_text() == lines
    assert sum(fetched(quick_emulator).values()) == 2
    assert all(path.exists() for path in gone)


def test_a_faulty_host_costs_only_the_clips_that_it_has_lost(
    batch: Batch, quick_emulator: RunningEmulator, tmp_path: Path, capsys: Any, caplog: Any
) -> None:
    lost = {10, 50, 90}
    for n in lost:
        quick_emulator.fault("http_404", on="file", match=f"saved {n:03d}", times=99)
    for n in range(20, 40):
        quick_emulator.fault("reset_midway", bytes=1000 * (n - 19), match=f"saved {n:03d}", times=2)
    for n in range(60, 70):
        quick_emulator.fault("http_503", on="file", match=f"saved {n:03d}", times=2)
    for n in range(70, 80):
        quick_emulator.fault("stall_midway", bytes=500, seconds=60, match=f"saved {n:03d}", times=1)
    saved = save(batch, f"{tmp_path}/{{index}}.mp4", fail_on=0.05, stall_timeout=0.5)
    assert (saved["saved"], saved["unsaved"], saved["failed"]) == (SIZE - 1 - len(lost), len(lost), len(lost) + 1)
    lines = list(read_manifest(saved["manifest"]))
    assert {line["index"] for line in lines if line["error_type"] == "VideoExpired"} == lost
    assert all(line["state"] == "saved" for line in lines if line["index"] not in lost | {3})
    assert all(sha256(Path(line["path"])) == line["sha256"] for line in lines if line["state"] == "saved")
    assert not [name for name in names_in(tmp_path) if name.startswith(".")]
    said = capsys.readouterr().out or caplog.text
    warned = [line for line in said.splitlines() if "is not saved: The host has no such file" in line]
    assert len(warned) == len(lost)
    assert all(lines[n]["request_id"] in "".join(warned) for n in lost)
    quick_emulator.clear_faults()
    quick_emulator.reset_file_requests()
    assert save(batch, f"{tmp_path}/{{index}}.mp4")["unsaved"] == 0
    assert sum(fetched(quick_emulator).values()) == len(lost)


@pytest.mark.parametrize(("fault", "kind"), [("http_404", errors.SavingFailed), ("http_503", errors.SavingIncomplete)])
def test_a_clip_that_cannot_be_saved_fails_the_task_in_the_end_and_stops_no_other(
    few: Batch, quick_emulator: RunningEmulator, tmp_path: Path, fault: str, kind: type[errors.PikaError]
) -> None:
    quick_emulator.fault(fault, on="file", match="saved 005", times=99)
    error, xcoms = fails(few, f"{tmp_path}/{{index}}.mp4")
    assert type(error) is kind
    assert "1 of 9 clips could not be saved: Clip 5 (sku-005): The host" in error.message
    pushed = xcoms["manifest"]
    assert (pushed["saved"], pushed["unsaved"], pushed["manifest"]) == (8, 1, None)
    assert [line["state"] for line in pushed["clips"]] == ["saved"] * 3 + ["failed", "saved", "failed"] + ["saved"] * 4
    assert pushed["clips"][5]["path"] == f"{tmp_path}/5.mp4"
    quick_emulator.clear_faults()
    assert save(few, f"{tmp_path}/{{index}}.mp4")["saved"] == 9


def test_clips_that_failed_at_fal_do_not_count_for_fail_on(few: Batch, tmp_path: Path) -> None:
    failed = [{**line, "state": "failed", "url": None, "error": "no"} for line in few["clips"]]
    saved = save(
        {**few, "clips": [*failed[:9], {**few["clips"][9], "state": "in flight"}]}, f"{tmp_path}/{{index}}.mp4"
    )
    assert (saved["total"], saved["saved"], saved["failed"], saved["unsaved"]) == (10, 0, 9, 0)
    assert [line["state"] for line in saved["clips"]] == ["failed"] * 9 + ["in flight"]
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("path", "change", "words"),
    [
        ("{name}.mp4", lambda lines: lines[8].update(name="sku-001"), "is that of another clip"),
        ("{seed}.mp4", lambda lines: lines[8].update(seed=1), "is that of another clip"),
        ("{name}.mp4", lambda lines: lines[8].update(name="../escaped"), "no file can be called by"),
        ("{name}.mp4", lambda lines: lines[8].pop("name"), "Clip 8 has no name"),
        ("{name}.mp4", lambda lines: lines[8].update(name="x" * 250), "file name is longer"),
        ("{index}.mp4", lambda lines: lines[8].update(url=None), "has no URL"),
        ("{index}.mp4", lambda lines: lines[8].update(index="8"), "no line of a batch"),
        ("clip.mp4", lambda lines: None, "without a field"),
    ],
)
def test_what_cannot_be_saved_side_by_side_is_refused_before_anything_is_fetched(
    few: Batch,
    quick_emulator: RunningEmulator,
    tmp_path: Path,
    path: str,
    change: Callable[[list[dict[str, Any]]], object],
    words: str,
) -> None:
    lines = json.loads(json.dumps(few["clips"]))
    change(lines)
    task = saver({**few, "clips": lines}, "{{ params.path }}")
    task.path = f"{tmp_path}/clips/{path}"  # as it is rendered
    with pytest.raises(AirflowFailException, match="No clip is lost") as raised:
        task.execute(context())
    assert words in str(raised.value)
    assert names_in(tmp_path) == []
    assert quick_emulator.file_requests() == []


KILLED = """
import json, sys
from airflow_provider_pika.transfers.batch_to_object_storage import PikaBatchToObjectStorageOperator
from tests.support.saving import SavingInstance
batch, path = json.loads(sys.argv[1]), sys.argv[2]
task = PikaBatchToObjectStorageOperator(task_id="save", batch=batch, path=path, at_once=8, must_fit=False)
task.execute({"ti": SavingInstance(), "outlet_events": {}})
"""


def test_a_worker_that_is_killed_shows_nothing_half_and_a_retry_fetches_nothing_twice(
    batch: Batch, quick_emulator: RunningEmulator, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", KILLED, json.dumps(batch), f"{tmp_path}/{{index}}.mp4"]
    worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: len(list(tmp_path.glob("*.mp4.json"))) >= 20, "some clips", 60, 0.01)
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    there = {path for path in tmp_path.glob("*.mp4") if Path(f"{path}.json").exists()}
    assert 10 <= len(there) < SIZE - 1
    for path in there:
        assert sha256(path) == metadata_beside(path)["sha256"]
    quick_emulator.reset_file_requests()
    saved = save(batch, f"{tmp_path}/{{index}}.mp4")
    assert saved["saved"] == SIZE - 1
    assert sum(fetched(quick_emulator).values()) == SIZE - 1 - len(there)
    assert not list(tmp_path.glob(".*"))


def test_a_batch_is_saved_to_a_bucket_the_same_way(few: Batch, quick_emulator: RunningEmulator, s3: RunningS3) -> None:
    options = {"conn_id": "clips_store", "manifest_path": "s3://clips/run.jsonl"}
    first = save(few, "s3://clips/run/{name}.mp4", **options)
    assert (first["saved"], first["manifest"]) == (9, "s3://clips/run.jsonl")
    assert list(read_manifest(first["manifest"], "clips_store")) == first["clips"]
    some = first["clips"][7]
    assert hashlib.sha256(s3.read("run/sku-007.mp4")).hexdigest() == some["sha256"]
    assert json.loads(s3.read("run/sku-007.mp4.json"))["request_id"] == some["request_id"]
    assert len({key for key in s3.objects() if key.endswith(".mp4")}) == 9
    s3.client.delete_object(Bucket="clips", Key="run/sku-007.mp4")
    quick_emulator.reset_file_requests()
    assert save(few, "s3://clips/run/{name}.mp4", **options) == first
    assert sum(fetched(quick_emulator).values()) == 1


def test_a_large_batch_has_its_manifest_in_the_clips_bucket(batch: Batch, s3: RunningS3, tmp_path: Path) -> None:
    lines = list(read_manifest(batch["manifest"]))
    done = tmp_path / "done.jsonl"
    failed = ({**line, "state": "failed", "url": None} for line in lines[5:])
    done.write_text("".join(json.dumps(line) + "\n" for line in [*lines[:5], *failed]))
    saved = save({**batch, "manifest": str(done)}, "s3://clips/run/{index}.mp4", conn_id="clips_store")
    assert (saved["saved"], saved["clips"]) == (4, None)
    assert saved["manifest"].startswith("s3://clips/run/save-manual__2026-11-24-")
    assert [line["index"] for line in read_manifest(saved["manifest"], "clips_store")] == list(range(SIZE))


@pytest.mark.parametrize("status", [403, 404])
def test_a_url_that_brings_nothing_is_asked_for_once_more(
    few: Batch, quick_emulator: RunningEmulator, tmp_path: Path, status: int
) -> None:
    lines = json.loads(json.dumps(few["clips"]))
    url = lines[0]["url"]
    quick_emulator.fault(f"http_{status}", on="file", match="saved 000", times=3 if status == 404 else 1)
    lines[0]["url"] = f"{url}?old"
    saved = save({**few, "clips": lines}, f"{tmp_path}/{{index}}.mp4")
    assert saved["saved"] == 9
    assert metadata_beside(tmp_path / "0.mp4")["url"] == url


@pytest.mark.parametrize(("status", "kind"), [(403, "DownloadRefused"), (404, "VideoExpired")])
def test_a_url_that_brings_nothing_and_is_fals_own_word_names_its_request(
    few: Batch, quick_emulator: RunningEmulator, tmp_path: Path, status: int, kind: str
) -> None:
    quick_emulator.fault(f"http_{status}", on="file", match="saved 000", times=99)
    error, xcoms = fails(few, f"{tmp_path}/{{index}}.mp4")
    [line] = [line for line in xcoms["manifest"]["clips"] if line["index"] == 0]
    assert line["error_type"] == kind
    assert "asked for again, names the same URL" in line["error"]
    assert "names the same URL" in error.message
    assert quick_emulator.counts()["result"] >= 1


def test_fal_is_asked_no_more_about_metadata_that_it_does_not_have(
    few: Batch, quick_emulator: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "MOST_SILENT", 2)
    for operation in ("result", "history"):
        quick_emulator.fault("http_500", on=operation, times=999)
    assert save(few, f"{tmp_path}/{{index}}.mp4", at_once=1)["saved"] == 9
    assert quick_emulator.counts()["history"] == 2
    assert metadata_beside(tmp_path / "9.mp4")["prompt"] == "saved 009"


def test_the_rest_is_not_tried_where_the_host_is_gone(
    batch: Batch, quick_emulator: RunningEmulator, tmp_path: Path
) -> None:
    quick_emulator.fault("http_503", on="file", times=9999)
    error, xcoms = fails(batch, f"{tmp_path}/{{index}}.mp4", at_once=4, fail_on=0.99)
    assert isinstance(error, errors.SavingIncomplete)
    assert "too many in a row failed" in error.message
    pushed = xcoms["manifest"]
    assert pushed["saved"] == 0
    assert pushed["unsaved"] < 30
    lines = list(read_manifest(pushed["manifest"]))
    assert "It was not tried" in lines[-1]["error"]
    assert len(lines) == SIZE


def slow(emulator: RunningEmulator) -> None:
    for _ in range(3):
        emulator.fault("stall_midway", bytes=1000, seconds=60, times=999, match="saved")


def test_a_task_that_is_killed_ends_promptly(few: Batch, quick_emulator: RunningEmulator, tmp_path: Path) -> None:
    slow(quick_emulator)
    task = saver(few, f"{tmp_path}/{{index}}.mp4")
    threading.Timer(0.7, task.on_kill).start()
    began = time.monotonic()
    with pytest.raises(errors.TryLater, match="told to stop"):
        task.execute(context())
    assert time.monotonic() - began < 4
    until(lambda: not [each for each in threading.enumerate() if each.name == "pika-save"], "the threads' end", 5)
    assert names_in(tmp_path) == []


def test_a_task_whose_time_is_up_ends_promptly(few: Batch, quick_emulator: RunningEmulator, tmp_path: Path) -> None:
    slow(quick_emulator)

    def time_is_up(*_: object) -> None:
        raise AirflowTaskTimeout

    before = signal.signal(signal.SIGALRM, time_is_up)
    signal.setitimer(signal.ITIMER_REAL, 0.7)
    began = time.monotonic()
    try:
        with pytest.raises(AirflowTaskTimeout):
            save(few, f"{tmp_path}/{{index}}.mp4")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began < 5
    until(lambda: not [each for each in threading.enumerate() if each.name == "pika-save"], "the threads' end", 5)
    assert names_in(tmp_path) == []


def test_how_far_it_is_is_told_every_few_seconds(
    few: Batch,
    quick_emulator: RunningEmulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
    caplog: Any,
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(saving_batch, "TELL_EVERY", 0.2)
    quick_emulator.fault("stall_midway", bytes=1000, seconds=60, match="saved 009", times=1)
    save(few, f"{tmp_path}/{{index}}.mp4", stall_timeout=2, at_once=2)
    said = re.findall(r"Saving: (.*)", capsys.readouterr().out or caplog.text)
    assert any("8 saved, 0 failed of 9 clips" in line and "MB/s; about" in line for line in said), said


@pytest.fixture
def events() -> Any:
    class Events:
        def __init__(self) -> None:
            self.by_name: dict[str, Event] = {}

        def __getitem__(self, outlet: Any) -> Event:  # an asset has no hash on 3.1
            return self.by_name.setdefault(outlet.name, Event())

    class Event:
        def __init__(self) -> None:
            self.extra: dict[str, Any] = {}
            self.added: list[tuple[Any, dict[str, Any]]] = []

        def add(self, asset: Any, extra: dict[str, Any]) -> None:
            self.added.append((asset, extra))

    return Events()


def test_every_outlet_has_one_event_with_the_totals(few: Batch, tmp_path: Path, events: Any) -> None:
    asset, alias = Asset("clips"), AssetAlias("latest")
    manifest = f"{tmp_path}/saved.jsonl"
    save(few, f"{tmp_path}/{{index}}.mp4", {"outlet_events": events}, outlets=[asset, alias], manifest_path=manifest)
    extra = events[asset].extra
    assert (extra["saved"], extra["manifest"], "clips" in extra) == (9, manifest, False)
    [(added, same)] = events[alias].added
    assert (added.uri.rstrip("/"), same) == (f"file://{manifest}", extra)


def test_an_outlet_that_cannot_be_told_fails_no_task(few: Batch, tmp_path: Path) -> None:
    assert save(few, f"{tmp_path}/{{index}}.mp4", {"outlet_events": None}, outlets=[Asset("clips")])["saved"] == 9


@pytest.mark.parametrize("what", ["text", "the batch's own", "a folder"])
def test_what_is_no_manifest_of_saved_clips_is_left_as_it_is(
    batch: Batch, quick_emulator: RunningEmulator, tmp_path: Path, what: str
) -> None:
    there = tmp_path / "there.jsonl"
    if what == "a folder":
        there.mkdir()
    else:
        there.write_text("theirs" if what == "text" else Path(batch["manifest"]).read_text())
    error, _ = fails(batch, f"{tmp_path}/clips/{{index}}.mp4", manifest_path=str(there))
    assert isinstance(error, errors.PathTaken)
    assert quick_emulator.file_requests() == []
    assert names_in(tmp_path) == ["there.jsonl"]


@pytest.mark.parametrize("value", [None, "x", {}, {"clips": None, "manifest": None}, {"clips": ["x"]}, ["x"], 5])
def test_what_is_no_batch_is_refused(quick_emulator: RunningEmulator, tmp_path: Path, value: Any) -> None:
    error, _ = fails(value, f"{tmp_path}/{{index}}.mp4")
    assert isinstance(error, errors.InvalidInput)
    assert "No clip is lost" in str(error)


def test_a_batch_may_come_as_a_template_of_json(few: Batch, tmp_path: Path) -> None:
    assert save(json.dumps(few), f"{tmp_path}/{{index}}.mp4")["saved"] == 9


def test_without_a_key_the_clips_are_saved_all_the_same(
    few: Batch, quick_emulator: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, quick_emulator.queue_url, key="")
    for name in ("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    saved = save(few, f"{tmp_path}/{{index}}.mp4")
    assert saved["saved"] == 9
    assert metadata_beside(tmp_path / "4.mp4")["prompt"] == "saved 004"
    assert KEY not in json.dumps(saved)
