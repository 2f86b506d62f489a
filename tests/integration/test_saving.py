from __future__ import annotations

import hashlib
import importlib.util
import json
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import av
import pendulum
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG, Asset, AssetAlias
from airflow.sdk.execution_time.context import OutletEventAccessors

from airflow_provider_pika import __version__
from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.fal.lookup import Remembered
from airflow_provider_pika.fal.models import PastRequest
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator
from tests.integration.conftest import KEY, connect
from tests.support.emulator import RunningEmulator
from tests.support.saving import SavingInstance, Video, generated, leftovers, metadata_beside, names_in, save, saver
from tests.support.waiting import until

pytestmark = pytest.mark.drawn


def test_a_video_lands_as_a_file_that_plays_and_the_task_says_what_it_is(video: Video, tmp_path: Path) -> None:
    path = tmp_path / "2026" / "fox.mp4"
    saved = save(video, path)
    content = path.read_bytes()
    assert saved == {
        "path": str(path),
        "bytes": video["file_size"],
        "sha256": hashlib.sha256(content).hexdigest(),
        "width": 854,
        "height": 480,
        "seconds": 5.0,
        "poster": f"{path}.jpg",
        "request_id": video["request_id"],
        "prompt": "a fox",
        "seed": video["seed"],
        "cost": video["cost"],
        "sidecar": f"{path}.json",
    }
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 120
    assert names_in(path.parent) == ["fox.mp4", "fox.mp4.jpg", "fox.mp4.json"]


def test_its_metadata_lies_beside_it(emulator: RunningEmulator, tmp_path: Path) -> None:
    video, _ = generated("a heron", seed=7)
    path = tmp_path / "heron.mp4"
    saved = save(video, f"file://{path}")
    metadata = metadata_beside(path)
    times = {
        name: pendulum.parse(metadata.pop(name)) for name in ("submitted_at", "started_at", "completed_at", "saved_at")
    }
    assert list(times.values()) == sorted(times.values(), key=str)
    assert all(at.utcoffset().total_seconds() == 0 for at in times.values())  # type: ignore[union-attr]
    inference_time = metadata.pop("inference_time")
    assert inference_time == video["inference_time"] > 0
    assert metadata == {
        "schema_version": 1,
        "path": f"file://{path}",
        **{name: saved[name] for name in ("bytes", "sha256", "width", "height", "seconds", "poster", "request_id")},
        "content_type": "video/mp4",
        "frame_rate": 24.0,
        "prompt": "a heron",
        "seed": 7,
        "input": {
            "prompt": "a heron",
            "resolution": "480p",
            "duration": 5,
            "negative_prompt": "ugly, bad, terrible",
            "seed": 7,
        },
        "endpoint": "fal-ai/pika/v2.5/text-to-video",
        "url": video["url"],
        "billable_units": 5.0,
        "cost": saved["cost"],
        "dag_id": "clips",
        "run_id": "manual__2026-11-24",
        "task_id": "save",
        "map_index": -1,
        "provider_version": __version__,
    }


def with_submit_before(video: Video, pushed: dict[str, Any], path: Path) -> None:
    """Save a video in a Dag whose submit came before."""
    with DAG("clips"):
        generate = PikaTextToVideoOperator(task_id="generate", prompt="x")
        task = saver(video, path)
        generate >> task
    task.execute({"ti": SavingInstance(pushed), "outlet_events": {}})  # type: ignore[typeddict-item]


def test_where_fals_history_is_not_to_be_read_the_submit_tells_what_was_asked_for(
    emulator: RunningEmulator, tmp_path: Path
) -> None:
    video, pushed = generated("a lynx")
    emulator.fault("http_403", on="history", times=9)
    with_submit_before(video, pushed, tmp_path / "lynx.mp4")
    metadata = metadata_beside(tmp_path / "lynx.mp4")
    assert metadata["prompt"] == "a lynx"
    assert metadata["input"]["resolution"] == "480p"
    assert metadata["seed"] == pushed["pika_request"]["input"]["seed"]
    assert metadata["submitted_at"]
    assert (metadata["started_at"], metadata["completed_at"]) == (None, None)


