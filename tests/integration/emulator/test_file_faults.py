"""Result files that are odd at every download."""

from __future__ import annotations

import io
import time

import av
import httpx
import pytest

from tests.integration.emulator.talk import Caller
from tests.support.emulator import RunningEmulator


@pytest.mark.parametrize(
    ("fault", "status", "detail"), [("expired_file", 404, "Not Found"), ("forbidden_file", 403, "Forbidden")]
)
def test_a_good_result_may_have_a_file_that_is_never_to_be_had(
    caller: Caller, client: httpx.Client, fault: str, status: int, detail: str
) -> None:
    url = caller.video(f"a cat [[{fault}]]")["url"]
    for _ in range(2):
        reply = client.get(url)
        assert (reply.status_code, reply.json()) == (status, {"detail": detail})


@pytest.mark.drawn
def test_a_large_file_has_the_asked_size_and_is_still_the_video(
    caller: Caller, client: httpx.Client, clean: bytes
) -> None:
    video = caller.video("a cat [[large_file bytes=30000000]]")
    content = client.get(video["url"]).content
    assert len(content) == video["file_size"] == 30_000_000
    assert content.startswith(clean)
    with av.open(io.BytesIO(content), "r") as container:
        assert len(list(container.decode(container.streams.video[0]))) == 120


def test_a_huge_file_takes_no_room_and_can_be_had_from_anywhere(
    caller: Caller, client: httpx.Client, emulator: RunningEmulator
) -> None:
    video = caller.video("a cat [[large_file bytes=50000000000]]")
    path = httpx.URL(video["url"]).path.removeprefix("/files/b/")
    assert (emulator.data / "files" / path).stat().st_blocks * 512 < 10_000_000
    reply = client.get(video["url"], headers={"Range": "bytes=49999999000-"})
    assert (reply.status_code, reply.content) == (206, bytes(1000))
    assert reply.headers["content-range"] == "bytes 49999999000-49999999999/50000000000"


def test_a_large_file_can_be_truncated_too(caller: Caller, client: httpx.Client, clean: bytes) -> None:
    video = caller.video("a cat [[large_file bytes=30000000]] [[truncated_file]]")
    assert video["file_size"] == 30_000_000
    assert client.head(video["url"]).headers["content-length"] == "15000000"


def test_a_slow_download_goes_on_from_the_asked_byte(caller: Caller, client: httpx.Client, clean: bytes) -> None:
    url = caller.video("a cat [[slow_download bytes_per_second=50000]]")["url"]
    began = time.monotonic()
    reply = client.get(url, headers={"Range": f"bytes={len(clean) - 30_000}-"})
    assert (reply.status_code, reply.content) == (206, clean[-30_000:])
    assert time.monotonic() - began > 0.3
