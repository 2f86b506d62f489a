"""A clip's poster: there where its metadata is, replaced with its clip, and never the reason that a save fails."""

from __future__ import annotations

import importlib.util
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import Asset
from PIL import Image

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.media import jpeg
from airflow_provider_pika.saving.object_store import Place
from airflow_provider_pika.saving.poster import Poster
from tests.support.emulator import RunningEmulator
from tests.support.s3 import RunningS3
from tests.support.saving import SavingInstance, Video, generated, metadata_beside, names_in, save, saver

pytestmark = pytest.mark.drawn

ALL = ["fox.mp4", "fox.mp4.jpg", "fox.mp4.json"]
WITHOUT = ["fox.mp4", "fox.mp4.json"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fox.mp4"


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the task's log says."""
    told: list[str] = []
    make = saver.__globals__["PikaVideoToObjectStorageOperator"]

    class Log:
        def info(self, line: str, *more: object) -> None:
            told.append(line % more)

        warning = info

    monkeypatch.setattr(make, "log", Log())
    return told


def poster_at(path: Path) -> Path:
    return Path(f"{path}.jpg")


def without_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    find: Callable[..., Any] = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None if name == "av" else find(name, *more))


def test_a_save_makes_a_poster_and_says_where(video: Video, path: Path) -> None:
    saved = save(video, path)
    assert names_in(path.parent) == ALL
    image = Image.open(poster_at(path))
    assert max(image.size) <= 640
    assert image.width / image.height == pytest.approx(saved["width"] / saved["height"], abs=0.01)
    assert saved["poster"] == metadata_beside(path)["poster"] == f"{path}.jpg"


def test_a_poster_can_be_turned_off(video: Video, path: Path) -> None:
    saved = save(video, path, poster=False)
    assert names_in(path.parent) == WITHOUT
    assert saved["poster"] is metadata_beside(path)["poster"] is None


@pytest.mark.parametrize("value", [None, "true", 1])
def test_a_switch_that_is_none_is_refused_when_the_dag_is_parsed(value: Any) -> None:
    with pytest.raises(AirflowFailException, match="poster="):
        saver("{{ later }}", "/tmp/fox.mp4", poster=value)


