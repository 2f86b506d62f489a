"""The cookbook's Dags, run by Airflow in this process: ``dag.test``, the emulator, and files on a disk.

`tests/system` runs those that need a scheduler: a pool, an asset, a person's answer, a stopped run, a batch.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.models import BillingEvent
from airflow_provider_pika.fal.prices import Prices
from airflow_provider_pika.fal.spend import BOOKS, Report, of_event
from airflow_provider_pika.hooks.pika import PikaHook
from tests.integration.conftest import KEY, connect
from tests.support.dag_runs import Examples
from tests.support.emulator import RunningEmulator
from tests.support.saving import metadata_beside
from tests.support.strange_server import StrangeServer, reply
from tests.support.versions import KEEPS_TASK_STATE
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.drawn


def snippets(page: str) -> list[str]:
    """Return the Python blocks of a page."""
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def clips_in(folder: Path) -> dict[str, Path]:
    """Return the clips below a folder by their names."""
    return {path.stem: path for path in folder.rglob("*.mp4")}


def test_each_row_of_a_table_becomes_a_clip_named_after_it(examples: Examples, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("name,prompt,duration\nfox,A fox of the table,5\nowl,An owl of the table,5\n")
    run = examples.run("example_pika_table_rows", table=str(table), folder=str(tmp_path / "clips"))
    assert run.state == "success"
    assert [run.names[f"clip.video[{n}]"] for n in range(2)] == ["fox", "owl"]
    assert [run.names[f"clip.save[{n}]"] for n in range(2)] == ["fox.mp4", "owl.mp4"]
    clips = clips_in(tmp_path / "clips")
    assert {name: metadata_beside(path)["prompt"] for name, path in clips.items()} == {
        "fox": "A fox of the table",
        "owl": "An owl of the table",
    }
    [folder] = {path.parent for path in clips.values()}
    assert folder.name.startswith("manual__")


def test_a_row_that_fal_refuses_holds_no_other_row_back(examples: Examples, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("name,prompt,duration\nbad,A fox [[content_policy_violation]],5\ngood,An owl in snow,5\n")
    run = examples.run("example_pika_table_rows", table=str(table), folder=str(tmp_path / "clips"))
    assert run.state == "failed"
    assert list(clips_in(tmp_path / "clips")) == ["good"]


def test_two_rows_of_one_name_fail_before_anything_is_paid_for(
    examples: Examples, emulator: RunningEmulator, tmp_path: Path
) -> None:
    table = tmp_path / "table.csv"
    table.write_text("name,prompt,duration\nfox,A twin of the fox,5\nfox,A twin of the fox,5\n")
    assert examples.run("example_pika_table_rows", table=str(table), folder=str(tmp_path)).state == "failed"
    assert emulator.requests("A twin of the fox") == []


def test_the_table_beside_the_dag_has_good_rows(examples: Examples) -> None:
    rows = examples.dag("example_pika_table_rows").get_task("rows").python_callable({"table": "products.csv"})
    assert [row["name"] for row in rows] == ["kettle", "bicycle", "scarf"]
    assert all(row.keys() == {"name", "prompt", "duration"} for row in rows)


def test_a_task_writes_the_prompt(examples: Examples, emulator: RunningEmulator, tmp_path: Path) -> None:
    run = examples.run("example_pika_written_prompt", product="a written kettle", folder=str(tmp_path))
    assert run.state == "success"
    [request] = emulator.requests("written kettle")
    assert request["input"]["prompt"] == "A slow close-up, soft daylight. a written kettle"
    assert len(clips_in(tmp_path)) == 1


def test_a_model_that_writes_nothing_costs_nothing(
    examples: Examples, emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples.module("example_pika_written_prompt"), "ask_model", lambda _: ' "" ')
    write = examples.dag("example_pika_written_prompt").get_task("write").python_callable
    with pytest.raises(ValueError, match="wrote nothing"):
        write({"product": "a kettle"})


def test_takes_of_one_prompt_differ_by_their_seeds(
    examples: Examples, emulator: RunningEmulator, tmp_path: Path
) -> None:
    run = examples.run("example_pika_takes", prompt="A taken boat", takes=2, first_seed=7, folder=str(tmp_path))
    assert run.state == "success"
    assert [run.names[f"video[{n}]"] for n in range(2)] == ["seed 7", "seed 8"]
    assert {request["input"]["prompt"] for request in emulator.requests("A taken boat")} == {"A taken boat"}
    clips = clips_in(tmp_path)
    assert {name: metadata_beside(path)["seed"] for name, path in clips.items()} == {"seed-7": 7, "seed-8": 8}
    assert clips["seed-7"].read_bytes() != clips["seed-8"].read_bytes()


@pytest.mark.skipif(not KEEPS_TASK_STATE, reason="dag.test of Airflow 3.1 gives a callback no exception; a worker does")
def test_an_alert_says_what_happened_which_request_it_was_and_what_to_do(
    examples: Examples, emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(examples.module("example_pika_alert"), "send", sent.append)
    prompt = "An alarming fox [[content_policy_violation]]"
    assert examples.run("example_pika_alert", prompt=prompt, folder=str(tmp_path)).state == "failed"
    [text] = sent  # `save` did not run, so nobody is told of it
    [request] = emulator.requests("An alarming fox")
    head, what, which, again = text.splitlines()
    assert head.startswith("example_pika_alert.video failed in manual__")
    assert what.startswith("ContentPolicyViolation: The generation failed: prompt: The content")
    assert "may charge for a refused request that ran" in what
    assert (which, again) == (f"Request: {request['request_id']}", "The same again may help: no")


@pytest.mark.parametrize("exception", [None, "a text", ValueError("of mine"), KeyboardInterrupt()])
def test_an_alert_copes_with_a_failure_that_is_not_fals(examples: Examples, exception: object) -> None:
    module = examples.module("example_pika_alert")
    assert module.pika_error_of(exception) is None
    ti = SimpleNamespace(dag_id="d", task_id="t", run_id="r")
    module.alert({"ti": ti} if exception is None else {"ti": ti, "exception": exception})


def test_a_morning_report_without_the_admin_right_says_that_it_estimates(
    examples: Examples, emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    price = {TEXT_TO_VIDEO: {"unit": "videos", "price": "0.30", "currency": "USD"}}
    connect(monkeypatch, emulator.queue_url, KEY, "pika_admin", prices=price)
    request_id = PikaHook().submit(TEXT_TO_VIDEO, {"prompt": "A clip to report", "resolution": "480p"})
    until(lambda: PikaHook().status(TEXT_TO_VIDEO, request_id).status == "COMPLETED", "a clip", 30, 0.1)
    with StrangeServer(reply(200, "ok")) as webhook:
        connect(monkeypatch, "", webhook.url, "pika_report")
        run = examples.run("example_pika_morning_report", day=time.strftime("%Y-%m-%d", time.gmtime()))
    assert run.state == "success"
    [text] = [json.loads(body)["text"] for body in webhook.bodies]
    assert "from fal's request history: " in text
    assert re.search(r"^- unknown Dag: \d+\.\d0 USD ", text, re.MULTILINE)
    assert "ADMIN right" in text
    assert "So the costs are estimated, and nobody knows the Dags." in text


def test_the_morning_report_is_of_the_day_before_the_run_in_its_zone(
    examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def spend(self: PikaHook, *span: Any, **_: Any) -> dict[str, Any]:
        asked.append([at.isoformat() for at in span])
        return report()

    monkeypatch.setattr(PikaHook, "spend", spend)
    costs = examples.dag("example_pika_morning_report").get_task("costs").python_callable
    run = SimpleNamespace(run_after=datetime(2026, 10, 26, 5, tzinfo=UTC))
    costs(run, {"day": None})
    costs(run, {"day": "2026-10-01"})
    monkeypatch.setattr(examples.module("example_pika_morning_report"), "ZONE", "Europe/Berlin")
    costs(run, {"day": None})  # the summer time ends, so the day has 25 hours
    assert asked == [
        ["2026-10-25T00:00:00+00:00", "2026-10-26T00:00:00+00:00"],
        ["2026-10-01T00:00:00+00:00", "2026-10-02T00:00:00+00:00"],
        ["2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"],
    ]


def report(*costs: float | None, dag: str = "nightly") -> dict[str, Any]:
    """Return what a hook says of some bills."""
    rows = [
        BillingEvent(request_id=f"r-{n}", endpoint_id=TEXT_TO_VIDEO, cost_total=cost, tags={"dag": dag})
        for n, cost in enumerate(costs)
    ]
    return Report([of_event(row, Prices()) for row in rows], BOOKS, "dag", "then", "now").as_json()


def test_a_morning_report_says_that_an_unknown_cost_is_unknown_and_counts_it_never_as_0(examples: Examples) -> None:
    message_of = examples.module("example_pika_morning_report").message_of
    head, line, reason = message_of(report(0.3, None, None)).splitlines()
    assert head.endswith(": 0.30 USD and 2 of unknown cost (requests: 3)")
    assert line == "- nightly: 0.30 USD and 2 of unknown cost (requests: 3)"
    assert reason == "Unknown, 2 times: fal's billing event has no cost that can be read."
    assert message_of(report(None)).splitlines()[0].endswith(": 1 of unknown cost (requests: 1)")
    assert message_of(report()).endswith(": nothing (requests: 0)")


def test_a_strangers_tag_calls_nobody_in_the_chat(examples: Examples) -> None:
    message_of = examples.module("example_pika_morning_report").message_of
    text = message_of(report(0.3, dag="<!channel> @here\n*"))
    assert not set("<!>@*") & set(text.splitlines()[1])
    assert len(text.splitlines()) == 2


def test_a_report_of_very_many_dags_is_no_book(examples: Examples) -> None:
    module = examples.module("example_pika_morning_report")
    whole = report(0.3)
    text = module.message_of({**whole, "groups": whole["groups"] * 100})
    assert len(text.splitlines()) == module.MOST + 2
    assert text.endswith("- and 70 more Dags")


def test_a_webhook_that_refuses_fails_the_task_and_its_address_is_in_no_error(
    examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = examples.dag("example_pika_morning_report").get_task("post").python_callable
    for answer in (reply(404, "no_team"), reply(302, "", Location="/elsewhere"), reply(503, "busy")):
        with StrangeServer(answer) as webhook:
            connect(monkeypatch, "", f"{webhook.url}/hooks/not-for-any-log", "pika_report")
            with pytest.raises(RuntimeError, match=r"HTTP [345]0[234]$"):
                post("a report")
            assert [json.loads(body) for body in webhook.bodies] == [{"text": "a report"}]
    with pytest.raises(httpx.ConnectError) as refused:
        post("a report")
    assert "not-for-any-log" not in str(refused.value)


def test_what_subscribe_did_is_what_the_dag_replaces(tmp_path: Path) -> None:
    before = snippets("docs/cookbook/from-fal-client.md")[0]
    with RunningEmulator.start(tmp_path, generation_time="0.1", tls=True, extra=["--render", "off"]) as emulator:
        hosts = {"FAL_QUEUE_RUN_HOST": emulator.queue_url, "FAL_RUN_HOST": emulator.run_url}
        environment = {
            **os.environ,
            **{name: url.removeprefix("https://") for name, url in hosts.items()},
            "SSL_CERT_FILE": str(emulator.ca_file),
            "FAL_KEY": "any:key",
            "CITY": "Lisbon",
        }
        # the function under @task, called as it is
        code = f"{before}\n\nprint(lisbon.function())\n"
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
        )
        assert done.stdout.strip().endswith(".mp4"), done.stderr
        assert len(emulator.requests("tram")) == 1
