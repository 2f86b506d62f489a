"""A server that echoes the key that it was sent, wherever and however: it is in no error, no event and no log line."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
import os
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_pika.exceptions import PikaError
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.account import Account
from airflow_provider_pika.fal.async_client import AsyncFalQueue
from airflow_provider_pika.fal.client import FalQueue
from airflow_provider_pika.hooks import pika as hook_module
from airflow_provider_pika.hooks.pika import PikaHook
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from tests.integration.conftest import connect as connect_with
from tests.support.airflow import StateStore, context, event_of, run_to_the_end
from tests.support.hostile import REQUEST_ID, HostileServer, Pieces, http, trigger_at
from tests.support.spellings import SPELLINGS, spelled

SECRET = "9f8e7d6c5b4a39281706f5e4d3c2b1a0"
KEY = f"0a1b2c3d-1111-4222-8333-444455556666:{SECRET}"

#: Where a server may put what it was sent.
PLACES: dict[str, Callable[[str], bytes]] = {
    "an error": lambda said: http({"detail": said}, 500, ("X-Fal-Request-Id", REQUEST_ID)),
    "a model's error": lambda said: http({"detail": [{"loc": ["body", said], "msg": said, "type": said}]}, 422),
    "an error's type": lambda said: http({"detail": "no", "error_type": said}, 500),
    "an error's type in a header": lambda said: http({"detail": "no"}, 500, ("X-Fal-Error-Type", said)),
    "a refusal": lambda said: http({"detail": said}, 403),
    "a page": lambda said: http(f"<html>{said}</html>", 403),
    "a log line": lambda said: http({"status": "IN_PROGRESS", "logs": [{"message": said, "timestamp": "t"}]}),
    "a status": lambda said: http({"status": said}),
    "a status's error": lambda said: http({"status": "COMPLETED", "error": said, "error_type": said}),
    "no JSON": lambda said: http(f'{{"status": "{said}'),
    "the reason": lambda said: http({}, f"400 {said}"),
    "a broken status line": lambda said: f"{said} 200 OK\r\n\r\n".encode(),
    "a broken header": lambda said: f"HTTP/1.1 200 OK\r\n{said}\r\n\r\n".encode(),
    "a broken header's value": lambda said: f"HTTP/1.1 200 OK\r\nContent-Length: {said}\r\n\r\n".encode(),
    "a broken chunk": lambda said: f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{said}\r\n".encode(),
    "a redirect": lambda said: http("", 302, ("Location", f"http://127.0.0.1:1/{said}")),
    "a broken redirect": lambda said: http("", 307, ("Location", f"javascript:{said}")),
}


def connect(monkeypatch: pytest.MonkeyPatch, queue_url: str) -> None:
    connect_with(monkeypatch, queue_url, KEY)


def in_one_line(spelling: str) -> str:
    return (
        SPELLINGS[spelling](f"Authorization: Key {KEY}").replace("\n", "").encode("latin-1", "ignore").decode("latin-1")
    )


def everything_that(error: BaseException) -> str:
    """Return what anybody may see of an error: its texts, its fields, and its traceback."""
    return "".join(traceback.format_exception(error)) + repr(error) + str(vars(error))


async def asked(queue: FalQueue | AsyncFalQueue, method: str) -> str:
    """Ask for something, and give everything that anybody may see of what comes back."""
    try:
        said = getattr(queue, method)(TEXT_TO_VIDEO, REQUEST_ID)
        return str(await said if inspect.isawaitable(said) else said)
    except PikaError as error:
        return everything_that(error)


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("client", [FalQueue, AsyncFalQueue], ids=["blocking", "on a loop"])
def test_an_echoed_key_is_in_no_error(client: Any, place: Callable[[str], bytes]) -> None:
    echoed: list[str] = []

    async def ask_in_each_spelling(url: str) -> None:
        queue = client(Account(f"Key {KEY}", url, timeout=5.0))
        for spelling in SPELLINGS:
            echoed.append(in_one_line(spelling))
            for method in ("status", "result", "cancel"):
                said = await asked(queue, method)
                assert spelled(said, SECRET) == [], (spelling, said)
        closed = queue.close() if client is FalQueue else queue.aclose()
        if closed:
            await closed

    with HostileServer(lambda *_: [place(echoed[-1])]) as server:
        asyncio.run(ask_in_each_spelling(server.url))


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_an_echoed_key_is_in_no_event_and_no_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, place: Callable[[str], bytes]
) -> None:
    with HostileServer(lambda *_: [place(in_one_line("base64"))]) as server:
        connect(monkeypatch, server.url)
        trigger = trigger_at(server, within=0.1)
        assert spelled(json.dumps([trigger.serialize(), event_of(trigger)]), SECRET) == []
    assert spelled(caplog.text, SECRET) == []


def test_a_submit_whose_answer_echoes_the_key_leaves_it_nowhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    state = StateStore()
    here = context(task_state_store=state)
    with HostileServer(lambda *_: [http({"detail": in_one_line("unicode escapes")}, 500)]) as server:
        connect(monkeypatch, server.url)
        with pytest.raises((AirflowFailException, PikaError)) as caught:
            PikaTextToVideoOperator(task_id="t", prompt="a fox").execute(here)
    seen = everything_that(caught.value) + str(here["ti"].xcoms) + str(state.values) + caplog.text
    assert spelled(seen, SECRET) == []


@pytest.mark.parametrize("client", ["blocking", "on a loop"])
@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "403 user:proxy-password", "nonsense"])
def test_a_proxys_user_and_password_are_in_no_error(monkeypatch: pytest.MonkeyPatch, client: str, status: str) -> None:
    with HostileServer(lambda *_: [f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()]) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url.replace("://", "://proxy-user:proxy-password@"))
        connect(monkeypatch, "https://queue.example")
        submit = PikaHook().submit if client == "blocking" else lambda *given: asyncio.run(PikaHook().asubmit(*given))
        with pytest.raises(PikaError) as caught:
            submit(TEXT_TO_VIDEO, {"prompt": "a fox"})
    assert any(b"Proxy-Authorization" in head for head in proxy.heads)
    userinfo = "proxy-user:proxy-password"
    for secret in (userinfo, "proxy-password", base64.b64encode(userinfo.encode()).decode()):
        assert secret not in everything_that(caught.value)


@pytest.mark.parametrize("where", ["connection", "environment"])
@pytest.mark.parametrize("ask", ["worker", "event loop", "resumed worker"])
def test_the_key_and_its_half_are_masked_wherever_it_is_read(
    monkeypatch: pytest.MonkeyPatch, where: str, ask: str
) -> None:
    connect(monkeypatch, "http://127.0.0.1:9")
    masked: list[str] = []

    async def amask(secret: str) -> None:
        masked.append(secret)

    monkeypatch.setattr(hook_module, "mask_secret", masked.append)
    monkeypatch.setattr(hook_module, "_amask_secret", amask)
    if where == "environment":
        connection = json.loads(os.environ["AIRFLOW_CONN_PIKA_DEFAULT"])
        monkeypatch.setenv("FAL_KEY", connection.pop("password"))
        monkeypatch.setenv("AIRFLOW_CONN_PIKA_DEFAULT", json.dumps(connection))
    if ask == "worker":
        PikaHook().get_conn().close()
    elif ask == "event loop":
        asyncio.run(PikaHook().aget_conn())
    else:
        event = {"outcome": "done", "video": {"url": "https://x", "request_id": "r", "endpoint": "e"}, "log": []}
        task = PikaTextToVideoOperator(task_id="t", prompt="a fox", wait_for_completion=True)
        task.execute_complete(context(), event)
    assert {KEY, SECRET} <= set(masked)


@pytest.mark.parametrize(
    "proxy",
    ["http://user:sEcReT/pass@127.0.0.1:1", "socks4://user:sEcReT@127.0.0.1:1", "http://user:sEcReT@[::1", "://sEcReT"],
)
def test_a_proxy_that_cannot_be_used_is_an_error_of_ours_and_shows_no_password(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    connect(monkeypatch, "https://queue.example")
    for ask in (PikaHook().status, lambda *given: asyncio.run(PikaHook().astatus(*given))):
        with pytest.raises(PikaError) as caught:
            ask(TEXT_TO_VIDEO, REQUEST_ID)
        assert "sEcReT" not in everything_that(caught.value)


def test_a_connection_without_a_type_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with HostileServer(lambda *_: [http({"status": "IN_QUEUE"})]) as server:
        for value in ({"host": server.url, "password": KEY}, {"conn_type": "", "host": server.url, "password": KEY}):
            monkeypatch.setenv("AIRFLOW_CONN_PIKA_DEFAULT", json.dumps(value))
            assert PikaHook().status(TEXT_TO_VIDEO, REQUEST_ID).status == "IN_QUEUE"


def test_a_connection_of_another_type_is_not_sent_to_fal(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: Any) -> Pieces:
        return []

    with HostileServer(nothing) as server:
        for conn_type in ("smtp", "http", "generic", "Pika", "postgres"):
            value = {"conn_type": conn_type, "host": server.url, "password": "of-somebody-else"}
            monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps(value))
            for use in (
                lambda: PikaHook("other").status(TEXT_TO_VIDEO, REQUEST_ID),
                lambda: asyncio.run(PikaHook("other").astatus(TEXT_TO_VIDEO, REQUEST_ID)),
                lambda: PikaHook("other").trust(),
            ):
                with pytest.raises(PikaError, match=f"has the type '{conn_type}'.*takes a connection of type 'pika'"):
                    use()
            task = PikaTextToVideoOperator(task_id="t", prompt="a fox", pika_conn_id="other")
            with pytest.raises(AirflowFailException, match="its password is not for fal"):
                run_to_the_end(task, task_state_store=StateStore())
    assert server.heads == []
