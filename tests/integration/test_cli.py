"""The command line against the emulator: what was spent to the cent, one clip for one POST, and errors of one line."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from airflow import __version__
from packaging.version import Version

from airflow_provider_pika.cli import commands
from airflow_provider_pika.cli.main import main
from airflow_provider_pika.fal import SPENT_BY, TEXT_TO_VIDEO, pricing
from airflow_provider_pika.fal.inputs import SubmitControls
from airflow_provider_pika.fal.submission import submit
from airflow_provider_pika.fal.tags import of_task
from airflow_provider_pika.hooks.pika import PikaHook
from tests.integration.conftest import connect
from tests.support.emulator import RunningEmulator, accepted
from tests.support.hostile import HostileServer, http
from tests.support.waiting import until

ADMIN, KEY = "admin-id:admin-secret-0123456789", "key-id:key-secret-0123456789"

#: Airflow takes commands of providers from 3.2 on.
TAKES_COMMANDS = Version(__version__) >= Version("3.2")

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    """An emulator that bills, and draws small clips."""
    options = ["--admin-key", ADMIN, "--price", f"{TEXT_TO_VIDEO}=seconds:0.06"]
    data = tmp_path_factory.mktemp("cli")
    with RunningEmulator.start(data, runners=4, generation_time="0.3", keys=[KEY], extra=options) as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def emulator(running: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningEmulator]:
    """The same behind two connections, ``pika_default`` and ``admin``."""
    connect(monkeypatch, running.queue_url, KEY)
    connect(monkeypatch, running.queue_url, ADMIN, "admin")
    running.reset_counts()
    pricing.forget()
    yield running
    running.clear_faults()
    pricing.forget()


def ended(dag: str | None, prompt: str = "a fox", **arguments: Any) -> str:
    """Have a clip of a Dag generated, and return its request's ID."""
    headers = SubmitControls().headers(of_task(dag, "generate", "run-1") if dag else None)
    with PikaHook().get_conn() as queue:
        request_id = queue.hold(submit(TEXT_TO_VIDEO, {"prompt": prompt, "resolution": "480p", **arguments}, headers))
        until(lambda: queue.status(TEXT_TO_VIDEO, request_id).status == "COMPLETED", "a clip", 20, 0.1)
    return request_id


@pytest.fixture(scope="module")
def night(running: RunningEmulator) -> dict[str, str]:
    """A night of four clips, by their Dag."""
    with pytest.MonkeyPatch.context() as patch:
        connect(patch, running.queue_url, KEY)
        lengths = {"nightly": 5, "weekly": 10, "a,b": 5, "": 5}
        return {dag: ended(dag, "a fox", duration=length) for dag, length in lengths.items()}


def out_of(capsys: Captured, *words: str) -> Any:
    """Run a command that succeeds, and return its JSON."""
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(("by", "tag"), [("dag", "dag"), ("endpoint", "endpoint_id")])
def test_spend_equals_the_books_to_the_cent(
    emulator: RunningEmulator, night: dict[str, str], capsys: Captured, by: str, tag: str
) -> None:
    said = out_of(capsys, "spend", "--conn-id", "admin", "--by", by)
    assert said["source"] == "fal's billing events"
    assert Decimal(said["total"]["amount"]) == emulator.billed() > 1
    assert {group[by]: Decimal(group["amount"]) for group in said["groups"]} == emulator.billed_by(tag)
    assert said["total"]["differing"] == 0
    assert night[""] in {row["request_id"] for row in said["without_dag"]["named"]}


