"""A restart keeps everything, whether the emulator was asked to stop or was killed."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.emulator.talk import ENDPOINT, Caller
from tests.support.emulator import RunningEmulator


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RunningEmulator]:
    """Yield an emulator to stop and kill, with one runner that takes its time."""
    with RunningEmulator.start(tmp_path / "data", runners=1, generation_time="0.6") as emulator:
        yield emulator


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_restart_loses_nothing(own: RunningEmulator, end: str) -> None:
    caller = Caller(own)
    done = caller.submit("done")
    video = caller.outcome(done).json()["video"]
    running, first, second = (caller.submit(name) for name in ("running", "first", "second"))
    caller.until(running, "IN_PROGRESS")
    counts, url = own.counts(), own.queue_url
    getattr(own, end)()
    own.restart()
    caller = Caller(own)
    assert own.queue_url == url
    assert own.counts()["submit"] == counts["submit"]
    assert caller.result(done).json()["video"] == video
    assert len(httpx.get(video["url"]).content) == video["file_size"]
    assert caller.status(second).json()["queue_position"] >= 1
    for request_id in (running, first, second):
        assert caller.outcome(request_id).status_code == 200
    requests = {request["request_id"]: request for request in own.requests()}
    assert requests[running]["attempts"] == 2
    started = [requests[request_id]["started_at"] for request_id in (running, first, second)]
    assert started == sorted(started)


def test_faults_survive_a_restart(own: RunningEmulator) -> None:
    own.fault("http_503", times=2)
    caller = Caller(own)
    assert caller.post("a cat").status_code == 503
    own.kill()
    own.restart()
    caller = Caller(own)
    assert [caller.post("a cat").status_code for _ in range(2)] == [503, 200]


def test_a_synchronous_run_does_not_outlive_its_caller(own: RunningEmulator) -> None:
    with (
        own.client(base_url=own.run_url, headers={"Authorization": "Key k"}) as client,
        pytest.raises(httpx.ReadTimeout),
    ):
        client.post(f"/{ENDPOINT}", json={"prompt": "a cat [[never_finish]] [[ignore_cancel]]"}, timeout=0.3)
    own.kill()
    own.restart()
    (request,) = own.requests()
    assert (request["state"], request["error_type"]) == ("COMPLETED", "client_disconnected")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 0)])
def test_a_signal_ends_it_quickly_and_quietly(own: RunningEmulator, number: signal.Signals, code: int) -> None:
    """Also with a stalled reply, an open stream, a rendering and an idle connection."""
    caller, long = Caller(own), "1080p"
    running = caller.submit("a cat", resolution=long, duration=10)
    with own.client(headers={"Authorization": "Key k"}, timeout=0.3) as client:
        with pytest.raises(httpx.ReadTimeout):
            client.post(f"/{ENDPOINT}", json={"prompt": "[[stall]]"})
        stream = client.send(client.build_request("GET", f"/fal-ai/pika/requests/{running}/status/stream"), stream=True)
        caller.until(running, "IN_PROGRESS")
        began = time.monotonic()
        assert own.stop(number) == code
        assert time.monotonic() - began < 5  # then it would be killed
        stream.close()
    assert own.stderr == ""
