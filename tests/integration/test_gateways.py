"""Only fal's own words end a wait: what firewalls, gateways, proxies and login pages say does not."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.exceptions import AirflowRescheduleException
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.fal import TEXT_TO_VIDEO, polling
from airflow_provider_pika.fal.polling import Done, Failed, TooLate
from airflow_provider_pika.hooks.pika import PikaHook
from airflow_provider_pika.operators.cancel import PikaCancelOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor
from airflow_provider_pika.triggers.pika import PikaVideoTrigger, read_event
from tests.integration.conftest import connect
from tests.support.airflow import StateStore, TaskInstance, context, event_of, run_to_the_end
from tests.support.hostile import REQUEST_ID, HostileServer, Pieces, http, trigger_at

STATUS = http({"status": "COMPLETED", "request_id": REQUEST_ID, "metrics": {"inference_time": 1.5}})
RESULT = http({"video": {"url": "https://v3b.fal.media/a.mp4"}})

#: What stands between Airflow and fal says, which knows nothing of the request.
FOREIGN = {
    "a firewall": http("<html>Access denied</html>", 403, ("Server", "cloudflare")),
    "a redirect": http("", 302, ("Location", "https://login.example/?next=/")),
    "a redirect to no URL": http("", 302, ("Location", "javascript:1")),
    "an HTML 400": http("<html>400 Bad Request</html>", 400, ("Server", "openresty")),
    "no route": http({"message": "no Route matched with those values"}, 404, ("Server", "kong/3.4")),
    "another JSON 404": http({"error": "not_found"}, 404),
    "a login wanted": http({"message": "Unauthorized"}, 401, ("WWW-Authenticate", "Basic")),
    "a method": http({"detail": "Method Not Allowed"}, 405),
    "a proxy's login": http("<html>Login</html>", 407, ("Proxy-Authenticate", "Basic")),
    "a law": http("<html>Blocked</html>", 451),
    "nginx": http("<html>502 Bad Gateway</html>", 502, ("Server", "nginx")),
    "AWS": http({"message": "Internal server error"}, 500),
    "a hotel": http("<html>Welcome</html>", 200),
    "another JSON": http({"status": "ok"}, 200),
    "no JSON object": http(["ok"], 200),
    "nothing": http("", 204),
    "a bare detail": http({"detail": "Forbidden"}, 403),
    "FastAPI's 404": http({"detail": "Not Found"}, 404),
    "FastAPI's 422": http({"detail": [{"loc": ["header", "x"], "msg": "Field required", "type": "missing"}]}, 422),
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a reset": b"",
}
MODES: dict[str, dict[str, Any]] = {
    "deferred": {"deferrable": True},
    "stream": {"deferrable": True, "stream": True},
    "poke": {"deferrable": False, "mode": "poke"},
    "reschedule": {"deferrable": False, "mode": "reschedule"},
}

Run = Callable[..., Any]


def run(mode: str, store: StateStore | None = None, **arguments: Any) -> Any:
    """Run a sensor to its end, as Airflow does."""
    waiting: dict[str, Any] = {"poll_interval": 0.05, "timeout": 20, **MODES[mode], **arguments}
    task = PikaVideoSensor(task_id="video", request_id=REQUEST_ID, **waiting)
    started, kept = datetime.now(UTC), store or StateStore()
    while True:
        try:
            return run_to_the_end(
                task, ti=TaskInstance(started if mode == "reschedule" else None), task_state_store=kept
            )
        except AirflowRescheduleException as later:
            time.sleep(max(0.0, (later.reschedule_date - datetime.now(UTC)).total_seconds()))


def queue(status: list[bytes], result: list[bytes]) -> Callable[[str, str, bytes], Pieces]:
    """Answer with each of these in turn, and then with the last one."""
    left = {"status": iter(status), "result": iter(result)}
    last = {"status": status[-1], "result": result[-1]}

    def respond(method: str, path: str, body: bytes) -> Pieces:
        kind = "status" if "/status" in path else "result"
        return [next(left[kind], last[kind])]

    return respond


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll again soon."""
    monkeypatch.setattr(polling, "LONGEST_BACKOFF", 0.05)