@pytest.mark.parametrize("by", SPENT_BY)
def test_a_dag_asks_the_hook_and_gets_what_the_command_says_to_the_cent(
    emulator: RunningEmulator, night: dict[str, str], capsys: Captured, by: str
) -> None:
    since = datetime.now(UTC) - timedelta(hours=1)
    report = PikaHook("admin").spend(since, by=by)
    assert report["source"] == "fal's billing events"
    assert Decimal(report["total"]["amount"]) == emulator.billed() > 1
    if by in ("dag", "task"):
        sums = emulator.billed_by("dag")
        names = {dag and f"{dag}.generate": each for dag, each in sums.items()} if by == "task" else sums
        assert {group[by]: Decimal(group["amount"]) for group in report["groups"]} == names
    assert night[""] in {row["request_id"] for row in report["without_dag"]["named"]}
    said = out_of(capsys, "spend", "--conn-id", "admin", "--since", since.isoformat(), "--by", by)
    assert {**said, "until": None} == {**report, "until": None}
    assert list(said) == list(report)


@pytest.mark.usefixtures("night")
def test_the_hook_falls_back_to_the_history_without_the_admin_right_as_the_command_does(capsys: Captured) -> None:
    since = datetime.now(UTC) - timedelta(hours=1)
    report = PikaHook().spend(since)
    assert (report["source"], report["total"]["basis"]) == ("fal's request history", "estimated")
    assert [group["dag"] for group in report["groups"]] == [None]
    assert "ADMIN right" in report["notes"][0]
    assert f"read for {TEXT_TO_VIDEO}" in report["notes"][1]
    said = out_of(capsys, "spend", "--since", since.isoformat(), "--by", "dag")
    assert {**said, "until": None} == {**report, "until": None}


def test_spans_that_meet_count_each_charge_once(emulator: RunningEmulator, night: dict[str, str]) -> None:
    rows = PikaHook("admin").spend(datetime.now(UTC) - timedelta(hours=1), by="endpoint")["without_dag"]["named"]
    [at] = [datetime.fromisoformat(row["at"]) for row in rows if row["request_id"] == night[""]]
    before = PikaHook("admin").spend(at - timedelta(days=1), at)
    after = PikaHook("admin").spend(at)
    assert before["total"]["requests"] + after["total"]["requests"] == len(emulator.books())
    assert night[""] in {row["request_id"] for row in after["without_dag"]["named"]}


def test_only_the_endpoints_that_are_named_are_counted(night: dict[str, str]) -> None:
    since = datetime.now(UTC) - timedelta(hours=1)
    assert PikaHook("admin").spend(since, endpoints=["fal-ai/pika/v2.2/text-to-video"])["total"]["requests"] == 0
    assert PikaHook("admin").spend(since, endpoints=[TEXT_TO_VIDEO])["total"]["requests"] >= len(night)
    history = PikaHook().spend(since, endpoints=["fal-ai/pika/v2.2/text-to-video"])
    assert history["total"]["requests"] == 0
    assert "v2.2" in history["notes"][1]


