"""A batch, and its clips as files, on the disk and in a bucket: workers and triggerers die, and none is paid twice.

Both runs are killed at the same moments. The bucket's clips come from a host that drips, resets and has lost some.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from airflow_provider_pika.batch.submitter import HANDS
from airflow_provider_pika.media import decoder
from tests.chaos.conftest import ROWS, Stage
from tests.support.components import processes
from tests.support.destinations import Bucket, Destination, Folder, Watcher
from tests.support.emulator import RunningEmulator
from tests.support.files_run import DAG, FilesRun, Made
from tests.support.postgres import RunningPostgres
from tests.support.running_airflow import RunningAirflow, until
from tests.support.s3 import RunningS3
from tests.support.sizes import SOAK, size

#: Clips of each run: more than a task returns one by one. A bucket of the test's own S3 server takes a second for ten:
#: it looks each name up in all others.
CLIPS = {"disk": size(120, 10_000), "bucket": size(120, 2000)}

#: Clips that the operator saves at once, by default: those that a kill may cut.
AT_ONCE = 16

#: The clips whose requests fal accepts, and whose replies are held: one for each submit that a worker has under way. It
#: is killed then. Of a submit that was cut before fal had it, a retry waits three minutes for news.
HELD = range(64, 64 + HANDS)

#: Seconds.
ENDED_WITHIN = size(300, 7200)

#: Characters of each row of the table of triggers, while both runs wait.
ROWS_OF_TRIGGERS: list[int] = []

KEY = "files-key-id:files-key-secret"

#: The number of a clip, less its hundreds, and what its host does. Of a hundred, one file is gone for good, one until
#: the task has given it up, and one for a moment.
GONE, GIVEN_UP, BACK_SOON = 13, 57, 91
FAULTS = {
    GONE: "[[expired_file]]",
    GIVEN_UP: "[[http_404 on=file times=3]]",
    BACK_SOON: "[[http_404 on=file]]",
    **dict.fromkeys((5, 35, 65), "[[slow_download bytes_per_second=40000]]"),
    **dict.fromkeys((15, 45, 75), "[[reset_midway bytes=50000]]"),
    **dict.fromkeys((25, 55, 85), "[[stall_midway bytes=60000 seconds=60]]"),
    30: "[[http_503 on=file]]",
}

#: A host that is only slow, now and then: what is half has time to be seen.
SLOW = dict.fromkeys(range(0, 100, 10), "[[slow_download bytes_per_second=50000]]")


@pytest.fixture(scope="module")
def files_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    """An emulator that generates a thousand clips at once, and quickly; it draws none."""
    folder, extra = tmp_path_factory.mktemp("files-emulator"), ["--render", "off"]
    with RunningEmulator.start(folder, runners=1000, generation_time="3-5", keys=[KEY], extra=extra) as running:
        yield running


@pytest.fixture(scope="module")
def s3() -> Iterator[RunningS3]:
    with RunningS3() as running:
        yield running


@pytest.fixture(scope="module")
def runs(
    stage: Stage,
    files_emulator: RunningEmulator,
    s3: RunningS3,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, FilesRun]]:
    """Both runs, ended, whatever was killed."""
    airflow = stage.airflow
    connect(airflow, files_emulator, s3)
    places: dict[str, Destination] = {"disk": Folder(tmp_path_factory.mktemp("files")), "bucket": Bucket(s3, "files")}
    with ExitStack() as stack:
        both = {
            name: FilesRun(airflow, files_emulator, name, CLIPS[name], place, stack.enter_context(Watcher(place)))
            for name, place in places.items()
        }
        everything = list(both.values())
        kill_while_they_submit(everything)
        kill_while_they_wait(everything, airflow, stage.database)
        with ThreadPoolExecutor() as pool:  # neither may be over before its turn comes
            list(pool.map(kill_while_it_saves, everything))
        for run in everything:
            run.end(ENDED_WITHIN)
        airflow.until_healthy()
    yield both
    ROWS.extend(run.row() for run in both.values())


def connect(airflow: RunningAirflow, emulator: RunningEmulator, s3: RunningS3) -> None:
    """Make the connections in Airflow's own database."""
    store = json.loads(s3.connection["AIRFLOW_CONN_CLIPS_STORE"])
    store["extra"] = json.dumps(store["extra"])
    queue = {"conn_type": "pika", "host": emulator.queue_url, "password": KEY}
    for connection_id, connection in (("files_queue", queue), ("clips_store", store)):
        airflow.call("POST", "/api/v2/connections", json={"connection_id": connection_id, **connection})


def kill_while_they_submit(runs: list[FilesRun]) -> None:
    """Begin both runs, and kill each worker when all the submits that it has under way wait for their replies.

    A whole worker is missed after 20 s, a task's own process at once: that is what is killed where time is short.
    """
    for run, faults in zip(runs, (SLOW, FAULTS), strict=True):
        for number in HELD:
            run.emulator.fault("stall", match=run.prompt(number), seconds=600)
        run.begin([faults.get(number, "") for number in range(100)])
    for run in runs:
        worker = run.worker("batch")
        run.until_submitted(HELD, within=240)
        run.kill(worker, whole=SOAK)


def kill_while_they_wait(runs: list[FilesRun], airflow: RunningAirflow, database: RunningPostgres) -> None:
    """Kill both triggerers, and start them again."""
    triggerers = [name for name in airflow.components if name.startswith("triggerer")]
    for run in runs:
        airflow.until_state(DAG, run.run_id, "batch", "deferred", "failed", within=ENDED_WITHIN)
    ROWS_OF_TRIGGERS.extend(map(len, database.dump("trigger").splitlines()))
    for name in triggerers:
        airflow.kill(name)
    for name in triggerers:
        airflow.start(name)