def test_another_requests_inputs_are_never_taken_for_its_own(emulator: RunningEmulator, tmp_path: Path) -> None:
    video, pushed = generated("a lynx")
    emulator.fault("http_403", on="history", times=9)
    pushed["pika_request"]["request_id"] = "another"
    with_submit_before(video, pushed, tmp_path / "lynx.mp4")
    assert metadata_beside(tmp_path / "lynx.mp4")["prompt"] is None


def test_without_a_key_the_file_lands_all_the_same_with_gaps_in_its_metadata(
    video: Video, emulator: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, emulator.queue_url, key="")
    for name in ("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    save(video, tmp_path / "fox.mp4")
    metadata = metadata_beside(tmp_path / "fox.mp4")
    assert (metadata["prompt"], metadata["submitted_at"], metadata["billable_units"]) == (None, None, None)
    assert metadata["sha256"]


def test_the_key_never_goes_to_the_files_host(video: Video, emulator: RunningEmulator, tmp_path: Path) -> None:
    save(video, tmp_path / "fox.mp4")
    [request] = emulator.file_requests()
    assert request["authorization"] is False
    assert KEY not in (tmp_path / "fox.mp4.json").read_text()


def test_the_same_request_saved_again_is_recognised_and_not_fetched(
    video: Video, emulator: RunningEmulator, tmp_path: Path
) -> None:
    first = save(video, tmp_path / "fox.mp4")
    written = (tmp_path / "fox.mp4").stat().st_mtime_ns
    emulator.reset_file_requests()
    assert save(video, tmp_path / "fox.mp4") == first
    assert save(video, tmp_path / "fox.mp4", overwrite=True) == first
    assert emulator.file_requests() == []
    assert (tmp_path / "fox.mp4").stat().st_mtime_ns == written


def test_another_request_at_the_same_path_is_refused_and_nothing_changes(video: Video, tmp_path: Path) -> None:
    save(video, tmp_path / "fox.mp4")
    before = {name: (tmp_path / name).read_bytes() for name in names_in(tmp_path)}
    other, _ = generated("an owl")
    with pytest.raises(AirflowFailException, match=f"holds the video of request {video['request_id']}") as raised:
        save(other, tmp_path / "fox.mp4")
    assert isinstance(raised.value.__cause__, errors.PathTaken)
    assert {name: (tmp_path / name).read_bytes() for name in names_in(tmp_path)} == before


def test_another_request_at_the_same_path_replaces_it_where_that_is_wanted(video: Video, tmp_path: Path) -> None:
    save(video, tmp_path / "fox.mp4")
    other, _ = generated("an owl")
    saved = save(other, tmp_path / "fox.mp4", overwrite=True)
    assert saved["request_id"] == other["request_id"] == metadata_beside(tmp_path / "fox.mp4")["request_id"]
    assert hashlib.sha256((tmp_path / "fox.mp4").read_bytes()).hexdigest() == saved["sha256"]


def test_a_file_that_was_changed_since_is_not_taken_for_the_saved_one(video: Video, tmp_path: Path) -> None:
    save(video, tmp_path / "fox.mp4")
    path = tmp_path / "fox.mp4"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(AirflowFailException, match="not the file that was saved there"):
        save(video, path)
    assert save(video, path, overwrite=True)["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("length", ["the same", "another"])
def test_a_strangers_file_is_left_as_it_is(video: Video, tmp_path: Path, length: str) -> None:
    path = tmp_path / "fox.mp4"
    content = b"x" * (video["file_size"] if length == "the same" else 10)
    path.write_bytes(content)
    with pytest.raises(AirflowFailException) as raised:
        save(video, path)
    assert isinstance(raised.value.__cause__, errors.PathTaken)
    assert path.read_bytes() == content
    assert names_in(tmp_path) == ["fox.mp4"]


def test_a_file_that_an_attempt_left_without_metadata_is_kept_if_it_is_the_same(video: Video, tmp_path: Path) -> None:
    path = tmp_path / "fox.mp4"
    save(video, path)
    Path(f"{path}.json").unlink()
    written = path.stat().st_mtime_ns
    save(video, path)
    assert path.stat().st_mtime_ns == written
    assert metadata_beside(path)["request_id"] == video["request_id"]


@pytest.mark.parametrize("content", ["{}", "[1]", "not JSON", '{"schema_version": 2, "request_id": "x"}'])
def test_a_json_file_that_is_no_metadata_of_ours_is_left_as_it_is(video: Video, tmp_path: Path, content: str) -> None:
    (tmp_path / "fox.mp4.json").write_text(content)
    with pytest.raises(AirflowFailException, match="no metadata file of this version"):
        save(video, tmp_path / "fox.mp4")
    assert names_in(tmp_path) == ["fox.mp4.json"]
    assert (tmp_path / "fox.mp4.json").read_text() == content


def test_what_a_dead_attempt_left_is_cleaned_up(video: Video, tmp_path: Path) -> None:
    for left in leftovers(tmp_path / "fox.mp4"):
        left.write_bytes(b"half a file")
    save(video, tmp_path / "fox.mp4")
    assert names_in(tmp_path) == ["fox.mp4", "fox.mp4.jpg", "fox.mp4.json"]


def test_the_leftovers_of_another_path_are_not_touched(video: Video, tmp_path: Path) -> None:
    others = [left for name in ("fox", "fox.2.mp4", "other.mp4") for left in leftovers(tmp_path / name)]
    for other in others:
        other.write_bytes(b"a task that is at it")
    save(video, tmp_path / "fox.mp4")
    assert {other.name for other in others} < set(names_in(tmp_path))


class OtherInstance(SavingInstance):
    task_id = "another"


@pytest.mark.parametrize("same_clip", [True, False], ids=["the same clip", "another clip"])
def test_two_tasks_that_save_to_one_path_at_once_are_told_so_and_one_of_them_saves(
    emulator: RunningEmulator, tmp_path: Path, same_clip: bool
) -> None:
    slow, _ = generated("a fox [[slow_download bytes_per_second=60000]]")
    other = slow if same_clip else generated("an owl")[0]
    path, saved = tmp_path / "fox.mp4", list[dict[str, Any]]()
    thread = threading.Thread(target=lambda: saved.append(save(slow, path)))
    emulator.reset_file_requests()
    thread.start()
    until(lambda: bool(names_in(tmp_path)), "the first to begin", 20, every=0.02)
    here: Any = {"ti": OtherInstance(), "outlet_events": {}}
    with pytest.raises(errors.PathInUse, match="Another task saves to") as raised:
        saver(other, path).execute(here)
    assert ".part" not in str(raised.value)
    thread.join()
    assert len(emulator.file_requests()) == 1
    assert metadata_beside(path)["request_id"] == slow["request_id"] == saved[0]["request_id"]
    assert names_in(tmp_path) == ["fox.mp4", "fox.mp4.jpg", "fox.mp4.json"]
    if same_clip:  # what a retry comes to is what the error says
        assert saver(other, path).execute(here) == saved[0]
    else:
        with pytest.raises(AirflowFailException, match="holds the video of request"):
            saver(other, path).execute(here)


def test_a_file_that_was_moved_with_its_metadata_is_known_by_its_new_path(video: Video, tmp_path: Path) -> None:
    save(video, tmp_path / "old" / "fox.mp4")
    (tmp_path / "old").rename(tmp_path / "new")
    saved = save(video, tmp_path / "new" / "fox.mp4")
    assert (saved["path"], saved["sidecar"]) == (f"{tmp_path}/new/fox.mp4", f"{tmp_path}/new/fox.mp4.json")


def test_no_metadata_of_another_file_stands_beside_a_new_one_even_for_a_moment(
    video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(video, tmp_path / "fox.mp4")
    other, _ = generated("an owl")
    monkeypatch.setattr(
        "airflow_provider_pika.saving.object_store.Place.put", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):  # killed between the two
        save(other, tmp_path / "fox.mp4", overwrite=True)
    assert names_in(tmp_path) == ["fox.mp4"]
    monkeypatch.undo()


def test_a_stale_metadata_without_its_file_does_not_outlive_a_crash(
    video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "fox.mp4"
    save(video, path)
    path.unlink()
    other, _ = generated("an owl")
    with monkeypatch.context() as killed:
        killed.setattr(
            "airflow_provider_pika.saving.object_store.Place.put", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            save(other, path)
    assert save(other, path)["request_id"] == other["request_id"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"path": "clips/fox.mp4"},
        {"path": "s3://clips/"},
        {"overwrite": "{{ params.overwrite }}"},
        {"must_fit": 1},
        {"max_bytes": "2GB"},
        {"max_bytes": 0},
    ],
    ids=str,
)
def test_a_wrong_literal_fails_when_the_dag_is_parsed_before_a_clip_is_paid_for(wrong: dict[str, Any]) -> None:
    with pytest.raises(AirflowFailException, match=f"{next(iter(wrong))}="):
        saver("{{ later }}", **{"path": "/tmp/fox.mp4", **wrong})


def test_a_request_id_in_place_of_a_video_fails_when_the_dag_is_parsed(tmp_path: Path) -> None:
    with DAG("clips"):
        submit = PikaTextToVideoOperator(task_id="submit", prompt="x")
        wait = PikaTextToVideoOperator(task_id="wait", prompt="x", wait_for_completion=True)
        saver(wait.output, tmp_path / "fox.mp4")
        with pytest.raises(AirflowFailException, match="that is a request id"):
            PikaVideoToObjectStorageOperator(task_id="save_no", video=submit.output, path=str(tmp_path / "fox.mp4"))


def test_an_input_as_long_as_a_picture_is_told_and_recognised(
    emulator: RunningEmulator, video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"prompt": "half a letter \ud83e", "image_url": "data:" + "x" * 1_500_000}
    row = PastRequest(
        request_id=video["request_id"], json_input=told, ended_at="9999-12-31T23:59:59-14:00", sent_at="now"
    )
    monkeypatch.setattr("airflow_provider_pika.fal.client.FalQueue.remember", lambda *_: Remembered(row))
    first = save(video, tmp_path / "fox.mp4")
    metadata = metadata_beside(tmp_path / "fox.mp4")
    assert (metadata["prompt"], metadata["completed_at"], metadata["submitted_at"]) == ("half a letter ?", None, None)
    assert save(video, tmp_path / "fox.mp4") == first


def test_what_fal_says_in_another_type_costs_no_file(video: Video, tmp_path: Path) -> None:
    strange = {**video, "endpoint": 7, "inference_time": "long", "file_size": "big"}
    save(strange, tmp_path / "fox.mp4")
    metadata = metadata_beside(tmp_path / "fox.mp4")
    assert (metadata["endpoint"], metadata["inference_time"]) == (None, None)


def test_a_length_that_fal_announced_wrongly_costs_no_clip_where_it_need_not_fit(video: Video, tmp_path: Path) -> None:
    wrong = {**video, "file_size": 7}
    with pytest.raises(errors.UnexpectedFile):
        save(wrong, tmp_path / "fox.mp4")
    save(wrong, tmp_path / "fox.mp4", must_fit=False)
    (tmp_path / "fox.mp4.json").unlink()  # an attempt died between the two
    save(wrong, tmp_path / "fox.mp4", must_fit=False)


@pytest.mark.parametrize("broken", ["task.xcom.pull_request", "saving.lineage.collect_hook_lineage"])
def test_neither_the_metadata_nor_lineage_may_cost_the_file(
    video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("no")

    monkeypatch.setattr(f"airflow_provider_pika.{broken}", fail)
    assert save(video, tmp_path / "fox.mp4")["sha256"]


def test_a_folder_at_the_path_is_refused(video: Video, tmp_path: Path) -> None:
    (tmp_path / "fox.mp4").mkdir()
    with pytest.raises(AirflowFailException, match="folder"):
        save(video, tmp_path / "fox.mp4")


@pytest.mark.parametrize("path", ["", "relative/fox.mp4", "file://tmp/fox.mp4", "/tmp/", "s3://bucket/x/"])
def test_a_path_of_no_file_is_refused_before_anything_is_fetched(
    video: Video, emulator: RunningEmulator, path: str
) -> None:
    with pytest.raises(AirflowFailException, match="path="):
        save(video, path)
    assert emulator.file_requests() == []


@pytest.mark.parametrize("value", [None, "", "a text", {"url": "https://fal.media/x"}, {"request_id": "x"}, 1])
def test_what_is_no_video_is_refused(emulator: RunningEmulator, value: Any, tmp_path: Path) -> None:
    with pytest.raises(AirflowFailException, match="PikaVideoSensor"):
        save(value, tmp_path / "fox.mp4")


def test_a_video_that_a_template_made_a_text_of_is_read(video: Video, tmp_path: Path) -> None:
    assert save(json.dumps(video), tmp_path / "a.mp4")["request_id"] == video["request_id"]
    assert save(str(video), tmp_path / "b.mp4")["request_id"] == video["request_id"]


class Accessor:
    def __init__(self) -> None:
        self.extra: dict[str, Any] = {}
        self.added: list[tuple[Any, dict[str, Any]]] = []

    def add(self, asset: Any, extra: dict[str, Any]) -> None:
        self.added.append((asset, extra))


class Accessors(dict[str, Accessor]):
    """Airflow's accessors of asset events; an asset is no key of a dict on 3.1."""

    def __getitem__(self, asset: Any) -> Accessor:
        return self.setdefault(getattr(asset, "name", asset), Accessor())


def test_every_outlet_gets_the_essentials(video: Video, tmp_path: Path) -> None:
    asset, alias, reference = Asset("clips"), AssetAlias("latest"), Asset.ref(name="others")
    events = Accessors()
    task = saver(video, tmp_path / "fox.mp4", outlets=[asset, alias, reference])
    saved = task.execute({"ti": SavingInstance(), "outlet_events": events})  # type: ignore[typeddict-item]
    extra = events["clips"].extra
    assert events["others"].extra == extra
    assert {name: extra[name] for name in saved} == saved
    assert (extra["url"], extra["prompt"]) == (video["url"], "a fox")
    [(added, same)] = events["latest"].added
    assert added.uri.rstrip("/").endswith("fox.mp4")
    assert same == extra


class Dataset:
    """As OpenLineage's: it has nothing of an asset."""

    namespace, name = "file", "/tmp/clips"


OTHERS: list[Any] = ["s3://clips", "a text", Dataset(), None, 7, {"uri": "s3://clips"}]


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: type(other).__name__)
def test_an_outlet_that_is_no_asset_costs_nothing_and_the_others_get_their_events(
    video: Video, tmp_path: Path, other: Any, caplog: pytest.LogCaptureFixture
) -> None:
    events: Any = OutletEventAccessors()
    asset = Asset("clips")
    task = saver(video, tmp_path / "fox.mp4", outlets=[other, asset])
    saved = task.execute({"ti": SavingInstance(), "outlet_events": events})  # type: ignore[typeddict-item]
    assert events[asset].extra["sha256"] == saved["sha256"]
    assert "no asset event" not in caplog.text


@pytest.mark.parametrize("outlet", [AssetAlias("latest"), Asset("clips"), Asset.ref(name="others")], ids=repr)
def test_an_event_that_fails_does_not_fail_the_task_whose_file_is_there(
    video: Video, tmp_path: Path, outlet: Any
) -> None:
    class Failing(dict[Any, Any]):
        def __getitem__(self, key: Any) -> Any:
            raise RuntimeError("Airflow does not answer")

    task, warned = saver(video, tmp_path / "fox.mp4", outlets=[outlet]), list[str]()
    task.log.warning = lambda text, *args: warned.append(text % args)  # type: ignore[method-assign]
    saved = task.execute({"ti": SavingInstance(), "outlet_events": Failing()})  # type: ignore[typeddict-item]
    assert metadata_beside(tmp_path / "fox.mp4")["sha256"] == saved["sha256"]
    assert any("Airflow does not answer" in line for line in warned)


@pytest.mark.every_input
@pytest.mark.parametrize("name", ["zażółć.mp4", "a#b.mp4", "a?b=c.mp4", "a b[1]%.mp4"])
def test_the_asset_of_an_alias_has_a_uri_that_airflow_keeps_whole(video: Video, tmp_path: Path, name: str) -> None:
    events: Any = OutletEventAccessors()
    task = saver(video, tmp_path / name, outlets=[AssetAlias("latest")])
    task.execute({"ti": SavingInstance(), "outlet_events": events})  # type: ignore[typeddict-item]
    [event] = events[AssetAlias("latest")].asset_alias_events
    uri = event.dest_asset_key.uri
    assert uri == f"file://{quote(str(tmp_path / name), safe='/=')}" == event.dest_asset_key.name
    assert event.extra["path"] == str(tmp_path / name)


def test_a_uri_that_is_too_long_for_an_alias_is_refused_at_parse_and_costs_no_file_later(
    video: Video, tmp_path: Path
) -> None:
    long = "/".join(["é" * 100] * 4) + ".mp4"
    with pytest.raises(AirflowFailException, match="AssetAlias"):
        saver(video, f"/clips/{long}", outlets=[AssetAlias("latest")])
    saver(video, f"/clips/{long}", outlets=[Asset("clips")])
    events: Any = OutletEventAccessors()
    task = saver(video, "{{ later }}", outlets=[AssetAlias("latest")])
    task.path = f"{tmp_path}/{long}"
    task.execute({"ti": SavingInstance(), "outlet_events": events})  # type: ignore[typeddict-item]
    assert not events[AssetAlias("latest")].asset_alias_events
    assert (tmp_path / long).exists()


def lineage_collector() -> Any:
    """Make Airflow's own, which it uses where somebody reads it."""
    name = "airflow.sdk.lineage" if importlib.util.find_spec("airflow.sdk.lineage") else "airflow.lineage.hook"  # 3.1
    return importlib.import_module(name).HookLineageCollector()


def test_hook_lineage_has_the_url_and_the_object(video: Video, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.providers.common.compat import sdk

    collector: Any = lineage_collector()
    monkeypatch.setattr(sdk, "get_hook_lineage_collector", lambda: collector, raising=False)
    save(video, tmp_path / "fox.mp4")
    collected = collector.collected_assets
    assert [entry.asset.uri for entry in collected.inputs] == [video["url"]]
    assert [entry.asset.uri for entry in collected.outputs] == [f"file://{tmp_path}/fox.mp4"]


def test_openlineage_is_told_of_both_and_of_the_request(video: Video, tmp_path: Path) -> None:
    task = saver(video, tmp_path / "fox.mp4")
    assert task.get_openlineage_facets_on_complete(None) is None
    task.execute({"ti": SavingInstance(), "outlet_events": {}})  # type: ignore[typeddict-item]
    told = task.get_openlineage_facets_on_complete(None)
    [source], [target] = told.inputs, told.outputs
    assert f"{source.namespace}/{source.name}" == video["url"]
    assert (target.namespace, target.name) == ("file", f"{tmp_path}/fox.mp4")
    assert target.outputFacets["outputStatistics"].size == video["file_size"]
    assert told.run_facets["externalQuery"].externalQueryId == video["request_id"]
    cost = told.run_facets["pika_cost"]
    assert (cost.amount, cost.currency, cost.clips, cost.unknown) == (None, None, 1, 1)
    assert cost.reason == video["cost"]["reason"]
