"""A path whose template takes data: nothing is written out of the folder that its author wrote, and nothing fetched."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_pika import exceptions as errors
from tests.support.emulator import RunningEmulator
from tests.support.saving import SavingInstance, Video, generated, save, saver

pytestmark = pytest.mark.drawn

ESCAPES = ["../../escaped", "..", "a/../../../escaped", "%2e%2e/escaped", "%252e%252e%252fescaped", "..\\..\\escaped"]


@pytest.fixture
def video(emulator: RunningEmulator) -> Video:
    made, _ = generated()
    emulator.reset_file_requests()
    return made


@pytest.fixture
def unfetched(emulator: RunningEmulator) -> Video:
    """A video that is refused before anything is fetched: nobody needs to have generated it."""
    emulator.reset_file_requests()
    return {"url": f"{emulator.queue_url}/files/b/x/clip.mp4", "request_id": "r-1", "file_name": "clip.mp4"}


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def save_rendered(video: Any, path: str, **context: Any) -> dict[str, Any]:
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
    "path", ["/clips/../fox.mp4", "/clips/../{{ ds }}.mp4", "s3://c@../x", "s3://b/%2e%2e/x", "/a\nb", f"/{'x' * 236}"]
)
def test_a_path_that_is_known_to_be_wrong_fails_when_the_dag_is_parsed(path: str) -> None:
    with pytest.raises(AirflowFailException, match="path="):
        saver("{{ later }}", path)


def test_the_longest_name_that_fits_fits_with_all_that_is_written_beside_it(video: Video, tmp_path: Path) -> None:
    save(video, f"{tmp_path}/{'x' * 231}.mp4")
    assert len(files_below(tmp_path)) == 3