def test_without_pyav_there_is_none_and_the_log_says_so_once(
    video: Video, path: Path, log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_pyav(monkeypatch)
    assert save(video, path)["poster"] is None
    assert names_in(path.parent) == WITHOUT
    assert len([line for line in log if "poster" in line]) == 1
    assert "pip install av" in next(line for line in log if "poster" in line)
    log.clear()
    save(video, path.with_name("owl.mp4"), poster=False)
    assert not any("poster" in line for line in log)


def test_a_poster_that_cannot_be_made_costs_no_clip(
    video: Video, path: Path, log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jpeg, "size_of", lambda content: None)
    assert save(video, path)["poster"] is None
    assert names_in(path.parent) == WITHOUT
    assert "No poster was made: what came is no small JPEG." in log


def test_a_store_that_takes_no_poster_costs_no_clip(
    video: Video, path: Path, log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Place.put

    def refuse(place: Place, content: bytes, content_type: str) -> None:
        if content_type == "image/jpeg":
            raise errors.StorageFailed("no more room")
        put(place, content, content_type)

    monkeypatch.setattr(Place, "put", refuse)
    assert save(video, path)["poster"] is None
    assert (names_in(path.parent), metadata_beside(path)["poster"]) == (WITHOUT, None)
    assert any(line.startswith("There is no poster: no more room") for line in log)


def test_saved_again_it_is_recognised_with_its_poster_and_nothing_is_fetched(
    video: Video, emulator: RunningEmulator, path: Path
) -> None:
    first = save(video, path)
    written = poster_at(path).stat().st_mtime_ns
    emulator.reset_file_requests()
    assert save(video, path) == save(video, path, overwrite=True) == save(video, path, poster=False) == first
    assert emulator.file_requests() == []
    assert poster_at(path).stat().st_mtime_ns == written


def test_metadata_of_an_earlier_version_which_knows_no_posters_is_recognised(
    video: Video, emulator: RunningEmulator, path: Path
) -> None:
    first = save(video, path, poster=False)
    told = metadata_beside(path)
    del told["poster"]
    Path(f"{path}.json").write_text(json.dumps(told))
    emulator.reset_file_requests()
    assert save(video, path) == first
    assert emulator.file_requests() == []
    assert names_in(path.parent) == WITHOUT


def test_a_poster_that_somebody_removed_is_not_said_to_be_there(video: Video, path: Path, log: list[str]) -> None:
    save(video, path)
    poster_at(path).unlink()
    assert save(video, path)["poster"] is None
    assert any("not there any more" in line for line in log)


def test_a_poster_that_was_moved_with_its_clip_is_known_by_its_new_path(video: Video, path: Path) -> None:
    save(video, path.parent / "old" / "fox.mp4")
    (path.parent / "old").rename(path.parent / "new")
    assert save(video, path.parent / "new" / "fox.mp4")["poster"] == f"{path.parent}/new/fox.mp4.jpg"


@pytest.mark.parametrize("before", ["the poster", "the metadata"])
def test_an_attempt_that_was_killed_leaves_nothing_that_a_retry_does_not_complete(
    video: Video, path: Path, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, kind = Place.put, {"the poster": "image/jpeg", "the metadata": "application/json"}[before]

    def killed(place: Place, content: bytes, content_type: str) -> None:
        if content_type == kind:
            raise KeyboardInterrupt
        put(place, content, content_type)

    with monkeypatch.context() as patched:
        patched.setattr(Place, "put", killed)
        with pytest.raises(KeyboardInterrupt):
            save(video, path)
    assert names_in(path.parent) == ALL[: 1 if before == "the poster" else 2]
    assert save(video, path)["poster"] == f"{path}.jpg"
    assert names_in(path.parent) == ALL


STRANGERS: dict[str, Callable[[Path], object]] = {
    "a file": lambda at: at.write_bytes(b"somebody else's"),
    "an empty file": lambda at: at.touch(),
    "a folder": Path.mkdir,
    "a FIFO": os.mkfifo,
    "a link": lambda at: at.symlink_to("nothing"),
}


@pytest.mark.parametrize("kind", STRANGERS)
def test_what_a_stranger_has_at_its_path_is_left_as_it_is_and_the_clip_is_saved(
    video: Video, path: Path, kind: str, log: list[str]
) -> None:
    STRANGERS[kind](poster_at(path))
    before = poster_at(path).lstat()
    saved = save(video, path)
    after = poster_at(path).lstat()
    assert (after.st_ino, after.st_mtime_ns, after.st_size) == (before.st_ino, before.st_mtime_ns, before.st_size)
    assert saved["poster"] is metadata_beside(path)["poster"] is None
    assert any(line.startswith("There is no poster: There is a ") or "has another file" in line for line in log)


@pytest.mark.parametrize("kind", STRANGERS)
def test_overwriting_replaces_a_file_or_a_link_at_its_path(video: Video, path: Path, kind: str) -> None:
    STRANGERS[kind](poster_at(path))
    saved = save(video, path, overwrite=True)
    is_replaced = kind in ("a file", "an empty file", "a link")
    assert saved["poster"] == (f"{path}.jpg" if is_replaced else None)
    assert (poster_at(path).is_file() and not poster_at(path).is_symlink()) is is_replaced


def test_overwriting_with_another_clip_replaces_the_poster(video: Video, path: Path) -> None:
    save(video, path)
    before = poster_at(path).read_bytes()
    other, _ = generated("an owl")
    assert save(other, path, overwrite=True)["poster"] == f"{path}.jpg"
    assert poster_at(path).read_bytes() != before


@pytest.mark.parametrize("why", ["off", "PyAV"])
def test_no_poster_of_another_clip_stands_beside_a_new_one(
    video: Video, path: Path, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(video, path)
    other, _ = generated("an owl")
    if why == "PyAV":
        without_pyav(monkeypatch)
    saved = save(other, path, overwrite=True, poster=why != "off")
    assert (saved["poster"], names_in(path.parent)) == (None, WITHOUT)


def test_a_strangers_file_that_no_metadata_names_is_not_removed_with_an_earlier_clip(video: Video, path: Path) -> None:
    save(video, path, poster=False)
    poster_at(path).write_bytes(b"somebody else's")
    other, _ = generated("an owl")
    save(other, path, overwrite=True, poster=False)
    assert poster_at(path).read_bytes() == b"somebody else's"


def test_an_asset_event_and_a_bucket_have_it_too(s3: RunningS3, video: Video) -> None:
    asset = Asset("clips")

    class Events(dict[str, Any]):
        def __getitem__(self, key: Any) -> Any:
            return self.setdefault(key.name, type("Event", (), {"extra": {}})())

    events = Events()
    task = saver(video, "s3://clips/fox.mp4", conn_id="clips_store", outlets=[asset])
    saved = task.execute({"ti": SavingInstance(), "outlet_events": events})  # type: ignore[typeddict-item]
    assert s3.objects() == ALL
    assert saved["poster"] == events[asset].extra["poster"] == "s3://clips/fox.mp4.jpg"
    assert Image.open(io.BytesIO(s3.read("fox.mp4.jpg"))).format == "JPEG"
    assert s3.client.head_object(Bucket="clips", Key="fox.mp4.jpg")["ContentType"] == "image/jpeg"
    assert save(video, "s3://clips/fox.mp4", conn_id="clips_store") == saved


@pytest.mark.parametrize("method", ["publish", "is_still_there", "remove"])
def test_a_store_that_does_not_answer_about_a_poster_costs_nothing(
    method: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise errors.StorageFailed("it does not answer")

    told: list[str] = []
    for name in ("size", "put", "remove", "sha256"):
        monkeypatch.setattr(Place, name, fail)
    poster = Poster(Place(f"{path}.jpg"), is_wanted=True, overwrite=False, tell=told.append)
    assert not getattr(poster, method)(*([b"x"] if method == "publish" else []))
    assert "it does not answer" in told[0]
