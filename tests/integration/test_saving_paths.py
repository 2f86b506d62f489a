"""A path whose template takes data: nothing is written out of the folder that its author wrote, and nothing fetched."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import ObjectStoragePath
from upath import UPath

from airflow_provider_pika import exceptions as errors
from tests.integration.conftest import connect
from tests.support.emulator import RunningEmulator
from tests.support.saving import SavingInstance, Video, save, saver

pytestmark = pytest.mark.drawn

ESCAPES = ["../../escaped", "..", "a/../../../escaped", "%2e%2e/escaped", "%252e%252e%252fescaped", "..\\..\\escaped"]


@pytest.fixture
def unfetched(emulator: RunningEmulator) -> Video:
    """A video that is refused before anything is fetched: nobody needs to have generated it."""
    emulator.reset_file_requests()
    return {"url": f"{emulator.queue_url}/files/b/x/clip.mp4", "request_id": "r-1", "file_name": "clip.mp4"}


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def save_rendered(video: Any, path: Any, **context: Any) -> dict[str, Any]:
    """Render the task's templates and run it, as Airflow does."""
    task = saver(video, path)
    here: Any = {"ti": SavingInstance(), "outlet_events": {}, "task": task, **context}
    task.render_template_fields(here)
    return task.execute(here)


def refused(video: Any, path: str, **context: Any) -> errors.InvalidInput:
    with pytest.raises(AirflowFailException) as raised:
        save_rendered(video, path, **context)
    assert isinstance(raised.value.__cause__, errors.InvalidInput)
    assert "No clip is lost" in str(raised.value)
    return raised.value.__cause__


@pytest.mark.parametrize("name", ["file_name", "request_id", "endpoint", "content_type", "url", "anything"])
@pytest.mark.parametrize("said", ESCAPES)
def test_nothing_that_a_video_says_leads_out_of_the_folder(
    unfetched: Video, emulator: RunningEmulator, tmp_path: Path, name: str, said: str
) -> None:
    folder = tmp_path / "a" / "b" / "clips"
    refused({**unfetched, name: said}, f"{folder}/{{{{ task.video.{name} }}}}/fox.mp4")
    assert (files_below(tmp_path), emulator.file_requests()) == ([], [])


@pytest.mark.parametrize(
    "template", ["params.who", "dag_run.conf['who']", "run_id", "ti.xcom_pull('generate', key='who', map_indexes=-1)"]
)
@pytest.mark.parametrize("said", [*ESCAPES, "{{ conn.pika_default.password }}", "a\nb", "a\0b", "\ud83d", "x" * 256])
def test_nothing_that_a_run_brings_leads_out_of_the_folder(
    unfetched: Video, emulator: RunningEmulator, tmp_path: Path, template: str, said: str
) -> None:
    context = {
        "params": {"who": said},
        "dag_run": SimpleNamespace(conf={"who": said}),
        "run_id": said,
        "ti": SavingInstance({"who": said}),
    }
    refused(unfetched, f"{tmp_path}/a/b/clips/{{{{ {template} }}}}/fox.mp4", **context)
    assert (files_below(tmp_path), emulator.file_requests()) == ([], [])


def test_a_video_that_comes_of_a_conf_is_checked_like_any(
    unfetched: Video, emulator: RunningEmulator, tmp_path: Path
) -> None:
    conf = {"video": {**unfetched, "request_id": "../../escaped"}}
    path = f"{tmp_path}/a/b/clips/{{{{ task.video.request_id }}}}.mp4"
    error = refused("{{ dag_run.conf.video }}", path, dag_run=SimpleNamespace(conf=conf))
    assert "request_id='../../escaped'" in error.message
    assert (files_below(tmp_path), emulator.file_requests()) == ([], [])


@pytest.mark.parametrize("request_id", ["None", "", "a/b", "r 1", "r-1\n", "r.1"])
def test_a_request_id_that_is_none_is_refused_even_where_the_path_does_not_use_it(
    unfetched: Video, tmp_path: Path, request_id: str
) -> None:
    with pytest.raises(AirflowFailException, match="takes the id that the submit returned"):
        save({**unfetched, "request_id": request_id}, tmp_path / "fox.mp4")


