from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.account import Account
from airflow_provider_pika.fal.inputs import SubmitControls
from airflow_provider_pika.hooks.pika import PikaHook
from tests.integration.conftest import KEY, connect
from tests.support.emulator import RunningEmulator
from tests.support.strange_server import StrangeServer, reply

INPUT = {"prompt": "a fox", "resolution": "480p"}

Submit = Callable[[str, dict[str, Any]], str]


@pytest.fixture(params=["blocking", "on an event loop"])
def submit(request: pytest.FixtureRequest) -> Submit:
    """A submit by either client: what it means for the money must be the same."""
    if request.param == "blocking":
        return lambda endpoint, arguments: PikaHook().submit(endpoint, arguments)
    return lambda endpoint, arguments: asyncio.run(PikaHook().asubmit(endpoint, arguments))


def wait_for(hook: PikaHook, request_id: str) -> None:
    while hook.status(TEXT_TO_VIDEO, request_id).status != "COMPLETED":
        pass


def test_a_request_is_submitted_followed_and_read(emulator: RunningEmulator) -> None:
    hook = PikaHook()
    request_id = hook.submit(TEXT_TO_VIDEO, INPUT)
    assert uuid.UUID(request_id)
    wait_for(hook, request_id)
    status = hook.status(TEXT_TO_VIDEO, request_id, logs=True)
    assert status.metrics.inference_time is not None
    assert status.logs
    video = hook.result(TEXT_TO_VIDEO, request_id)
    assert video.url.startswith(emulator.queue_url)
    assert video.file_size
    assert hook.cancel(TEXT_TO_VIDEO, request_id) is False


def test_the_async_twins_do_the_same(emulator: RunningEmulator) -> None:
    async def exchange() -> None:
        hook = PikaHook()
        request_id = await hook.asubmit(TEXT_TO_VIDEO, INPUT)
        while (await hook.astatus(TEXT_TO_VIDEO, request_id)).status != "COMPLETED":
            pass
        assert (await hook.aresult(TEXT_TO_VIDEO, request_id)).request_id == request_id
        assert await hook.acancel(TEXT_TO_VIDEO, request_id) is False

    asyncio.run(exchange())
    assert emulator.counts()["submit"]["accepted"] == 1


def test_a_running_request_is_cancelled(emulator: RunningEmulator) -> None:
    hook = PikaHook()
    request_id = hook.submit(TEXT_TO_VIDEO, {"prompt": "endless [[never_finish]]"})
    assert hook.cancel(TEXT_TO_VIDEO, request_id) is True
    wait_for(hook, request_id)
    with pytest.raises(errors.GenerationCancelled):
        hook.result(TEXT_TO_VIDEO, request_id)


def test_fals_controls_reach_fal(emulator: RunningEmulator) -> None:
    emulator.until_idle()
    emulator.fault("never_finish", match="blocker", times=4)
    hook = PikaHook()
    blockers = [hook.submit(TEXT_TO_VIDEO, {"prompt": "blocker"}) for _ in range(4)]
    late = hook.submit(TEXT_TO_VIDEO, INPUT, SubmitControls(start_timeout=0.3))
    wait_for(hook, late)
    with pytest.raises(errors.StartTimeout):
        hook.result(TEXT_TO_VIDEO, late)
    for blocker in blockers:
        hook.cancel(TEXT_TO_VIDEO, blocker)


# --- one POST


@pytest.mark.parametrize(
    ("fault", "accepted"),
    [
        ({"name": "lost_reply"}, 1),
        ({"name": "malformed"}, 1),
        ({"name": "reset"}, 0),
        ({"name": "reset", "accepted": True}, 1),
        ({"name": "http_502"}, 0),
        ({"name": "http_502", "accepted": True}, 1),
        ({"name": "http_503"}, 0),  # nginx's page, which the ingress may send after it had passed the request on
        ({"name": "http_504", "accepted": True}, 1),
    ],
    ids=str,
)
def test_a_lost_reply_is_not_posted_again(
    submit: Submit, emulator: RunningEmulator, fault: dict[str, Any], accepted: int
) -> None:
    emulator.fault(**fault)
    with pytest.raises(errors.SubmitUnknown, match="To go on, clear the task"):
        submit(TEXT_TO_VIDEO, INPUT)
    submits = emulator.counts()["submit"]
    assert submits["received"] <= 1
    assert submits["accepted"] == accepted


