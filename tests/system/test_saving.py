"""Files from a real Airflow: a worker killed in the middle of a write, the Dag that waits for an asset.

And what a real worker tells others: OpenLineage, and StatsD.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from tests.support.emulator import RunningEmulator
from tests.support.running_airflow import RunningAirflow, until
from tests.support.s3 import RunningS3
from tests.support.saved import metadata_beside, names_in
from tests.support.statsd import RunningStatsd
from tests.system.stage import TOLD_ENDPOINT, Stage

DAG, TOLD = "saved", "told"
PRODUCTS = ["bicycle.mp4", "kettle.mp4", "radio.mp4", "scarf.mp4"]


@pytest.fixture
def statsd(stage: Stage) -> Iterator[RunningStatsd]:
    """Where Airflow sends our metrics, whoever listens."""
    with RunningStatsd.start(stage.statsd) as running:
        yield running


@pytest.mark.newest
def test_a_worker_killed_in_the_middle_of_a_write_leaves_no_half_file_and_the_retry_delivers(
    airflow: RunningAirflow, emulator: RunningEmulator, s3: RunningS3, tmp_path: Path
) -> None:
    path, key = tmp_path / "clips" / "fox.mp4", "whales/whale.mp4"
    on_disk = airflow.start_run(DAG, prompt="a fox [[slow_download bytes_per_second=30000]]", path=str(path))
    until(lambda: list(path.parent.glob(".pika-*.lock")), "the download to begin", 120)
    time.sleep(1.0)  # a tenth of the file: what has no name yet shows no size
    airflow.kill_worker(DAG, on_disk, "save")
    [left] = names_in(path.parent)
    assert left.endswith(".lock")

    in_bucket = airflow.start_run(
        DAG, prompt="a whale [[large_file bytes=90000000]]", path=f"s3://clips/{key}", conn_id="clips_store"
    )
    until(lambda: s3.uploads() > 0, "the upload to begin", 120, every=0.02)
    with s3.stopped():
        airflow.kill_worker(DAG, in_bucket, "save")
    assert s3.objects() == []

    assert [airflow.end_of_run(DAG, run_id) for run_id in (on_disk, in_bucket)] == ["success", "success"]
    assert names_in(path.parent) == ["fox.mp4", "fox.mp4.jpg", "fox.mp4.json"]
    assert s3.objects() == [key, f"{key}.jpg", f"{key}.json"]
    for run_id, content in ((on_disk, path.read_bytes()), (in_bucket, s3.read(key))):
        assert airflow.instance(DAG, run_id, "save")["try_number"] == 2
        saved = airflow.xcom(DAG, run_id, "save")
        assert saved["sha256"] == hashlib.sha256(content).hexdigest()
    metadata = metadata_beside(path)
    assert (metadata["run_id"], metadata["task_id"], metadata["map_index"]) == (on_disk, "save", -1)
    assert len(emulator.requests("a fox [[slow_download")) == 1  # nothing was paid for again


def test_openlineage_is_told_what_came_from_where_and_statsd_how_it_went(
    airflow: RunningAirflow, stage: Stage, statsd: RunningStatsd, tmp_path: Path
) -> None:
    run_id = airflow.start_run(TOLD, prompt="a heron", path=str(tmp_path / "heron.mp4"))
    assert airflow.end_of_run(TOLD, run_id) == "success"
    video = airflow.xcom(TOLD, run_id, "video")
    told = until(lambda: completed(stage.lineage, video["request_id"]), "OpenLineage's event", 60)
    [source], [target] = told["inputs"], told["outputs"]
    assert f"{source['namespace']}/{source['name']}" == video["url"]
    assert (target["namespace"], target["name"]) == ("file", f"{tmp_path}/heron.mp4")
    assert target["outputFacets"]["outputStatistics"]["size"] == video["file_size"]
    assert target["facets"]["documentation"]["description"] == "a heron"
    cost = told["run"]["facets"]["pika_cost"]
    assert {name: value for name, value in cost.items() if not name.startswith("_")} == {
        "amount": "0.30", "currency": "USD", "basis": "billed", "clips": 1, "unknown": 0,
    }  # fmt: skip
    assert cost["_producer"].startswith("https://")
    assert cost["_schemaURL"].startswith("https://")
    endpoint = "endpoint=" + TOLD_ENDPOINT.replace("/", "_")
    ours = [packet for packet in statsd.ours() if endpoint in packet]
    packets = [packet for packet in ours if not packet.endswith("|ms")]
    assert packets == [f"clips,{endpoint},state=done,error=none:1|c", f"cost_microusd,{endpoint}:300000|c"]
    timings = dict(packet.removesuffix("|ms").split(":") for packet in ours if packet.endswith("|ms"))
    assert timings.keys() == {f"run_time,{endpoint}", f"queue_time,{endpoint}"}
    assert float(timings[f"run_time,{endpoint}"]) == pytest.approx(video["inference_time"] * 1000, abs=0.01)


def completed(events: Path, request_id: str) -> dict[str, Any] | None:
    """Return the event of the finished task that saved a request's video."""
    for line in events.read_text().splitlines() if events.exists() else ():
        event: dict[str, Any] = json.loads(line)
        query = event["run"]["facets"].get("externalQuery", {})
        if event["eventType"] == "COMPLETE" and query.get("externalQueryId") == request_id:
            return event
    return None


@pytest.mark.before_release
def test_a_days_product_clips_get_a_contact_sheet_and_wake_the_dag_that_waits_for_them(
    airflow: RunningAirflow, tmp_path: Path
) -> None:
    consumer = "example_pika_new_product_clips"
    until(lambda: airflow.call("PATCH", f"/api/v2/dags/{consumer}", json={"is_paused": False}), "the consumer", 60)
    run_id = airflow.start_run("example_pika_product_clips", folder=str(tmp_path))
    assert airflow.end_of_run("example_pika_product_clips", run_id) == "success"
    sheet = Path(airflow.xcom("example_pika_product_clips", run_id, "contact_sheet"))
    assert names_in(sheet.parent) == sorted(
        [*PRODUCTS, *(f"{name}.{kind}" for name in PRODUCTS for kind in ("jpg", "json")), "contact-sheet.png"]
    )
    with Image.open(sheet) as picture:
        assert picture.width == 3 * 320
        assert len(picture.convert("RGB").getcolors(1 << 24) or ()) > 500  # frames, not paper
    for name in PRODUCTS:
        with av.open(str(sheet.parent / name)) as container:
            assert container.streams.video[0].width == 854
        assert metadata_beside(sheet.parent / name)["prompt"].startswith("A ")
    told = airflow.call("GET", "/api/v2/assets/events", params={"source_run_id": run_id})["asset_events"]
    assert sorted(event["extra"]["path"] for event in told) == [str(sheet.parent / name) for name in PRODUCTS]
    assert all(event["extra"]["sha256"] and event["extra"]["url"] for event in told)
    # how many of the events one run of the consumer takes is the scheduler's affair
    published = until(lambda: first_published(airflow, consumer), "a run of the consumer", 240)
    assert {str(Path(path).parent) for path in published} == {str(sheet.parent)}


def first_published(airflow: RunningAirflow, consumer: str) -> list[str] | None:
    """Return what the first run of the consumer that has ended well was told of."""
    for run in airflow.call("GET", f"/api/v2/dags/{consumer}/dagRuns")["dag_runs"]:
        if run["state"] == "success":
            published: list[str] = airflow.xcom(consumer, run["dag_run_id"], "publish")
            return published
    return None