def kill_while_it_saves(run: FilesRun) -> None:
    """Kill the worker twice."""
    for share, whole in ((4, False), (2, SOAK)):
        run.kill_while_it_saves(run.clips // share, whole=whole)


@pytest.fixture(params=["disk", "bucket"])
def run(runs: dict[str, FilesRun], request: pytest.FixtureRequest) -> FilesRun:
    return runs[request.param]


@pytest.fixture
def made(run: FilesRun) -> dict[int, Made]:
    return run.made()


def lost(run: FilesRun, *kinds: int) -> set[int]:
    """Return the clips that the host of the bucket's run has lost, in these ways."""
    return {n for n in range(run.clips) if n % 100 in kinds} if run.name == "bucket" else set()


def test_each_prompt_is_paid_for_once_whatever_was_killed(run: FilesRun) -> None:
    prompts = [request["input"]["prompt"] for request in run.requests()]
    assert len(prompts) == len(set(prompts)) == run.clips
    assert run.airflow.instance(DAG, run.run_id, "batch")["try_number"] >= 2
    assert "Found it: request" in "\n".join(run.airflow.logs(DAG, run.run_id, "batch"))
    assert [line["state"] for line in run.lines("batch.jsonl")] == ["done"] * run.clips


def test_each_clip_is_a_file_of_its_own_bytes_in_the_order_of_the_prompts(run: FilesRun, made: dict[int, Made]) -> None:
    lines, unsaved = run.lines("saved.jsonl"), set[int]()
    assert [line["index"] for line in lines] == list(range(run.clips))
    for line in lines:
        number = line["index"]
        assert (line["request_id"], line["name"]) == (made[number].request_id, f"{run.name}-{number:05d}")
        if line["state"] == "failed":
            assert line["error_type"] == "VideoExpired"
            unsaved.add(number)
            continue
        content = run.destination.read(run.file(number))
        assert (line["sha256"], line["bytes"]) == (made[number].sha256, len(made[number].content))
        assert content == made[number].content
        assert json.loads(run.destination.read(f"{run.file(number)}.json"))["request_id"] == made[number].request_id
    assert lost(run, GONE) <= unsaved <= lost(run, GONE, GIVEN_UP)
    saved = run.xcom("save")
    assert (saved["total"], saved["saved"], saved["unsaved"]) == (run.clips, run.clips - len(unsaved), len(unsaved))
    assert len({each.sha256 for each in made.values()}) == run.clips  # or a swap would not be seen


def test_nothing_half_ever_showed_under_a_clips_name(run: FilesRun, made: dict[int, Made]) -> None:
    numbers = {run.file(number): number for number in made}
    assert len(run.watcher.seen) >= run.clips // 2  # on a busy machine it looks less often, and misses the last ones
    for name, seen in run.watcher.seen.items():
        content = made[numbers[name]].content
        assert seen == {(len(content), run.destination.digest(content))}, name


def test_nothing_is_left_but_clips_with_their_metadata_and_posters(run: FilesRun) -> None:
    saved = [line for line in run.lines("saved.jsonl") if line["state"] == "saved"]
    clips = {run.file(line["index"]) for line in saved}
    beside = {f"{name}{suffix}" for name in clips for suffix in (".json", ".jpg")}
    assert set(run.destination.names()) == clips | beside | {"batch.jsonl", "saved.jsonl"}


def test_no_file_is_fetched_twice_but_those_that_a_kill_cut(run: FilesRun, made: dict[int, Made]) -> None:
    paths = {run.file(number): each.url_path for number, each in made.items()}
    assert len(run.kills) == 2
    for there, begun in run.kills:
        assert run.clips // 4 <= len(there) < run.clips
        assert not {paths[name] for name in there} & run.downloads(begun).keys()
    attempts = run.airflow.instance(DAG, run.run_id, "save")["try_number"]  # a busy machine may lose heartbeats, too
    downloads = run.downloads()
    again = sum(downloads[path] - 1 for path in paths.values() if downloads[path])
    unsaved = sum(log.count(" is not saved: ") for log in run.airflow.logs(DAG, run.run_id, "save")[:-1])
    assert again <= AT_ONCE * (attempts - 1) + unsaved  # a store of ten thousand names may be too slow for some


def test_no_decoder_outlives_a_killed_worker(runs: dict[str, FilesRun]) -> None:
    def gone() -> bool:
        return not [process for process in processes() if str(decoder.__file__) in process.title]

    until(gone, "the decoders to end", 10)


def test_a_clear_fetches_the_clips_that_are_back_and_no_other(runs: dict[str, FilesRun]) -> None:
    run = runs["bucket"]
    before, begun = run.xcom("save"), len(run.emulator.file_requests())
    run.airflow.clear(DAG, run.run_id, "save")
    run.end(ENDED_WITHIN)
    after = run.xcom("save")
    gone = lost(run, GONE)
    assert (after["unsaved"], after["saved"]) == (len(gone), run.clips - len(gone))
    assert run.downloads(begun).total() == after["saved"] - before["saved"]
    states = {line["index"]: line["state"] for line in run.lines("saved.jsonl")}
    assert {number for number, state in states.items() if state == "failed"} == gone


def test_what_airflow_keeps_of_the_clips_stays_small(runs: dict[str, FilesRun], stage: Stage) -> None:
    assert 0 < max(ROWS_OF_TRIGGERS) < 65_536  # a TEXT of MySQL's
    assert max(map(len, stage.database.dump("task_state_store").splitlines())) < 65_536
    for run in runs.values():
        for task_id in ("batch", "save"):
            assert len(json.dumps(run.xcom(task_id))) < 1000