def test_a_stalled_reply_is_not_posted_again(
    submit: Submit, emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, emulator.queue_url, http_timeout=1)
    emulator.fault("stall")
    with pytest.raises(errors.SubmitUnknown, match="Timeout"):
        submit(TEXT_TO_VIDEO, INPUT)
    assert emulator.counts()["submit"]["received"] == 1


@pytest.mark.parametrize(("fault", "kind"), [("http_429", errors.RateLimited), ("http_500", errors.ServerUnavailable)])
def test_a_refusal_that_passes_is_posted_again_twice_and_then_left_to_airflows_retries(
    submit: Submit, emulator: RunningEmulator, fault: str, kind: type[errors.PikaError]
) -> None:
    emulator.fault(fault, times=3)
    with pytest.raises(kind, match="a retry submits again") as refused:
        submit(TEXT_TO_VIDEO, INPUT)
    assert refused.value.retry_helps
    assert emulator.counts()["submit"] == {"received": 3, "accepted": 0, "refused": 3}


def test_a_refusal_that_is_over_at_the_second_post_costs_nothing(emulator: RunningEmulator) -> None:
    emulator.fault("http_500")
    assert PikaHook().submit(TEXT_TO_VIDEO, INPUT)
    assert emulator.counts()["submit"] == {"received": 2, "accepted": 1, "refused": 1}


def test_fals_retry_after_is_honoured_before_the_second_post(emulator: RunningEmulator) -> None:
    emulator.fault("http_429", retry_after=1)
    before = time.monotonic()
    assert PikaHook().submit(TEXT_TO_VIDEO, INPUT)
    assert time.monotonic() - before >= 1


def test_a_retry_after_that_is_longer_than_a_slot_is_worth_is_left_to_airflow(emulator: RunningEmulator) -> None:
    emulator.fault("http_429", retry_after=60)
    with pytest.raises(errors.RateLimited) as refused:
        PikaHook().submit(TEXT_TO_VIDEO, INPUT)
    assert refused.value.retry_after == 60
    assert emulator.counts()["submit"]["refused"] == 1


def test_an_exhausted_balance_is_told_apart(emulator: RunningEmulator) -> None:
    emulator.fault("locked")
    with pytest.raises(errors.ExhaustedBalance, match="Top up"):
        PikaHook().submit(TEXT_TO_VIDEO, INPUT)


# --- bad input


@pytest.mark.parametrize("endpoint", ["", "pika", "fal-ai/../admin", "https://fal.run/x", "a b/c", None])
def test_what_cannot_be_an_endpoint_is_refused_before_anything_is_sent(
    emulator: RunningEmulator, endpoint: str
) -> None:
    with pytest.raises(errors.InvalidInput, match="endpoint="):
        PikaHook().submit(endpoint, INPUT)
    assert emulator.counts()["submit"]["received"] == 0


def test_an_unknown_endpoint_is_named(emulator: RunningEmulator) -> None:
    with pytest.raises(errors.UnknownEndpoint, match=r"'fal-ai/peka/v2\.5'"):
        PikaHook().submit("fal-ai/peka/v2.5", INPUT)


@pytest.mark.parametrize("request_id", ["", None, "None", "a/b", "a b", "../x", "x?y"])
def test_what_cannot_be_a_request_id_is_refused_before_anything_is_sent(
    emulator: RunningEmulator, request_id: str
) -> None:
    with pytest.raises(errors.InvalidInput, match="request_id="):
        PikaHook().status(TEXT_TO_VIDEO, request_id)
    assert emulator.counts()["status"] == 0


def test_a_request_id_that_is_not_fals_is_unknown(emulator: RunningEmulator) -> None:
    with pytest.raises(errors.UnknownRequest, match="mistyped"):
        PikaHook().status(TEXT_TO_VIDEO, "not-fals")