@pytest.fixture
def trigger(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a trigger on a queue that answers like this, to its event."""

    def run_one(respond: Callable[[str, str, bytes], Pieces], within: float = 20.0, **arguments: Any) -> Any:
        with HostileServer(respond) as server:
            connect(monkeypatch, server.url)
            return read_event(event_of(trigger_at(server, within, **arguments)))[0]

    return run_one


@pytest.mark.parametrize("said", FOREIGN.values(), ids=FOREIGN)
def test_an_odd_read_in_the_triggerer_ends_no_wait(trigger: Run, said: bytes) -> None:
    assert isinstance(trigger(queue([said, said, STATUS], [said, said, RESULT])), Done)


@pytest.mark.parametrize("mode", ["stream", "poke", "reschedule"])
@pytest.mark.parametrize("name", ["a firewall", "a redirect", "an HTML 400", "no route", "a hotel", "a bare detail"])
def test_an_odd_read_ends_no_wait_in_any_mode(monkeypatch: pytest.MonkeyPatch, mode: str, name: str) -> None:
    said = FOREIGN[name]
    with HostileServer(queue([said, said, STATUS], [said, RESULT])) as server:
        connect(monkeypatch, server.url)
        assert run(mode)["request_id"] == REQUEST_ID


@pytest.mark.parametrize("name", ["a firewall", "an HTML 400", "no route", "nginx"])
def test_a_wait_that_reads_nothing_of_fals_ends_at_its_deadline_and_names_who_answered(trigger: Run, name: str) -> None:
    ending = trigger(queue([FOREIGN[name]], [RESULT]), within=1.0)
    assert isinstance(ending, TooLate)
    server = FOREIGN[name].decode().split("Server: ")[1].split("\r")[0]
    words = FOREIGN[name].decode().rpartition("\r\n")[2][2:12].strip('"')
    assert f"server {server}" in ending.message
    assert words in ending.message
    assert "in front of fal" in ending.message


@pytest.mark.parametrize("mode", ["poke", "reschedule", "deferred"])
def test_a_wait_that_reads_nothing_of_fals_warns_at_once_and_not_at_every_status_check(
    monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    log, records = logging.Logger("seen"), list[logging.LogRecord]()
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record)  # type: ignore[method-assign]
    log.addHandler(handler)
    for kind in (PikaVideoSensor, PikaVideoTrigger):
        monkeypatch.setattr(kind, "log", log)
    with HostileServer(queue([FOREIGN["a firewall"]], [RESULT])) as server:
        connect(monkeypatch, server.url)
        with pytest.raises(AirflowSensorTimeout, match=r"HTTP 403, server cloudflare, '<html>Access denied"):
            run(mode, timeout=1)
        assert len(server.heads) > 4
    told = [record for record in records if "Polling again" in record.getMessage()]
    warned = [record.getMessage() for record in told if record.levelno == logging.WARNING]
    assert len(warned) == 1  # the trigger knows what the worker has told, and the next poke what the one before has
    assert "HTTP 403, server cloudflare, '<html>Access denied</html>'" in warned[0]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (http({"detail": "Unauthorized"}, 401), errors.InvalidKey),
        (http({"detail": "Forbidden"}, 403), errors.AccessDenied),
        (http({"detail": "Not Found"}, 404), errors.UnknownRequest),
    ],
)
def test_a_refusal_that_may_be_fals_ends_a_wait_once_it_was_repeated(
    trigger: Run, said: bytes, kind: type[errors.PikaError]
) -> None:
    ending = trigger(queue([said], [RESULT]))
    assert isinstance(ending, Failed)
    assert type(ending.error) is kind
    assert "again and again" in ending.error.message


def test_a_refusal_that_may_be_fals_counts_across_a_rescheduled_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    with HostileServer(queue([http({"detail": "Unauthorized"}, 401)], [RESULT])) as server:
        connect(monkeypatch, server.url)
        with pytest.raises(AirflowFailException, match="again and again"):
            run("reschedule", StateStore())
        assert len(server.heads) == polling.MOST_DOUBTS


def test_a_gateway_that_comes_back_up_with_a_refusal_ends_no_wait(trigger: Run) -> None:
    down, refused = FOREIGN["nginx"], FOREIGN["a bare detail"]
    statuses = [*[down] * 20, *[refused] * (polling.MOST_DOUBTS - 1), STATUS]
    assert isinstance(trigger(queue(statuses, [RESULT])), Done)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (http({"detail": "invalid key credentials"}, 401), errors.InvalidKey),
        (http({"detail": "User is locked. Reason: Exhausted balance."}, 403), errors.ExhaustedBalance),
        (http({"detail": "No"}, 403, ("X-Fal-Request-Id", REQUEST_ID)), errors.AccessDenied),
        (http({"status": "PAUSED", "request_id": REQUEST_ID}, 200), errors.UnknownStatus),
    ],
)
def test_fals_own_words_end_a_wait_at_once(trigger: Run, said: bytes, kind: type[errors.PikaError]) -> None:
    ending = trigger(queue([said], [RESULT]))
    assert isinstance(ending, Failed)
    assert type(ending.error) is kind


def test_a_request_that_fal_does_not_know_ends_a_wait_though_a_firewall_hides_its_history(trigger: Run) -> None:
    def respond(method: str, path: str, body: bytes) -> Pieces:
        return [http({"status": "NOT_FOUND"}, 404) if "/requests/" in path and "/v1/" not in path else next(blocked)]

    blocked: Iterator[bytes] = itertools.repeat(FOREIGN["a firewall"])
    ending = trigger(respond)
    assert isinstance(ending, Failed)
    assert isinstance(ending.error, errors.UnknownRequest)
    assert "cloudflare" in ending.error.message


@pytest.mark.parametrize(
    "said", [FOREIGN[name] for name in ("a firewall", "a redirect", "no route", "a hotel", "another JSON 404")]
)
def test_a_cancellation_that_something_else_answers_is_not_said_to_be_taken(
    monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    with HostileServer(lambda *_: [said]) as server:
        connect(monkeypatch, server.url)
        with pytest.raises(errors.ForeignAnswer, match="goes on at fal"):
            PikaHook().cancel(TEXT_TO_VIDEO, REQUEST_ID)
        with pytest.raises(errors.ForeignAnswer):
            PikaCancelOperator(task_id="cancel", request_id=REQUEST_ID).execute(context())
