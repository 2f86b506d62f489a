"""Each fault of a download, as a client meets it."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from tests.integration.emulator.talk import Caller
from tests.support.emulator import RunningEmulator


def partly(client: httpx.Client, url: str, error: type[Exception], **headers: str) -> tuple[httpx.Response, bytes]:
    """Return a download that has to break with this error: its reply, and what came until then."""
    content = b""
    with client.stream("GET", url, headers=headers) as reply:
        assert reply.status_code in {200, 206}
        with pytest.raises(error):  # noqa: PT012  (what came before is what is asked for)
            for chunk in reply.iter_raw():
                content += chunk
    return reply, content


@pytest.mark.parametrize(("status", "detail"), [(403, "Forbidden"), (404, "Not Found")])
def test_a_file_can_be_refused_for_once(caller: Caller, client: httpx.Client, status: int, detail: str) -> None:
    url = caller.video(f"a cat [[http_{status} on=file]]")["url"]
    reply = client.get(url)
    assert (reply.status_code, reply.json()) == (status, {"detail": detail})
    assert client.get(url).status_code == 200


def test_other_operations_can_be_refused_in_the_same_words(caller: Caller) -> None:
    reply = caller.post("a cat [[http_403]]")
    assert (reply.status_code, reply.json()) == (403, {"detail": "Forbidden"})


def test_a_file_can_be_said_to_be_elsewhere(caller: Caller, client: httpx.Client) -> None:
    location = "http://169.254.169.254/latest/meta-data?a=b"
    url = caller.video(f"a cat [[redirect on=file location={location}]]")["url"]
    reply = client.get(url)
    assert (reply.status_code, reply.headers["location"], reply.content) == (302, location, b"")
    assert client.get(url).status_code == 200


def test_a_reset_midway_sends_the_asked_bytes_and_then_breaks(
    caller: Caller, client: httpx.Client, clean: bytes
) -> None:
    url = caller.video("a cat [[reset_midway bytes=70001]]")["url"]
    reply, content = partly(client, url, httpx.ReadError)
    assert (reply.status_code, reply.headers["content-length"]) == (200, str(len(clean)))
    assert content == clean[:70001]
    assert client.get(url).content == clean


def test_a_client_that_resumes_is_reset_as_often_as_asked(caller: Caller, client: httpx.Client, clean: bytes) -> None:
    url = caller.video("a cat [[reset_midway bytes=30000 times=3]]")["url"]
    content = b""
    for _ in range(3):
        _, more = partly(client, url, httpx.ReadError, Range=f"bytes={len(content)}-")
        content += more
        assert content == clean[: len(content)]
    assert len(content) == 90_000
    rest = client.get(url, headers={"Range": f"bytes={len(content)}-"})
    assert rest.headers["content-range"] == f"bytes 90000-{len(clean) - 1}/{len(clean)}"
    assert content + rest.content == clean


def test_a_reset_midway_can_come_right_after_the_headers(caller: Caller, client: httpx.Client) -> None:
    url = caller.video("a cat [[reset_midway bytes=0]]")["url"]
    reply, content = partly(client, url, httpx.ReadError)
    assert (reply.status_code, content) == (200, b"")


def test_a_body_that_is_too_short_for_a_reset_midway_is_whole(
    caller: Caller, client: httpx.Client, clean: bytes
) -> None:
    url = caller.video("a cat [[reset_midway bytes=1000 times=2]]")["url"]
    assert client.get(url, headers={"Range": "bytes=0-999"}).content == clean[:1000]
    assert client.head(url).headers["content-length"] == str(len(clean))
    assert client.get(url).content == clean


def test_a_stall_midway_sends_the_asked_bytes_and_the_rest_later(
    caller: Caller, client: httpx.Client, clean: bytes
) -> None:
    url = caller.video("a cat [[stall_midway bytes=50000 seconds=0.5]]")["url"]
    content, pauses, last = b"", [], time.monotonic()
    with client.stream("GET", url, headers={"Range": "bytes=100-"}) as reply:
        for chunk in reply.iter_raw():
            if time.monotonic() - last > 0.4:
                pauses.append(len(content))
            content, last = content + chunk, time.monotonic()
    assert reply.status_code == 206
    assert content == clean[100:]
    assert pauses == [50_000]


def test_a_client_may_lose_patience_in_a_stall_midway(caller: Caller, client: httpx.Client, clean: bytes) -> None:
    url = caller.video("a cat [[stall_midway bytes=50000]]")["url"]
    client.timeout = httpx.Timeout(0.3)
    _, content = partly(client, url, httpx.ReadTimeout)
    assert content == clean[:50_000]
    assert client.get(url).content == clean


@pytest.mark.parametrize("start", [0, 1000])
def test_a_wrong_content_length_announces_more_than_comes(
    caller: Caller, client: httpx.Client, clean: bytes, start: int
) -> None:
    url = caller.video("a cat [[wrong_content_length]]")["url"]
    headers = {"Range": f"bytes={start}-"} if start else {}
    reply, content = partly(client, url, httpx.RemoteProtocolError, **headers)
    assert content == clean[start:]
    assert int(reply.headers["content-length"]) == len(content) + 1000
    if start:
        assert reply.headers["content-range"] == f"bytes {start}-{len(clean) - 1}/{len(clean)}"


def test_a_wrong_content_length_is_told_to_who_asks_about_the_file(caller: Caller, client: httpx.Client) -> None:
    video = caller.video("a cat [[wrong_content_length]]")
    assert int(client.head(video["url"]).headers["content-length"]) == video["file_size"] + 1000


def test_ranges_can_be_ignored(caller: Caller, client: httpx.Client, clean: bytes) -> None:
    url = caller.video("a cat [[no_ranges]]")["url"]
    reply, again = (client.get(url, headers={"Range": "bytes=1000-"}) for _ in range(2))
    assert (reply.status_code, reply.content) == (200, clean)
    assert "content-range" not in reply.headers
    assert (again.status_code, again.content) == (206, clean[1000:])


def test_a_changed_file_is_sent_whole_to_who_knows_the_old_one(
    caller: Caller, client: httpx.Client, clean: bytes
) -> None:
    url = caller.video("a cat")["url"]
    usual = client.get(url).headers
    for known in (usual["etag"], usual["last-modified"]):
        ranged = {"Range": "bytes=1000-", "If-Range": known}
        assert client.get(url, headers=ranged).status_code == 206
        caller.http.post("/_emulator/faults", json={"fault": "changed_file"})
        reply = client.get(url, headers=ranged)
        assert (reply.status_code, reply.content) == (200, clean)
        assert reply.headers["etag"] != usual["etag"]


def test_a_changed_file_goes_on_for_who_knows_the_new_one_or_does_not_ask(
    caller: Caller, client: httpx.Client, clean: bytes
) -> None:
    url = caller.video("a cat [[changed_file times=3]]")["url"]
    new = client.get(url).headers["etag"]
    for condition in ({"If-Range": new}, {}):
        reply = client.get(url, headers={"Range": "bytes=1000-", **condition})
        assert (reply.status_code, reply.headers["etag"], reply.content) == (206, new, clean[1000:])


@pytest.mark.parametrize("fault", ["stall_midway seconds=0.1", "no_ranges", "slow_download bytes_per_second=9000000"])
def test_a_faulty_download_can_be_recognised_as_the_same_file(caller: Caller, client: httpx.Client, fault: str) -> None:
    url = caller.video(f"a cat [[{fault}]]")["url"]
    for name in ("etag", "last-modified", "accept-ranges"):
        faulty, later = client.head(url).headers[name], client.head(url).headers[name]
        assert faulty == later


def test_a_download_fault_of_another_operation_is_a_422(caller: Caller) -> None:
    reply = caller.http.post("/_emulator/faults", json={"fault": "reset_midway", "on": "status"})
    assert reply.status_code == 422
    assert "reset_midway can only be on=file" in reply.text


def test_downloads_break_under_tls_too(tmp_path: Path) -> None:
    with RunningEmulator.start(tmp_path, generation_time="0.1", tls=True) as emulator:
        caller = Caller(emulator)
        url = caller.video("a cat [[reset_midway bytes=70001]] [[wrong_content_length]]")["url"]
        _, start = partly(caller.http, url, httpx.TransportError)  # Python's ssl tells of a reset as of an end
        reply, content = partly(caller.http, url, httpx.RemoteProtocolError)
        assert start == content[:70001]
        assert int(reply.headers["content-length"]) == len(content) + 1000
        assert caller.http.get(url).content == content
        assert emulator.stderr == ""