# --- the key


def test_a_stray_newline_in_the_key_is_cut_off(emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, emulator.queue_url, key=f"  {KEY}\n")
    assert PikaHook().submit(TEXT_TO_VIDEO, INPUT)


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "schlüssel"])
def test_a_key_that_cannot_be_one_is_refused_without_being_shown(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    connect(monkeypatch, emulator.queue_url, key=key)
    with pytest.raises(errors.InvalidInput) as refused:
        PikaHook().submit(TEXT_TO_VIDEO, INPUT)
    assert key not in str(refused.value)


@pytest.mark.parametrize(
    ("uri", "key"),
    [
        ("pika://key-id:key-secret@", "key-id:key-secret"),
        ("pika://key-id:key-secret@gateway.example", "key-id:key-secret"),
        ("pika://key%2Did:key%2Fsecret%40@", "key-id:key/secret@"),
        ("pika://%20key-id:key-secret%0A@", "key-id:key-secret"),
        ("pika://:key-id%3Akey-secret@", "key-id:key-secret"),
        ("pika://somebody:key-id%3Akey-secret@", "key-id:key-secret"),  # the whole key is the password
        ("pika://key-id%3Akey-secret@", "key-id:key-secret"),
        ("pika://%20:key-without-halves@", "key-without-halves"),
    ],
)
def test_the_two_halves_of_a_key_may_be_login_and_password(monkeypatch: pytest.MonkeyPatch, uri: str, key: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PIKA_DEFAULT", uri)
    with PikaHook().get_conn() as queue:
        assert queue.account.authorization == f"Key {key}"

    async def on_a_loop() -> str:
        async with await PikaHook().aget_conn() as queue:
            return queue.account.authorization

    assert asyncio.run(on_a_loop()) == f"Key {key}"


@pytest.mark.parametrize("uri", ["pika://key-id@", "pika://key-id:@", "pika://key-id%3A@", "pika://key-id:%20@"])
def test_half_a_key_is_refused_and_the_environments_is_not_taken_for_it(
    monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("FAL_KEY", KEY)  # of another account, perhaps
    monkeypatch.setenv("AIRFLOW_CONN_PIKA_DEFAULT", uri)
    with pytest.raises(errors.InvalidInput, match=r"a login and no password.*key's id into the login"):
        PikaHook().get_conn()


@pytest.mark.parametrize("uri", ["pika://two%20words:key-secret@", "pika://schl%C3%BCssel:key-secret@"])
def test_a_login_that_cannot_be_half_of_a_key_is_refused(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PIKA_DEFAULT", uri)
    with pytest.raises(errors.InvalidInput, match="fal key is not allowed"):
        PikaHook().get_conn()


def test_a_connection_without_a_key_uses_the_environments(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, emulator.queue_url, key="")
    key_id, secret = KEY.split(":")
    monkeypatch.setenv("FAL_KEY_ID", key_id)
    monkeypatch.setenv("FAL_KEY_SECRET", secret)
    assert PikaHook().submit(TEXT_TO_VIDEO, INPUT)
    monkeypatch.setenv("FAL_KEY", "wrong:wrong")  # comes before the pair
    with pytest.raises(errors.InvalidKey):
        PikaHook().submit(TEXT_TO_VIDEO, INPUT)
    connect(monkeypatch, emulator.queue_url)  # and the connection before both
    assert PikaHook().submit(TEXT_TO_VIDEO, INPUT)


def test_a_saved_login_is_the_last_resort(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    connect(monkeypatch, emulator.queue_url, key="")
    claims = "eyJleHAiOiA0MTAyNDQ0ODAwfQ"  # {"exp": 4102444800}, the year 2100
    (tmp_path / "auth0_token").write_text(f"refresh\nhead.{claims}.signature")
    monkeypatch.setenv("FAL_HOME_DIR", str(tmp_path))
    with pytest.raises(errors.InvalidKey, match="bearer"):  # it was sent; the emulator has no issuer for it
        PikaHook().submit(TEXT_TO_VIDEO, INPUT)


def test_no_key_anywhere_says_where_one_can_be(emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, emulator.queue_url, key="")
    with pytest.raises(errors.MissingKey, match="FAL_KEY_ID"):
        PikaHook().submit(TEXT_TO_VIDEO, INPUT)


def test_without_a_connection_the_environments_key_goes_to_fal(
    airflow_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_PIKA_DEFAULT", raising=False)
    monkeypatch.setenv("FAL_KEY", KEY)
    with PikaHook().get_conn() as queue:
        assert str(queue._http.base_url) == "https://queue.fal.run"
        assert queue._http.headers["Authorization"] == f"Key {KEY}"


def test_a_connection_that_was_named_must_exist(airflow_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", KEY)  # a mistyped name must not lead another account's requests to fal
    with pytest.raises(AirflowNotFoundException, match="pika_prod"):
        PikaHook("pika_prod").get_conn()


def test_the_key_is_in_no_repr(emulator: RunningEmulator) -> None:
    from airflow_provider_pika.fal.account import Account

    assert KEY not in repr(Account(f"Key {KEY}"))
    with PikaHook().get_conn() as queue:
        assert KEY not in repr(vars(queue))


def test_a_connection_that_cannot_be_found_is_tried_again_since_airflow_says_so_of_a_moments_trouble_too(
    airflow_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_PIKA_DEFAULT", raising=False)
    with pytest.raises(errors.MissingConnection) as missing:
        PikaHook().get_conn()
    assert missing.value.retry_helps


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_takes_the_key_to_another_host(
    submit: Submit, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    with StrangeServer(reply(200, "{}")) as other:
        with StrangeServer(reply(status, "", Location=f"{other.url}/elsewhere")) as server:
            connect(monkeypatch, server.url)
            with pytest.raises(errors.SubmitUnknown, match=f"HTTP {status}"):
                submit(TEXT_TO_VIDEO, INPUT)
            with pytest.raises(errors.ForeignAnswer):
                asyncio.run(PikaHook().astatus(TEXT_TO_VIDEO, "r-1"))
            assert server.authorizations == [f"Key {KEY}"] * 2
        assert other.authorizations == []


def test_a_server_that_echoes_the_key_gets_it_into_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def echo(handler: BaseHTTPRequestHandler) -> None:
        reply(500, json.dumps({"headers": dict(handler.headers)}))(handler)

    with StrangeServer(echo) as server:
        connect(monkeypatch, server.url)
        good, message = PikaHook().test_connection()
        assert not good
        assert "Authorization" in message
        assert KEY not in message
        with pytest.raises(errors.SubmitUnknown) as refused:
            PikaHook().submit(TEXT_TO_VIDEO, INPUT)
        assert KEY not in str(refused.value)


def test_a_server_that_echoes_half_of_the_key_gets_it_into_no_message(
    submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = KEY.partition(":")[2]
    with StrangeServer(reply(500, json.dumps({"detail": f"wrong secret {secret}"}))) as server:
        connect(monkeypatch, server.url)
        with pytest.raises(errors.SubmitUnknown) as refused:
            submit(TEXT_TO_VIDEO, INPUT)
        assert secret not in str(refused.value)


def test_a_key_of_a_letter_leaves_fals_answers_as_they_are() -> None:
    answer = Account("Key a:b").answer(200, {}, b'{"request_id": "ab-a:b"}')
    assert answer.get("request_id") == "ab-a:b"


# --- the address


@pytest.mark.parametrize(
    ("connection", "url"),
    [
        ({"host": "https://gateway.example/fal/"}, "https://gateway.example/fal/"),
        ({"host": "gateway.example"}, "https://gateway.example/"),
        ({"host": "127.0.0.1", "schema": "http", "port": 8188}, "http://127.0.0.1:8188/"),
        ({"host": "https://gateway.example/fal", "port": 8443}, "https://gateway.example:8443/fal/"),
        ({"host": "http://h:80", "port": 81}, "http://h/"),
        ({"host": "http://[::1]:8188"}, "http://[::1]:8188/"),
        ({"host": ""}, "https://queue.fal.run/"),
        ({}, "https://queue.fal.run/"),
    ],
)
def test_the_queue_is_where_the_connection_says(
    monkeypatch: pytest.MonkeyPatch, connection: dict[str, object], url: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_PIKA_DEFAULT", json.dumps({"conn_type": "pika", "password": KEY, **connection}))
    with PikaHook().get_conn() as queue:
        assert f"{str(queue._http.base_url).rstrip('/')}/" == url


@pytest.mark.parametrize(
    "host",
    [
        "ftp://x",
        "https://",
        "https://user:pass@x",
        "https://:pass@x",
        "https://x?token=1",
        "https://x#y",
        "http://localhost:abc",
        "http://[::1",
        f"https://{'x' * 64}.example",
    ],
)
def test_what_cannot_be_a_queue_url_is_refused(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    connect(monkeypatch, host)
    with pytest.raises(errors.InvalidInput, match="queue URL of connection 'pika_default'"):
        PikaHook().get_conn()


@pytest.mark.parametrize("seconds", [0, -1, "soon", "inf", "nan", 121])
def test_what_cannot_be_an_http_timeout_is_refused(monkeypatch: pytest.MonkeyPatch, seconds: object) -> None:
    connect(monkeypatch, "http://127.0.0.1:1", http_timeout=seconds)
    with pytest.raises(errors.InvalidInput, match="http_timeout"):
        PikaHook().get_conn()


def test_a_host_that_does_not_answer_is_unreachable_and_nothing_was_submitted(
    submit: Submit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        connect(monkeypatch, f"http://127.0.0.1:{reserved.getsockname()[1]}")
        with pytest.raises(errors.Unreachable, match="Nothing was submitted; a retry submits again"):
            submit(TEXT_TO_VIDEO, INPUT)


def test_a_connection_that_does_not_open_in_time_was_never_sent(
    submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        callers = [socket.socket() for _ in range(4)]
        for caller in callers:  # the backlog is full, and nobody takes a call from it
            caller.setblocking(False)
            caller.connect_ex(full.getsockname())
        connect(monkeypatch, f"http://127.0.0.1:{full.getsockname()[1]}", http_timeout=1)
        with pytest.raises(errors.Unreachable, match="Nothing was submitted"):
            submit(TEXT_TO_VIDEO, INPUT)
        for caller in callers:
            caller.close()


def trickle(handler: BaseHTTPRequestHandler) -> None:
    """Answer with a byte each quarter of a second, for long."""
    handler.send_response(200)
    handler.end_headers()
    with contextlib.suppress(OSError):
        for _ in range(80):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.25)


def test_an_answer_that_trickles_takes_no_longer_than_the_timeout(
    submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StrangeServer(trickle) as server:
        connect(monkeypatch, server.url, http_timeout=1)
        before = time.monotonic()
        with pytest.raises(errors.SubmitUnknown, match="Timeout"):
            submit(TEXT_TO_VIDEO, INPUT)
        with pytest.raises(errors.Unreachable, match="Timeout"):
            asyncio.run(PikaHook().astatus(TEXT_TO_VIDEO, "r-1"))
        assert time.monotonic() - before < 10


# --- the Test button


def test_the_connection_test_costs_nothing_and_tells_a_good_key_from_a_bad_one(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PikaHook().test_connection() == (True, "The queue answered, and accepted the key.")
    connect(monkeypatch, emulator.queue_url, key="wrong:wrong")
    assert PikaHook().test_connection() == (False, "The queue answered, and refused the key.")
    connect(monkeypatch, "http://127.0.0.1:1")
    good, message = PikaHook().test_connection()
    assert not good
    assert "cannot be reached" in message
    assert "request" not in message
    assert emulator.counts()["submit"]["received"] == 0


def test_a_proxy_of_the_environment_is_used_by_both_clients(submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def as_a_proxy(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        reply(200, '{"request_id": "r-1"}')(handler)

    with StrangeServer(as_a_proxy) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        connect(monkeypatch, "http://queue.example")
        assert submit(TEXT_TO_VIDEO, INPUT) == "r-1"
    assert asked == [f"http://queue.example/{TEXT_TO_VIDEO}"]