NO_NAMES = ["../fox.mp4", "a/fox.mp4", "a\\fox.mp4", "..", ".", "", "a\0b", "a%2fb"]


@pytest.mark.parametrize("file_name", NO_NAMES)
def test_a_file_name_that_is_none_is_refused_where_the_path_uses_it(
    unfetched: Video, tmp_path: Path, file_name: str
) -> None:
    refused({**unfetched, "file_name": file_name}, f"{tmp_path}/{{{{ task.video.file_name }}}}")
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("file_name", NO_NAMES)
def test_a_file_name_that_is_none_costs_no_clip_where_the_path_does_not_use_it(
    video: Video, tmp_path: Path, file_name: str
) -> None:
    assert save({**video, "file_name": file_name}, tmp_path / "fox.mp4")["path"] == f"{tmp_path}/fox.mp4"


def test_a_path_may_use_what_fal_says_of_the_video(video: Video, tmp_path: Path) -> None:
    path = f"{tmp_path}/{{{{ task.video.request_id }}}}/{{{{ task.video.file_name }}}}"
    saved = save_rendered(video, path)
    assert saved["path"] == f"{tmp_path}/{video['request_id']}/{video['file_name']}"
    assert len(files_below(tmp_path)) == 3


@pytest.mark.parametrize(
    "path", ["/clips/../fox.mp4", "/clips/../{{ ds }}.mp4", "s3://c@../x", "s3://b/%2e%2e/x", "/a\nb", f"/{'x' * 251}"]
)
def test_a_path_that_is_known_to_be_wrong_fails_when_the_dag_is_parsed(path: str) -> None:
    with pytest.raises(AirflowFailException, match="path="):
        saver("{{ later }}", path)


def test_the_longest_name_that_fits_fits_with_all_that_is_written_beside_it(video: Video, tmp_path: Path) -> None:
    save(video, f"{tmp_path}/{'x' * 246}.mp4")
    assert len(files_below(tmp_path)) == 3


@pytest.mark.parametrize("length", [238, 241, 250])
def test_a_long_name_is_saved_with_its_metadata_and_known_again(
    video: Video, emulator: RunningEmulator, tmp_path: Path, length: int
) -> None:
    path = tmp_path / f"{'x' * (length - 4)}.mp4"
    first = save(video, path)
    emulator.reset_file_requests()
    assert save(video, path) == first
    assert (len(files_below(tmp_path)), emulator.file_requests()) == (3, [])


@pytest.mark.parametrize("length", [251, 255, 256])
def test_a_name_whose_metadata_has_no_name_is_refused_before_anything_is_fetched(
    unfetched: Video, emulator: RunningEmulator, tmp_path: Path, length: int
) -> None:
    refused(unfetched, f"{tmp_path}/{{{{ 'x' * {length - 4} }}}}.mp4")
    with pytest.raises(AirflowFailException, match="longer than 250 bytes"):
        saver(unfetched, f"{tmp_path}/{'x' * (length - 4)}.mp4")
    assert (files_below(tmp_path), emulator.file_requests()) == ([], [])


@pytest.mark.parametrize("room", [11, 143])
@pytest.mark.parametrize("below", ["", "new/"])
def test_a_folder_that_takes_shorter_names_than_most_refuses_before_anything_is_fetched(
    unfetched: Video, emulator: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, below: str
) -> None:
    monkeypatch.setattr(os, "pathconf", lambda *_: room)
    name = "x" * (room - 4)  # which fits, and its metadata does not
    refused(unfetched, f"{tmp_path}/{below}{{{{ '{name}' }}}}")
    assert (files_below(tmp_path), emulator.file_requests()) == ([], [])


