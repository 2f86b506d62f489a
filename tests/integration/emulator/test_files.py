"""The result files: whole, in ranges, and the clips that were asked for (fal-protocol.md 7.2)."""

from __future__ import annotations

import io
from typing import Any

import av
import httpx
import pytest

from tests.integration.emulator.talk import Caller
from tests.support.emulator import RunningEmulator


def measure(content: bytes) -> tuple[int, int, float]:
    """Return width, height and seconds."""
    with av.open(io.BytesIO(content), "r") as container:
        stream = container.streams.video[0]
        return stream.width, stream.height, len(list(container.decode(stream))) / 24


@pytest.mark.drawn
@pytest.mark.parametrize(
    ("given", "size"),
    [
        ({}, (1280, 720, 5.0)),
        ({"resolution": "480p", "duration": "10"}, (854, 480, 10.0)),
        ({"endpoint": "fal-ai/pika/v2.2/text-to-video", "aspect_ratio": "1:1"}, (720, 720, 5.0)),
        ({"endpoint": "fal-ai/pika/v2.1/text-to-video", "duration": 2}, (1280, 720, 2.0)),
        ({"endpoint": "fal-ai/pika/v2/turbo/text-to-video", "duration": 1}, (1280, 720, 1.0)),
    ],
)
def test_the_clip_is_what_was_asked_for(caller: Caller, given: dict[str, Any], size: tuple[int, int, float]) -> None:
    video = caller.video("a cat", **{"resolution": "720p", **given})
    content = caller.http.get(video["url"]).content
    assert len(content) == video["file_size"]
    assert measure(content) == size


@pytest.mark.drawn
def test_the_same_request_makes_the_same_file(caller: Caller) -> None:
    one, two = (caller.http.get(caller.video("twins", seed=7)["url"]).content for _ in range(2))
    assert one == two
    assert caller.http.get(caller.video("twins", seed=8)["url"]).content != one


def test_anybody_with_the_url_gets_the_file(caller: Caller, finished: str, emulator: RunningEmulator) -> None:
    url = caller.result(finished).json()["video"]["url"]
    path = httpx.URL(url).path
    assert url.startswith(f"{emulator.queue_url}/files/b/")
    assert path.endswith(".mp4")
    assert len(path.split("/")[3]) == 8
    assert httpx.get(url).status_code == 200


def test_a_file_can_be_had_in_ranges(caller: Caller, finished: str) -> None:
    url = caller.result(finished).json()["video"]["url"]
    whole = caller.http.get(url)
    part = caller.http.get(url, headers={"Range": "bytes=100-199"})
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-length"] == str(len(whole.content))
    assert part.status_code == 206
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    assert part.headers["etag"] == whole.headers["etag"]
    assert part.content == whole.content[100:200]


def test_a_file_can_be_asked_about(caller: Caller, finished: str) -> None:
    video = caller.result(finished).json()["video"]
    reply = caller.http.head(video["url"])
    assert (reply.status_code, reply.headers["content-length"]) == (200, str(video["file_size"]))


@pytest.mark.parametrize("path", ["files/b/00000000/x.mp4", "files/b/..%2f..%2flock/x", "files/b/../emulator.sqlite3"])
def test_there_is_nothing_else_to_be_had(emulator: RunningEmulator, path: str) -> None:
    assert httpx.get(f"{emulator.queue_url}/{path}").status_code in {404, 405}


@pytest.mark.parametrize("endpoint", ["v2.2", "v2.1", "v2/turbo"])
def test_the_older_endpoints_have_no_480p(caller: Caller, endpoint: str) -> None:
    reply = caller.generate("a cat", endpoint=f"fal-ai/pika/{endpoint}/text-to-video", resolution="480p")
    assert reply.status_code == 422
