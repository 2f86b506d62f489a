"""One emulator for most of the tests that talk to fal."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_pika.batch import item
from airflow_provider_pika.fal import lookup, poll_interval, submission
from airflow_provider_pika.hooks.pika import PikaHook
from airflow_provider_pika.media import decoding
from airflow_provider_pika.media.decoding import Forks
from airflow_provider_pika.triggers import _common
from tests.support.dag_runs import Examples
from tests.support.distribution import Distribution, file_of, put_first
from tests.support.emulator import RunningEmulator
from tests.support.s3 import RunningS3
from tests.support.saving import Video, generated
from tests.support.versions import IS_NEWEST

KEY = "test-key-id:test-key-secret"

#: Parameters of how Airflow runs a task, and of what it is told and asked. All others are inputs of ours.
AIRFLOWS = {
    *("mode", "task", "deferrable", "deferred", "waits", "make", "ask", "submit", "became", "reason", "broken"),
    *("skips", "soft_fail", "switch", "on_clear", "cancel_on_kill", "template", "task_instance", "event", "returned"),
    *("uri", "key", "host", "connection", "outlet", "other", "exception", "page", "asked", "method", "map_index", "by"),
}

#: Files that run in one process, since each process would take seconds of CPU for what they share: Airflow's API
#: server, and the one that ``dag.test`` makes for its tasks.
GROUPS = {
    "pages in a browser": ("in_a_browser", "test_end_to_end", "test_base_url"),
    "pages": ("/pages/",),
    "dag.test": ("test_cookbook", "test_fallback", "test_rows_of_strangers"),
}

#: What takes longest, in its order: 40 s and more.
LONGEST = (
    *(word for words in GROUPS.values() for word in words),
    *("test_resuming", "test_testing", "test_batch_save_to", "test_saving_batch", "test_cli", "test_saving_faults"),
    *("test_sensor", "test_execution_timeout", "test_poster", "test_bombs", "test_hostile_sizes", "test_batch_changes"),
    *("test_batch.py", "test_decoding", "test_hostile_echoes", "test_unmodified_clients", "test_load"),
)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Distribution:
    """Share the tests out by files."""

    def group_of(nodeid: str) -> str:
        groups = (group for group, words in GROUPS.items() if any(word in nodeid for word in words))
        return next(groups, file_of(nodeid))

    return Distribution(config, log, group_of)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    Begin with what takes longest.

    On an older Airflow, run a test once for all inputs of ours, unless it has the mark ``every_input``.
    """
    put_first(items, LONGEST)
    if IS_NEWEST:
        return
    seen, kept, left_out = set[object](), list[pytest.Item](), list[pytest.Item]()
    for each in items:
        family = family_of(each)
        (left_out if family in seen else kept).append(each)
        seen.add(family)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)


def is_ours(value: object) -> bool:
    """Return whether a value names a kind of our tasks. Others may be numbers that cannot be compared."""
    return isinstance(value, str) and value in ("operator", "sensor")


def family_of(test: pytest.Item) -> object:
    """Return what is equal for tests that differ in inputs of ours only."""
    inputs: dict[str, object] = test.callspec.params if hasattr(test, "callspec") else {}
    if not test.path.is_relative_to(Path(__file__).parent) or test.get_closest_marker("every_input"):
        return test.nodeid
    told = {name: repr(value) for name, value in inputs.items() if name in AIRFLOWS or is_ours(value)}
    return test.nodeid.partition("[")[0], tuple(sorted(told.items()))


@pytest.fixture(scope="session")
def shared_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    """An emulator with one good key, quick to generate; each of its clips is the same small one."""
    data, extra = tmp_path_factory.mktemp("emulator"), ["--render", "off"]
    with RunningEmulator.start(data, runners=4, generation_time="0.3", keys=[KEY], extra=extra) as running:
        yield running


@pytest.fixture(scope="session")
def shared_drawing_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    """The same, but each clip is drawn as it was asked for, which takes half a second of a core."""
    data: Path = tmp_path_factory.mktemp("drawing")
    with RunningEmulator.start(data, runners=4, generation_time="0.3", keys=[KEY]) as running:
        yield running


