"""Load tests: rendering turned off, thousands of requests at once, and the exact times of each."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from airflow_provider_pika.emulator.data_folder import Database
from airflow_provider_pika.emulator.engine.records import Outcome, Submission
from airflow_provider_pika.emulator.engine.store import Store
from tests.integration.emulator.talk import ENDPOINT, Caller
from tests.integration.emulator.test_files import measure
from tests.support.emulator import RunningEmulator
from tests.support.sizes import size

#: What a generation takes here.
SECONDS = 0.45

STREAMS = 200


@pytest.fixture
def unrendered(tmp_path: Path) -> Iterator[RunningEmulator]:
    extra = ["--render", "off"]
    with RunningEmulator.start(tmp_path, runners=1000, generation_time=str(SECONDS), extra=extra) as emulator:
        yield emulator
        assert emulator.stderr == ""


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of the process so far. /proc counts in hundredths of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_without_rendering_every_url_is_the_same_small_real_video(unrendered: RunningEmulator) -> None:
    caller = Caller(unrendered)
    videos = [caller.video(prompt, resolution="1080p", duration=10) for prompt in ("a cat", "a dog")]
    one, two = (httpx.get(video["url"]) for video in videos)
    assert [list(video) for video in videos] == [["url", "content_type", "file_name", "file_size"]] * 2
    assert videos[0]["url"] != videos[1]["url"]
    assert one.content == two.content
    assert one.headers["content-type"] == videos[0]["content_type"] == "video/mp4"
    assert len(one.content) == videos[0]["file_size"] < 200_000
    assert measure(one.content) == (854, 480, 1.0)


def test_without_rendering_a_generation_still_takes_its_time(unrendered: RunningEmulator) -> None:
    caller = Caller(unrendered)
    status = caller.until(caller.submit("a cat"), "COMPLETED")
    assert SECONDS <= status["metrics"]["inference_time"] < SECONDS + 2


def test_without_rendering_hundreds_run_at_once(unrendered: RunningEmulator) -> None:
    """If they waited for each other's threads, it would take a minute."""
    caller = Caller(unrendered)
    began = time.monotonic()
    requests = [caller.submit(f"cat {number}", seed=number) for number in range(200)]
    assert {caller.outcome(request_id).status_code for request_id in requests} == {200}
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("fault", ["truncated_file", "broken_file", "html_file"])
def test_without_rendering_a_spoilt_file_spoils_no_other(unrendered: RunningEmulator, fault: str) -> None:
    caller = Caller(unrendered)
    sound = caller.video("sound")
    spoilt = caller.video(f"spoilt [[{fault}]]")
    whole, other = (httpx.get(video["url"]).content for video in (sound, spoilt))
    assert len(whole) == sound["file_size"] == spoilt["file_size"]
    assert other != whole
    assert httpx.get(caller.video("sound")["url"]).content == whole


def test_without_rendering_a_kill_loses_nothing(unrendered: RunningEmulator) -> None:
    caller = Caller(unrendered)
    url = caller.video("done")["url"]
    content = httpx.get(url).content
    running = caller.submit("running")
    caller.until(running, "IN_PROGRESS")
    unrendered.kill()
    unrendered.restart()
    assert httpx.get(url).content == content
    assert Caller(unrendered).outcome(running).status_code == 200
    assert unrendered.requests("running")[0]["attempts"] == 2


def test_open_streams_cost_next_to_nothing_while_nothing_happens(emulator: RunningEmulator, busy: list[str]) -> None:
    url = f"{emulator.queue_url}/fal-ai/pika/requests/{busy[0]}/status/stream?logs=1"
    limits = httpx.Limits(max_connections=STREAMS)
    with ExitStack() as stack, emulator.client(headers={"Authorization": "Key k"}, limits=limits) as client:
        streams = [stack.enter_context(client.stream("GET", url)).iter_lines() for _ in range(STREAMS)]
        assert all("IN_PROGRESS" in next(lines) for lines in streams)
        before = cpu_seconds(emulator.pid)
        time.sleep(2)
        assert cpu_seconds(emulator.pid) - before < 0.1


def test_a_stream_tells_the_end_at_once(unrendered: RunningEmulator) -> None:
    caller = Caller(unrendered)
    delays = []
    for number in range(5):
        path = f"/fal-ai/pika/requests/{caller.submit(f'cat {number}')}/status/stream"
        with caller.http.stream("GET", path) as reply:
            told = next(time.time() for line in reply.iter_lines() if "COMPLETED" in line)
        delays.append(told - unrendered.requests(f"cat {number}")[0]["ended_at"])
    assert 0 <= min(delays) < 0.03


def test_a_stream_tells_each_position_in_the_queue(caller: Caller, busy: list[str]) -> None:
    first, second, third = (caller.submit(name) for name in ("first", "second", "third"))
    path = f"/fal-ai/pika/requests/{third}/status/stream"
    seen = []
    with caller.http.stream("GET", path) as reply:
        for line in reply.iter_lines():
            if line.startswith("data: "):
                seen.append(httpx.Response(200, text=line.removeprefix("data: ")).json().get("queue_position"))
                caller.cancel({2: second, 1: first, 0: third}.get(seen[-1], third))
    assert seen == [2, 1, 0, None]


def test_each_request_says_when_it_was_sent_started_and_ended(caller: Caller, emulator: RunningEmulator) -> None:
    before = time.time()
    request_id = caller.submit("timed")
    sent = time.time()
    caller.until(request_id, "COMPLETED")
    (request,) = [each for each in emulator.requests("timed") if each["request_id"] == request_id]
    times = [request[name] for name in ("sent_at", "started_at", "ended_at")]
    assert [type(each) for each in times] == [float] * 3
    assert before <= times[0] <= sent
    assert times == sorted(times)
    assert times[2] <= time.time()


def test_what_has_not_happened_yet_has_no_time(caller: Caller, busy: list[str], emulator: RunningEmulator) -> None:
    queued = caller.submit("queued")
    requests = {each["request_id"]: each for each in emulator.requests()}
    assert requests[queued]["started_at"] is None
    assert requests[busy[0]]["started_at"] is not None
    assert requests[queued]["ended_at"] is requests[busy[0]]["ended_at"] is None


def test_requests_can_be_listed_from_a_moment_on(caller: Caller, emulator: RunningEmulator) -> None:
    caller.submit("before")
    moment = time.time()
    after = caller.submit("after")
    reply = httpx.get(f"{emulator.queue_url}/_emulator/requests", params={"since": moment})
    assert [request["request_id"] for request in reply.json()] == [after]


@pytest.mark.soak
def test_thousands_of_requests_are_listed_in_one_call(tmp_path: Path) -> None:
    count = size(2_000, 10_000)
    database = Database(tmp_path)
    store, body = Store(database), b'{"prompt": "a cat"}'
    with store.transaction():
        for _ in range(count):
            job = store.start(store.add(Submission(ENDPOINT, "http://127.0.0.1:8188", body)), [])
            store.finish(job, Outcome(200, {"video": {"url": "http://127.0.0.1:8188/files/b/0/x.mp4"}}), "0/x.mp4")
    database.close()
    with RunningEmulator.start(tmp_path) as emulator:
        assert len(emulator.requests()) == count


def test_it_does_without_the_quick_parser() -> None:
    """The parser comes with Airflow, but not with the extra alone."""
    code = (
        "import sys; sys.modules['httptools'] = None\n"
        "from airflow_provider_pika.emulator.http.transport import AbortableProtocol\n"
        "print(AbortableProtocol.__mro__[1])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "H11Protocol" in done.stdout