@pytest.mark.usefixtures("night")
def test_spend_reads_page_after_page(
    emulator: RunningEmulator, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_pika.fal import requests

    monkeypatch.setattr(requests, "BILLING_ROWS", 1)
    said = out_of(capsys, "spend", "--conn-id", "admin", "--since", "100d")
    assert said["total"]["requests"] == len(emulator.books())
    assert Decimal(said["total"]["amount"]) == emulator.billed()


def test_spend_lists_requests_of_dags_that_are_not_known(
    night: dict[str, str], capsys: Captured, tmp_path: Path
) -> None:
    dags = tmp_path / "dags.txt"
    dags.write_text("nightly\na,b\n")
    for known in (str(dags), "nightly, a_b"):
        said = out_of(capsys, "spend", "--conn-id", "admin", "--known-dags", known)
        if known != str(dags):
            assert [row["request_id"] for row in said["of_unknown_dags"]["named"]] == [night["weekly"]]
        assert night["weekly"] in {row["request_id"] for row in said["of_unknown_dags"]["named"]}


@pytest.mark.usefixtures("night")
def test_spend_marks_where_our_price_and_fals_bill_differ(
    emulator: RunningEmulator, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {TEXT_TO_VIDEO: {"unit": "seconds", "price": "0.05", "currency": "USD"}}
    connect(monkeypatch, emulator.queue_url, ADMIN, "admin", prices=own)
    said = out_of(capsys, "spend", "--conn-id", "admin")
    assert said["differing"]["requests"] == said["total"]["requests"]
    assert {("0.30", "0.25"), ("0.60", "0.50")} == {
        (row["billed"], row["by_our_price"]) for row in said["differing"]["named"]
    }


@pytest.mark.usefixtures("night")
def test_without_the_admin_right_spend_estimates_from_the_history_and_says_so(capsys: Captured) -> None:
    assert main(["spend", "--json"]) == 0
    printed = capsys.readouterr()
    said = json.loads(printed.out)
    assert (said["source"], said["total"]["basis"]) == ("fal's request history", "estimated")
    assert Decimal(said["total"]["amount"]) > 1
    assert "ADMIN right" in printed.err
    assert "estimated" in printed.err


@pytest.mark.usefixtures("night")
def test_spend_is_a_table_or_csv(capsys: Captured) -> None:
    assert main(["spend", "--conn-id", "admin", "--by", "task", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["task"] for row in rows} >= {"nightly.generate", "weekly.generate"}
    assert main(["spend", "--conn-id", "admin", "--by", "dag"]) == 0
    table = capsys.readouterr().out
    assert "nightly" in table
    assert "(no Dag)" in table


def test_requests_are_listed_with_how_they_ended(night: dict[str, str], capsys: Captured) -> None:
    refused = ended(None, "a [[content_policy_violation]] fox")
    by_id = {row["request_id"]: row for row in out_of(capsys, "requests", "--since", "1h")}
    assert by_id[night["nightly"]]["state"] == "ended"
    assert (by_id[refused]["state"], by_id[refused]["status_code"]) == ("failed", 422)


def test_a_request_is_shown_and_its_clip_with_its_cost(night: dict[str, str], capsys: Captured) -> None:
    assert out_of(capsys, "status", night["weekly"])["status"] == "COMPLETED"
    clip = out_of(capsys, "result", night["weekly"])
    assert (clip["cost"]["amount"], clip["request_id"]) == ("0.60", night["weekly"])
    assert main(["result", night["weekly"]]) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == clip["url"]
    assert "Cost: 0.60 USD" in printed.err


def test_a_result_that_the_queue_has_dropped_is_read_from_the_history(capsys: Captured) -> None:
    request_id = ended(None, "an [[expire]] fox")
    assert out_of(capsys, "result", request_id)["request_id"] == request_id


def test_a_request_that_runs_has_no_clip_yet_and_can_be_cancelled(capsys: Captured) -> None:
    request_id = PikaHook().submit(TEXT_TO_VIDEO, {"prompt": "a [[never_finish]] fox"})
    assert main(["result", request_id]) == 1
    assert "has not ended" in capsys.readouterr().err
    assert out_of(capsys, "cancel", request_id) == {"request_id": request_id, "cancelled": True}


def test_to_cancel_what_has_ended_fails(night: dict[str, str], capsys: Captured) -> None:
    assert main(["cancel", night["nightly"]]) == 1
    assert "completed before" in capsys.readouterr().out


def test_an_estimate_submits_nothing(emulator: RunningEmulator, capsys: Captured, tmp_path: Path) -> None:
    assert out_of(capsys, "estimate", "a fox", "--duration", "10")["amount"] == "0.60"
    inputs = tmp_path / "inputs.json"
    inputs.write_text(json.dumps(["a fox", {"prompt": "a hare", "duration": 10}]))
    assert main(["estimate", "--inputs", str(inputs)]) == 0
    assert capsys.readouterr().out.startswith("2 clip(s): 0.90 USD (estimated)")
    assert accepted(emulator) == 0


def test_generate_submits_once_and_saves_the_clip_as_the_operator_does(
    emulator: RunningEmulator, capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["generate", "a red fox", "--resolution", "480p", "--seed", "7", "--save", "clips/fox.mp4"]
    assert main([*words, "--json"]) == 0
    printed = capsys.readouterr()
    said = json.loads(printed.out)
    assert accepted(emulator) == 1
    assert (said["seed"], said["cost"]["amount"]) == (7, "0.30")
    path = tmp_path / "clips" / "fox.mp4"
    assert said["saved"]["path"] == str(path)
    metadata = json.loads(Path(f"{path}.json").read_text())
    assert (metadata["bytes"], metadata["prompt"], metadata["seed"]) == (path.stat().st_size, "a red fox", 7)
    assert "Submitted to" in printed.err
    assert "\x1b" not in printed.err, "a bar is for a terminal"
    assert main(words) == 1
    assert "Nothing was sent to fal" in capsys.readouterr().err
    assert accepted(emulator) == 1
    assert main(["result", said["request_id"], "--save", "clips/fox.mp4"]) == 0
    assert "was saved before" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        "a_fox --resolution 8k",
        "a_fox --seed x",
        "a_fox --save ../",
        "a_fox --save s3://",
        "a_fox --overwrite",
        "a_fox --timeout -1",
        "a_fox --inputs x.json",
        "--inputs /nowhere/x.json",
        "a_fox --endpoint nonsense",
        "",
    ],
)
def test_what_generate_cannot_do_is_said_before_anything_is_sent(
    emulator: RunningEmulator, capsys: Captured, words: str
) -> None:
    assert main(["generate", *words.split()]) == 2
    assert capsys.readouterr().err.startswith("pika: ")
    assert accepted(emulator) == 0


def test_a_lost_reply_is_not_submitted_again(emulator: RunningEmulator, capsys: Captured) -> None:
    assert main(["generate", "a [[lost_reply]] fox"]) == 1
    said = capsys.readouterr().err
    assert "To look for it: python -m airflow_provider_pika requests" in said
    assert len(emulator.requests("lost_reply")) == 1


def test_a_refused_prompt_fails_in_fals_words(capsys: Captured) -> None:
    assert main(["generate", "a [[content_policy_violation]] fox"]) == 1
    assert "flagged by a content checker" in capsys.readouterr().err


def test_a_wait_that_takes_too_long_says_how_to_go_on(capsys: Captured) -> None:
    assert main(["generate", "a [[never_finish]] fox", "--timeout", "0.5", "--save", "fox.mp4"]) == 1
    said = capsys.readouterr().err
    [request_id] = [line.split("request ")[1].split(",")[0] for line in said.splitlines() if "Submitted" in line]
    assert f"result {request_id} --save fox.mp4" in said
    assert main(["cancel", request_id]) == 0


ERRORS = {
    "an unknown request": (["status", "00000000-0000-0000-0000-000000000000"], 1, "does not know"),
    "no request's ID": (["status", "../x"], 2, "request_id"),
    "no connection": (["spend", "--conn-id", "other"], 1, "There is no connection 'other'"),
    "a wrong time": (["spend", "--since", "yesterday"], 2, "is not a time"),
    "a span that is empty": (["spend", "--since", "2d", "--until", "3d"], 2, "--since must be before"),
    "a span that is too long": (["spend", "--since", "2001-01-01"], 2, "366 days"),
    "two forms": (["spend", "--json", "--csv"], 2, "not both"),
    "no endpoint": (["requests", "--endpoint", "x"], 2, "endpoint"),
}


@pytest.mark.parametrize(("words", "code", "said"), ERRORS.values(), ids=ERRORS)
def test_an_error_is_one_line_on_stderr(capsys: Captured, words: list[str], code: int, said: str) -> None:
    assert main(words) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert said in printed.err


@pytest.mark.usefixtures("airflow_db")
def test_a_connection_of_airflows_database_is_found(
    emulator: RunningEmulator, night: dict[str, str], capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session

    monkeypatch.delenv("_AIRFLOW_PROCESS_CONTEXT", raising=False)
    stored = Connection(conn_id="stored", conn_type="pika", host=emulator.queue_url, password=KEY)
    with create_session() as session:
        session.add(stored)
    try:
        assert out_of(capsys, "status", night["nightly"], "--conn-id", "stored")["status"] == "COMPLETED"
    finally:
        with create_session() as session:
            session.query(Connection).filter_by(conn_id="stored").delete()
    assert "_AIRFLOW_PROCESS_CONTEXT" not in os.environ


def test_a_wrong_key_and_an_unforeseen_error_are_one_line_too(
    emulator: RunningEmulator, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, emulator.queue_url, "wrong:key")
    assert main(["requests"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    monkeypatch.setitem(commands.BY_NAME, "status", lambda args: 1 // 0)
    assert main(["status", "x"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "pika: This did not work, and it is not fal's doing: ZeroDivisionError."
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"billing_events": [{"request_id": "\x1b[31m", "endpoint_id": "x"}]},
        {"billing_events": [{"request_id": "r", "endpoint_id": "x\n\x1b[31mforged", "tags": {"dag": "\x1b]0;x"}}]},
        {"billing_events": [], "has_more": True, "next_cursor": "1"},
        {"detail": f"no right for {KEY}"},
        "<html>",
    ],
    ids=["a bad id", "control characters", "no end", "an echo of the key", "a login page"],
)
def test_hostile_books_bring_a_line_or_a_clean_table(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, body: Any
) -> None:
    with HostileServer(lambda *_: [http(body)]) as platform:
        connect(monkeypatch, platform.url, KEY)
        assert main(["spend", "--by", "dag"]) in (0, 1)
        assert main(["spend", "--by", "endpoint"]) in (0, 1)
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert "key-secret" not in printed.out + printed.err
    assert "\nforged" not in printed.out


@contextlib.contextmanager
def process(*words: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command as a shell does in the foreground, and end it, whatever becomes of the test."""
    command = [sys.executable, "-m", "airflow_provider_pika", *words]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    with running:
        try:
            yield running
        finally:
            running.kill()


def test_ctrl_c_says_that_the_request_goes_on_and_how_to_get_or_cancel_it(
    emulator: RunningEmulator, capsys: Captured
) -> None:
    with process("generate", "a [[never_finish]] stoat", "--save", "stoat.mp4") as running:
        until(lambda: emulator.requests("stoat"), "a submit", 30, 0.1)
        time.sleep(0.5)
        running.send_signal(signal.SIGINT)
        printed, said = running.communicate(timeout=30)
    [request] = emulator.requests("stoat")
    assert (running.returncode, printed) == (130, "")
    assert f"Request {request['request_id']} goes on at fal" in said
    assert f"python -m airflow_provider_pika result {request['request_id']} --save stoat.mp4" in said
    assert f"python -m airflow_provider_pika cancel {request['request_id']}" in said
    assert "Traceback" not in said
    assert request["state"] != "COMPLETED"
    assert main(["cancel", request["request_id"]]) == 0


def test_stdout_has_nothing_but_the_result_though_airflow_logs_there() -> None:
    nowhere = {"FAL_KEY": "a:b", "HTTPS_PROXY": "http://127.0.0.1:1"}
    env = {name: value for name, value in os.environ.items() if name != "AIRFLOW_CONN_PIKA_DEFAULT"} | nowhere
    command = [sys.executable, "-m", "airflow_provider_pika", "estimate", "a fox", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=60)
    assert json.loads(done.stdout)["unknown"] == 1, done.stderr
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_has_read_enough_is_no_error() -> None:
    with process("estimate", "a fox", "--json") as running:
        assert running.stdout is not None
        running.stdout.close()
        assert running.stderr is not None
        assert running.stderr.read() == ""


def test_airflow_has_the_commands_from_3_2_on() -> None:
    airflow = Path(sys.executable).parent / "airflow"
    done = subprocess.run([airflow, "pika", "--help"], capture_output=True, text=True, check=False, timeout=120)
    if TAKES_COMMANDS:
        assert done.returncode == 0, done.stderr
        assert "generate" in done.stdout
    else:
        assert done.returncode == 2
        assert "invalid choice: 'pika'" in done.stderr
