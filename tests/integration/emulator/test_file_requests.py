"""The log of downloads."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from airflow_provider_pika.emulator.api.files import KEPT
from tests.integration.emulator.talk import Caller


def file_requests(client: httpx.Client) -> list[dict[str, Any]]:
    requests: list[dict[str, Any]] = client.get("/_emulator/file_requests").json()
    return requests


def test_the_file_requests_tell_what_was_asked_for(caller: Caller, client: httpx.Client) -> None:
    url = caller.video("a cat [[lost_reply on=file]]")["url"]
    path = httpx.URL(url).path
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(url)
    client.get(url, headers={"Range": "bytes=5-", "If-Range": '"x"'})
    caller.http.head(url, headers={"Range": "bytes=5-"})
    client.get("/files/b/0/nothing.mp4")
    names = ("path", "method", "range", "if_range", "authorization", "status")
    assert [tuple(request[name] for name in names) for request in file_requests(client)] == [
        (path, "GET", None, None, False, 0),
        (path, "GET", "bytes=5-", '"x"', False, 200),
        (path, "HEAD", "bytes=5-", None, True, 206),
        ("/files/b/0/nothing.mp4", "GET", None, None, False, 404),
    ]
    assert client.delete("/_emulator/file_requests").status_code == 204
    assert file_requests(client) == []


def test_more_than_a_thousand_file_requests_are_kept(client: httpx.Client) -> None:
    for number in range(1003):
        client.get(f"/files/b/0/{number}")
    assert [request["path"] for request in file_requests(client)] == [f"/files/b/0/{n}" for n in range(1003)]
    assert KEPT >= 3 * 10_000  # a soak counts the downloads of ten thousand clips, and those that a kill cut