def test_a_store_that_has_no_room_for_a_name_says_so_and_promises_no_retry(
    unfetched: Video, emulator: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(path: str) -> int:
        raise OSError(errno.ENAMETOOLONG, "File name too long")

    monkeypatch.setattr("airflow_provider_pika.saving.disk.size_of", no_room)
    refused(unfetched, f"{tmp_path}/fox.mp4")
    assert emulator.file_requests() == []


PATH_OBJECTS: dict[str, Callable[[Path], Any]] = {
    "an ObjectStoragePath": lambda folder: ObjectStoragePath(f"file://{folder}") / "{{ run_id }}.mp4",
    "an ObjectStoragePath without a scheme": lambda folder: ObjectStoragePath(str(folder)) / "{{ run_id }}.mp4",
    "a Path": lambda folder: folder / "{{ run_id }}.mp4",
    "a path of another library": lambda folder: UPath(folder) / "{{ run_id }}.mp4",
}


@pytest.mark.every_input
@pytest.mark.parametrize("kind", PATH_OBJECTS)
def test_a_path_object_is_a_path_and_the_templates_in_it_are_rendered(video: Video, tmp_path: Path, kind: str) -> None:
    saved = save_rendered(video, PATH_OBJECTS[kind](tmp_path), run_id="manual__1")
    assert saved["path"].endswith(f"{tmp_path}/manual__1.mp4")
    assert files_below(tmp_path) == ["manual__1.mp4", "manual__1.mp4.jpg", "manual__1.mp4.json"]


@pytest.mark.every_input
@pytest.mark.parametrize("kind", ["an ObjectStoragePath", "a Path"])
def test_a_path_object_that_another_task_returned_is_a_path_and_no_template(
    video: Video, unfetched: Video, tmp_path: Path, kind: str
) -> None:
    task = saver(video, "{{ later }}")
    task.path = PATH_OBJECTS[kind](tmp_path)
    with pytest.raises(AirflowFailException, match="came of data"):
        task.execute({"ti": SavingInstance(), "outlet_events": {}})  # type: ignore[typeddict-item]
    task.path = PATH_OBJECTS[kind](tmp_path).with_name("fox.mp4")
    task.execute({"ti": SavingInstance(), "outlet_events": {}})  # type: ignore[typeddict-item]
    assert files_below(tmp_path) == ["fox.mp4", "fox.mp4.jpg", "fox.mp4.json"]


@pytest.mark.parametrize(
    "wrong", [{"overwrite": 1}, {"max_bytes": 0}, {"path": "x"}, {"video": [{}]}, {"video": 1}], ids=str
)
def test_a_task_that_sends_nothing_does_not_say_that_it_was_not_sent(
    unfetched: Video, tmp_path: Path, wrong: dict[str, Any]
) -> None:
    arguments: dict[str, Any] = {"video": unfetched, "path": tmp_path / "fox.mp4", **wrong}
    with pytest.raises(AirflowFailException, match="A retry fails the same way until then") as raised:
        save(**arguments)
    assert "not sent" not in str(raised.value)


def test_a_wrong_connection_of_a_task_that_sends_nothing_costs_no_clip(
    unfetched: Video, emulator: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, emulator.queue_url, media_hosts=7)
    with pytest.raises(AirflowFailException, match=r"media_hosts=7.*No clip is lost") as raised:
        save(unfetched, tmp_path / "fox.mp4")
    assert "not sent" not in str(raised.value)


ONE = {"url": "https://fal.media/x.mp4", "request_id": "r-1"}


@pytest.mark.parametrize(
    ("video", "words"),
    [
        (("url", "https://fal.media/x.mp4"), "one entry of a video.*expand"),
        (str(("request_id", "r-1")), "one entry of a video.*expand"),
        ([ONE, ONE], "a list of 2.*expand"),
        (json.dumps([ONE]), "a list of 1.*expand"),
    ],
    ids=["an entry", "an entry as a text", "a list", "a list as a text"],
)
@pytest.mark.parametrize("path", ["fox.mp4", "{{ task.video.request_id }}.mp4"])
def test_what_mapping_made_of_a_video_is_told_in_words_of_its_own(
    emulator: RunningEmulator, tmp_path: Path, video: Any, words: str, path: str
) -> None:
    with pytest.raises(AirflowFailException, match=words) as raised:
        save_rendered(video, f"{tmp_path}/{path}")
    assert "No clip is lost" in str(raised.value)
    assert files_below(tmp_path) == []


def test_a_path_with_single_braces_warns_when_the_dag_is_parsed() -> None:
    with pytest.warns(UserWarning, match=re.escape("{ds}")):
        saver("{{ later }}", "/clips/{ds}/{{ run_id }}.mp4")
