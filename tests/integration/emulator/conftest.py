"""One emulator for all the tests that do not stop it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.integration.emulator.talk import Caller
from tests.support.emulator import RunningEmulator


@pytest.fixture(scope="session")
def shared_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    """An emulator that serves one small clip for every request."""
    folder, extra = tmp_path_factory.mktemp("emulator"), ["--render", "off"]
    with RunningEmulator.start(folder, generation_time="0.1", extra=extra) as running:
        yield running
        assert complaints(running) == []


@pytest.fixture(scope="session")
def shared_drawing_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    """The same, but each clip is drawn as it was asked for, which takes half a second of a core."""
    with RunningEmulator.start(tmp_path_factory.mktemp("drawing"), generation_time="0.1") as running:
        yield running
        assert complaints(running) == []


def complaints(emulator: RunningEmulator) -> list[str]:
    return [line for line in emulator.stderr.splitlines() if "is no fault, and stays text" not in line]


@pytest.fixture
def emulator(request: pytest.FixtureRequest) -> Iterator[RunningEmulator]:
    """Yield a shared emulator, one that draws for the mark ``drawn``; leave no faults and no unfinished requests."""
    drawn = request.node.get_closest_marker("drawn")
    shared: RunningEmulator = request.getfixturevalue("shared_drawing_emulator" if drawn else "shared_emulator")
    shared.reset_counts()
    yield shared
    shared.clear_faults()
    caller = Caller(shared)
    for made in shared.requests():
        if made["state"] != "COMPLETED":
            caller.cancel(made["request_id"])
            caller.until(made["request_id"], "COMPLETED")


@pytest.fixture
def caller(emulator: RunningEmulator) -> Iterator[Caller]:
    made = Caller(emulator)
    yield made
    made.http.close()


@pytest.fixture(scope="session")
def finished(shared_emulator: RunningEmulator) -> str:
    """Return a request that ended well, for the tests that only read one."""
    caller = Caller(shared_emulator)
    request_id = caller.submit("a cat")
    assert caller.outcome(request_id).status_code == 200
    return request_id


@pytest.fixture
def busy(caller: Caller) -> list[str]:
    """Keep both runners busy for good, so that other requests have to queue."""
    requests = [caller.submit("busy [[never_finish]]") for _ in range(2)]
    for request_id in requests:
        caller.until(request_id, "IN_PROGRESS")
    return requests


@pytest.fixture
def client(emulator: RunningEmulator) -> Iterator[httpx.Client]:
    """Yield a client without a key, as a media host should see it."""
    with emulator.client() as client:
        client.delete("/_emulator/file_requests")
        yield client


@pytest.fixture
def clean(caller: Caller) -> bytes:
    """Return the clip that every request of this prompt has once its faults are over."""
    return caller.http.get(caller.video("a cat")["url"]).content