@pytest.fixture
def emulator(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningEmulator]:
    """A shared emulator, counted from zero and without faults, behind the default connection.

    It draws where a test, or its module, has the mark ``drawn``.
    """
    drawn = request.node.get_closest_marker("drawn")
    shared = request.getfixturevalue("shared_drawing_emulator" if drawn else "shared_emulator")
    shared.clear_faults()
    shared.reset_counts()
    connect(monkeypatch, shared.queue_url)
    yield shared
    shared.clear_faults()


@pytest.fixture(scope="session")
def shared_video(shared_drawing_emulator: RunningEmulator) -> Video:
    """One drawn clip for all who only save it."""
    with pytest.MonkeyPatch.context() as meanwhile:
        connect(meanwhile, shared_drawing_emulator.queue_url)
        made, _ = generated()
    return made


@pytest.fixture
def video(emulator: RunningEmulator, shared_video: Video) -> Video:
    """A drawn clip, for a test with the mark ``drawn``; nobody is known to have fetched it."""
    emulator.reset_file_requests()
    return copy.deepcopy(shared_video)


@pytest.fixture(scope="session")
def shared_quick_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    """An emulator with a runner for everyone, that draws nothing."""
    data, extra = tmp_path_factory.mktemp("quick"), ["--render", "off"]
    with RunningEmulator.start(data, runners=100, generation_time="0.3", keys=[KEY], extra=extra) as running:
        yield running


@pytest.fixture
def quick_emulator(
    shared_quick_emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningEmulator]:
    """The shared quick one, as ``emulator`` is the other."""
    shared_quick_emulator.clear_faults()
    shared_quick_emulator.reset_counts()
    connect(monkeypatch, shared_quick_emulator.queue_url)
    yield shared_quick_emulator
    shared_quick_emulator.clear_faults()


@pytest.fixture(scope="session")
def shared_s3() -> Iterator[RunningS3]:
    """One S3 server for all: Airflow keeps a store by its connection's id, with the address it had first."""
    with RunningS3() as running:
        yield running


@pytest.fixture
def s3(shared_s3: RunningS3, monkeypatch: pytest.MonkeyPatch) -> RunningS3:
    """The shared S3 server, with an empty bucket, behind the connection ``clips_store``."""
    for key in shared_s3.objects():
        shared_s3.client.delete_object(Bucket=shared_s3.bucket, Key=key)
    for name, value in shared_s3.connection.items():
        monkeypatch.setenv(name, value)
    return shared_s3


@pytest.fixture(scope="session")
def shared_forks() -> Iterator[Forks]:
    """What decodes for all."""
    with Forks() as forks:
        yield forks


@pytest.fixture(autouse=True)
def forked_decoders(shared_forks: Forks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode in forks of one process, as a batch does: a start takes a fifth of a second of CPU for each clip."""
    monkeypatch.setattr(decoding, "_said_of_one", shared_forks.said_of)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten what a submit, a trigger and a batch wait for: three minutes of searching to half a second."""
    pauses = ((lookup, "SEARCH_PAUSES"), (submission, "REPEAT_AFTER"), (_common, "CONNECT_PAUSES"))
    for module, name in pauses:
        monkeypatch.setattr(module, name, tuple(seconds / 300 for seconds in getattr(module, name)))
    monkeypatch.setattr(_common, "SETTLED_AFTER", 0.0)
    monkeypatch.setattr(item, "TOP_UP_EVERY", 0.0)


@pytest.fixture
def examples(airflow_db: None, emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Examples]:
    """The example Dags, to run them in this process; a wait polls often, since these clips take half a second."""
    monkeypatch.setattr(poll_interval, "LONGEST_UNKNOWN", 0.5)
    made = Examples(monkeypatch)
    yield made
    made.forget()


@pytest.fixture
def nothing_left_running(emulator: RunningEmulator) -> Iterator[None]:
    """Free the runners that other tests need, also where a test fails."""
    yield
    for request in emulator.requests():
        if request["state"] != "COMPLETED":
            PikaHook().cancel(request["endpoint_id"], request["request_id"])


def connect(
    monkeypatch: pytest.MonkeyPatch, queue_url: str, key: str = KEY, conn_id: str = "pika_default", **extra: object
) -> None:
    """Make an Airflow connection of type pika."""
    connection = {"conn_type": "pika", "host": queue_url, "password": key, "extra": extra}
    monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
