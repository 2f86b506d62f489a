"""`make demo`, `make clips` and `make standalone`, as a person runs them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import av
import httpx
import pytest

from dev.airflow_home import ROOT
from dev.clips import FOLDER, page_of
from tests.support.running_airflow import free_port, until


def start(module: str, **environment: str) -> subprocess.Popen[str]:
    """Start a command of ours in a session of its own, so that what it leaves behind can be found."""
    return subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def processes_with(marker: str) -> list[int]:
    """Return the processes that have this in their environment: all that a command started, wherever they went."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def nothing_left_of(marker: str) -> bool:
    return not processes_with(marker)


@pytest.fixture
def marker(request: pytest.FixtureRequest) -> Iterator[str]:
    """A mark for the environment of a command; whatever is left with it at the end is killed."""
    value = f"{request.node.name}-{os.getpid()}"
    yield value
    for pid in processes_with(value):
        os.kill(pid, signal.SIGKILL)


def test_the_demo_shows_each_step_and_ends_with_a_playable_video(marker: str) -> None:
    prompt = f'-A "quoted" whale\'s $HOME, $(whoami), `id` & {{{{ sky }}}} = # % \\ $$ ünï\n{marker} $(shell id)'
    shown, _ = start("dev.demo", PROMPT=prompt, MARKER=marker).communicate(timeout=300)
    lines = shown.splitlines()
    assert "No FAL_KEY is set" in lines[0]
    assert "airflow.log" in lines[1]
    for step in ("Submitted to", "In the queue, position 1", "In the queue, position 0", "fal: ", "Finished: "):
        assert any(step in line for line in lines), (step, shown)
    assert len(lines) < 30, shown
    assert "See it in Airflow: `make clips`, then http://localhost:8081/pika/clip?dag_id=" in lines[-3]
    assert lines[-2] == f"{lines[-1]}.json"
    assert json.loads((ROOT / lines[-2]).read_text())["prompt"] == prompt
    with av.open(str(ROOT / lines[-1])) as container:
        assert container.streams.video[0].width == 1280
    assert nothing_left_of(marker)


def test_an_interrupted_demo_leaves_nothing_behind(marker: str) -> None:
    process = start("dev.demo", MARKER=marker)
    assert process.stdout is not None
    told = []
    for line in process.stdout:
        told.append(line)
        if "In the queue" in line:
            break
    # Ctrl-C reaches everything in the terminal's foreground group
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130, told
    rest = process.stdout.read()
    assert "Traceback" not in rest
    until(lambda: nothing_left_of(marker), "the demo's processes to end", 30)


def test_the_demo_says_first_that_a_key_leads_to_fal(marker: str) -> None:
    process = start("dev.demo", FAL_KEY="nobodys:key", MARKER=marker)
    assert process.stdout is not None
    assert process.stdout.readline() == "FAL_KEY is set: this runs at fal itself, and fal may charge for it.\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130
    until(lambda: nothing_left_of(marker), "the demo's processes to end", 30)


def test_standalone_brings_up_airflow_with_the_examples_and_takes_all_of_it_down_again(marker: str) -> None:
    port = str(free_port())
    process = start("dev.standalone", PORT=port, MARKER=marker)
    assert process.stdout is not None
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            until(lambda: sees_the_example(http), "standalone to list the example", 500)
            while (line := process.stdout.readline()).startswith(("Making", "Starting")):
                pass
            addresses = dict(each.split() for each in (line, process.stdout.readline()))
            assert list(addresses) == ["Clips:", "Emulator:"]
            assert http.get(addresses["Clips:"]).status_code == 200
            assert httpx.get(addresses["Emulator:"]).status_code < 500
    finally:
        os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    assert process.stdout.read() == ""
    until(lambda: nothing_left_of(marker), "standalone's processes to end", 30)


def test_the_clips_of_the_demo_open_in_airflow_and_the_demo_then_knows_where(marker: str) -> None:
    metadata = max((FOLDER / "videos").glob("*.json"), key=lambda path: path.stat().st_mtime, default=None)
    if metadata is None:
        pytest.skip("no demo has run here")
    process = start("dev.clips", PORT=str(free_port()), MARKER=marker)
    assert process.stdout is not None
    try:
        while (line := process.stdout.readline()).startswith(("Making", "Starting")):
            pass
        assert line.startswith("Clips: http://localhost:")
        page = page_of(metadata).removeprefix("See it in Airflow: ")
        with httpx.Client(trust_env=False, timeout=30) as browser:
            token = browser.get(urljoin(page, "/auth/token")).raise_for_status().json()["access_token"]
            browser.cookies.set("_token", token)
            assert "<video" in browser.get(page).raise_for_status().text
            sent = browser.get(page.replace("/clip?", "/video?")).raise_for_status().content
        assert sent == Path(json.loads(metadata.read_text())["path"]).read_bytes()
    finally:
        os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    until(lambda: nothing_left_of(marker), "the API server to end", 30)


def test_standalone_says_that_its_port_is_taken(marker: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = start("dev.standalone", PORT=str(taken.getsockname()[1]), MARKER=marker)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    [line] = said.splitlines()
    assert "cannot be had" in line
    assert "PORT=8090 make standalone" in line


@pytest.mark.parametrize("port", ["http", "99999", "0", "-1", "8080.0"])
def test_standalone_says_that_a_port_is_none(marker: str, port: str) -> None:
    process = start("dev.standalone", PORT=port, MARKER=marker)
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (1, f"standalone: PORT={port!r} is no port: use 1 to 65535\n")


def sees_the_example(http: httpx.Client) -> bool:
    try:
        token = http.get("/auth/token").raise_for_status().json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        return http.get("/api/v2/dags/example_pika_text_to_video", headers=headers).is_success
    except (httpx.HTTPError, json.JSONDecodeError):
        time.sleep(1)
        return False
