"""``reuse_within``: a clip of the same input that another Dag run has paid for is taken, and no other is."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_pika.batch.manifest import read_manifest
from airflow_provider_pika.decorators.pika import _PikaTextToVideoDecoratedOperator
from airflow_provider_pika.fal import TEXT_TO_VIDEO, pricing
from airflow_provider_pika.fal.record import Record
from airflow_provider_pika.hooks.pika import PikaHook
from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor
from tests.integration.conftest import KEY
from tests.support.airflow import StateStore, TaskInstance, context, run_to_the_end
from tests.support.emulator import RunningEmulator, accepted
from tests.support.saving import save
from tests.support.tasks import finished

PRICE = {"unit": "seconds", "price": "0.06", "currency": "EUR"}

#: The operators' own number, as ``TaskInstance`` has it by default: nobody has cleared the task.
RETRIES = 2

INPUT = {"resolution": "480p", "duration": 5, "negative_prompt": "ugly, bad, terrible", "seed": 7}


@pytest.fixture(autouse=True)
def connected(emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    connect(monkeypatch, emulator, prices={TEXT_TO_VIDEO: PRICE})
    yield
    pricing.forget()


def connect(monkeypatch: pytest.MonkeyPatch, emulator: RunningEmulator, **extra: Any) -> None:
    connection = {"conn_type": "pika", "host": emulator.queue_url, "password": KEY, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_PIKA_DEFAULT", json.dumps(connection))


def earlier(prompt: str, **changes: Any) -> str:
    """Return the request of another Dag run, which has ended."""
    return finished(PikaHook().submit(TEXT_TO_VIDEO, {"prompt": prompt, **INPUT, **changes}))


def next_run(began_in: float = 60.0, **more: Any) -> Any:
    """Return the context of a task in a Dag run that began after all that was sent until now."""
    began = datetime.fromtimestamp(time.time() + began_in, UTC)
    return context(dag_run=SimpleNamespace(start_date=began), **more)


def task_of(prompt: str, **arguments: Any) -> PikaTextToVideoOperator:
    own = {"resolution": "480p", "seed": 7, "reuse_within": timedelta(days=1), "retries": RETRIES}
    waits = {"wait_for_completion": True, "deferrable": False, "poll_interval": 0.1}
    return PikaTextToVideoOperator(task_id="task", prompt=prompt, **{**own, **waits, **arguments})


def generate(prompt: str, here: Any = None, **arguments: Any) -> Any:
    return task_of(prompt, **arguments).execute(here or next_run())


def batch(inputs: list[Any], here: Any = None, **arguments: Any) -> Any:
    own = {"defaults": {"resolution": "480p", "seed": 7}, "reuse_within": timedelta(days=1), "retries": RETRIES}
    task = PikaTextToVideoBatchOperator(task_id="task", inputs=inputs, poll_interval=0.1, **{**own, **arguments})
    return run_to_the_end(task, **(here or next_run(task_state_store=StateStore())))


def test_a_clip_of_the_same_input_is_taken_for_nothing_and_the_log_says_so(
    emulator: RunningEmulator, capfd: pytest.CaptureFixture[str]
) -> None:
    before = earlier("a known fox")
    here = next_run()
    video = generate("a known fox", here)
    assert (video["request_id"], video["reused"], video["seed"]) == (before, True, 7)
    assert video["cost"] == {
        **{"amount": "0.00", "currency": "EUR", "basis": "billed", "priced_at": None},
        **{"source": "reused", "units": "0", "reason": None},
    }
    assert f"Reusing request {before}" in capfd.readouterr().out
    assert here["ti"].xcoms["pika_request"]["reused"] is True
    assert len(emulator.requests("a known fox")) == 1


def test_what_was_not_reused_says_so() -> None:
    assert generate("a new fox")["reused"] is False


def test_the_sensor_and_the_saved_file_know_that_the_clip_was_reused(tmp_path: Path) -> None:
    earlier("a shared fox")
    here = next_run()
    request_id = generate("a shared fox", here, wait_for_completion=False)
    sensor = PikaVideoSensor(task_id="video", request_id=request_id, poll_interval=0.1)
    sensor._submitters = lambda: ["task"]  # type: ignore[method-assign]
    video = run_to_the_end(sensor, ti=here["ti"])
    assert (video["reused"], video["cost"]["amount"]) == (True, "0.00")
    saved = save(video, tmp_path / "fox.mp4", must_fit=False)
    assert (saved["cost"]["amount"], saved["cost"]["source"]) == ("0.00", "reused")


@pytest.mark.parametrize(
    ("changes", "arguments"),
    [
        ({"seed": 8}, {}),
        ({"resolution": "720p"}, {}),
        ({"duration": 10}, {}),
        ({"negative_prompt": "ugly"}, {}),
        ({"seed": None}, {}),
        ({}, {"extra_arguments": {"aspect_ratio": "9:16"}}),
    ],
)
def test_only_exactly_the_same_input_counts(
    emulator: RunningEmulator, changes: dict[str, Any], arguments: dict[str, Any]
) -> None:
    prompt = f"one fox, {changes} {arguments}"
    sent = {name: value for name, value in {"prompt": prompt, **INPUT, **changes}.items() if value is not None}
    finished(PikaHook().submit(TEXT_TO_VIDEO, sent))
    assert generate(prompt, **arguments)["reused"] is False
    assert len(emulator.requests(prompt)) == 2


def test_a_duration_that_was_sent_as_text_is_the_same_number() -> None:
    before = earlier("a textual fox", duration="5")
    assert generate("a textual fox")["request_id"] == before


def test_a_request_of_the_same_dag_run_is_never_taken(emulator: RunningEmulator) -> None:
    here = next_run(began_in=0.0)
    takes = [generate("a doubled fox", {**here, "ti": TaskInstance()})["request_id"] for _ in range(2)]
    assert len(set(takes)) == 2
    assert len(emulator.requests("a doubled fox")) == 2


def test_a_request_that_ended_too_long_ago_is_not_taken(emulator: RunningEmulator) -> None:
    earlier("an old fox")
    time.sleep(1.1)
    assert generate("an old fox", reuse_within=1.0)["reused"] is False


@pytest.mark.parametrize("fault", ["runner_error", "never_finish"])
def test_a_request_that_failed_or_runs_is_not_taken(emulator: RunningEmulator, fault: str) -> None:
    emulator.fault(fault, match="a sad fox")
    first = PikaHook().submit(TEXT_TO_VIDEO, {"prompt": "a sad fox", **INPUT})
    if fault == "runner_error":
        finished(first)
    assert generate("a sad fox")["request_id"] != first


def test_a_clip_whose_file_is_gone_is_not_taken_and_the_one_before_it_is(
    emulator: RunningEmulator, capfd: pytest.CaptureFixture[str]
) -> None:
    older = earlier("a lost fox")
    emulator.fault("expired_file", match="a lost fox")
    newer = earlier("a lost fox")
    assert generate("a lost fox")["request_id"] == older
    assert f"Request {newer} had this input, and the file of its clip is gone." in capfd.readouterr().out


def test_a_file_that_its_host_cannot_send_for_a_moment_is_there(emulator: RunningEmulator) -> None:
    before = earlier("a shy fox [[http_503 on=file]]")
    assert generate("a shy fox [[http_503 on=file]]")["request_id"] == before


def test_a_cleared_task_gets_a_new_clip(emulator: RunningEmulator, capfd: pytest.CaptureFixture[str]) -> None:
    store = StateStore()
    before = earlier("a cleared fox")
    assert generate("a cleared fox", next_run(task_state_store=store))["request_id"] == before
    cleared = TaskInstance(try_number=2, max_tries=RETRIES + 1)
    again = generate("a cleared fox", next_run(task_state_store=store, ti=cleared))
    assert again["request_id"] != before
    assert again["reused"] is False
    assert "was cleared, so no earlier clip is reused" in capfd.readouterr().out
    assert before not in str(emulator.counts().get("cancel"))


def test_a_retry_picks_up_the_clip_that_was_reused(emulator: RunningEmulator) -> None:
    store = StateStore()
    before = earlier("a steady fox")
    for attempt in (1, 2):
        here = next_run(task_state_store=store, ti=TaskInstance(try_number=attempt))
        video = generate("a steady fox", here)
        assert (video["request_id"], video["reused"]) == (before, True)
    assert len(emulator.requests("a steady fox")) == 1


def test_a_retry_submits_where_fal_knows_the_reused_request_no_more(emulator: RunningEmulator) -> None:
    store = StateStore()
    earlier("a fading fox")
    generate("a fading fox", next_run(task_state_store=store))
    key = next(iter(store.values))
    record = Record.read(store.get(key))
    gone = record.model_copy(update={"request_id": "01234567-89ab-cdef-0123-456789abcdef"})
    store.set(key, gone.as_json())
    here = next_run(task_state_store=store, ti=TaskInstance(try_number=2))
    assert generate("a fading fox", here, reuse_within=None)["reused"] is False
    assert len(emulator.requests("a fading fox")) == 2


def test_a_history_that_cannot_be_read_is_no_reason_not_to_submit(
    emulator: RunningEmulator, capfd: pytest.CaptureFixture[str]
) -> None:
    earlier("a hidden fox")
    emulator.fault("http_403", match="a hidden fox", on="history", times=9)
    assert generate("a hidden fox")["reused"] is False
    assert "No earlier clip is reused:" in capfd.readouterr().out


def test_a_limit_that_allows_nothing_allows_what_costs_nothing(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = earlier("a free fox")
    assert generate("a free fox", max_cost="0.01")["request_id"] == before
    with pytest.raises(AirflowFailException, match="would cost"):
        generate("a dear fox", max_cost="0.01")
    connect(monkeypatch, emulator)  # no price at all
    emulator.fault("http_403", on="pricing", times=100)
    pricing.forget()
    assert generate("a free fox", max_cost="0.01")["cost"]["amount"] == "0.00"


@pytest.mark.parametrize("value", [0, -1, "soon", True, timedelta(0), float("nan")])
def test_a_time_that_is_none_is_refused(value: Any) -> None:
    for make in (
        lambda: PikaTextToVideoOperator(task_id="task", prompt="a", seed=1, reuse_within=value),
        lambda: PikaTextToVideoBatchOperator(task_id="task", inputs=[{"prompt": "a", "seed": 1}], reuse_within=value),
    ):
        with pytest.raises(ValueError, match="reuse_within="):
            make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: PikaTextToVideoOperator(task_id="task", prompt="a", reuse_within=60),
        lambda: PikaTextToVideoBatchOperator(task_id="task", inputs=["a"], reuse_within=60),
        lambda: PikaTextToVideoBatchOperator(
            task_id="task", inputs=[{"prompt": "a", "seed": 1}, {"prompt": "b"}], reuse_within=60
        ),
        lambda: PikaTextToVideoBatchOperator(
            task_id="task", inputs=[{"prompt": "a", "seed": None}], defaults={"seed": 3}, reuse_within=60
        ),
    ],
)
def test_an_input_without_a_seed_is_refused_when_the_dag_is_parsed(make: Any) -> None:
    with pytest.raises(AirflowFailException, match=r"reuse_within needs a seed, and input [01], "):
        make()


@pytest.mark.parametrize("seed", ["", "None"])
def test_a_seed_that_is_not_there_when_the_task_runs_is_refused_before_anything_is_sent(
    emulator: RunningEmulator, seed: str
) -> None:
    task = task_of("a seedless fox", seed="{{ params.seed }}")
    task.seed = seed
    with pytest.raises(AirflowFailException, match="reuse_within needs a seed"):
        task.execute(next_run())
    assert accepted(emulator) == 0


def test_the_function_of_a_decorated_task_may_give_the_seed() -> None:
    before = earlier("a written fox")
    task = _PikaTextToVideoDecoratedOperator(
        task_id="task",
        python_callable=lambda: {"prompt": "a written fox", "seed": 7, "resolution": "480p"},
        reuse_within=60,
        retries=RETRIES,
        wait_for_completion=True,
        deferrable=False,
        poll_interval=0.1,
    )
    assert task.execute(next_run())["request_id"] == before


def test_a_batch_takes_what_there_is_and_submits_the_rest(
    emulator: RunningEmulator, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    known = {prompt: earlier(prompt) for prompt in ("fox one", "fox three")}
    path = str(tmp_path / "clips.jsonl")
    value = batch(["fox one", "fox two", "fox three"], manifest_path=path)
    lines = list(read_manifest(path))
    assert [line["reused"] for line in lines] == [True, False, True]
    assert [lines[index]["request_id"] for index in (0, 2)] == list(known.values())
    assert [line["cost"]["amount"] for line in lines] == ["0.00", "0.30", "0.00"]
    assert (value["done"], value["cost"]["amount"]) == (3, "0.30")
    assert all(line["url"] and line["seed"] == 7 for line in lines)
    assert "2 of 3 clips are reused" in capfd.readouterr().out
    assert accepted(emulator) == 3


def test_a_batch_of_known_clips_alone_submits_nothing_and_waits_for_nothing(emulator: RunningEmulator) -> None:
    earlier("a lone fox")
    value = batch(["a lone fox"], max_cost="0.01")
    assert (value["done"], value["clips"][0]["reused"]) == (1, True)
    assert accepted(emulator) == 1


def test_no_two_items_of_a_batch_take_the_same_clip(emulator: RunningEmulator) -> None:
    before = earlier("a twin fox")
    lines = batch(["a twin fox", "a twin fox"])["clips"]
    assert [line["reused"] for line in lines] == [True, False]
    assert lines[0]["request_id"] == before != lines[1]["request_id"]


def test_the_limit_of_a_batch_counts_only_what_is_new(emulator: RunningEmulator) -> None:
    earlier("a paid fox")
    assert batch(["a paid fox", "an unpaid fox"], max_cost="0.30")["done"] == 2
    with pytest.raises(AirflowFailException, match=r"The 2 clips would cost 0\.60"):
        batch(["a paid fox", "fox x", "fox y"], max_cost="0.59")


def test_a_cleared_batch_reuses_nothing_of_others_and_keeps_its_own(emulator: RunningEmulator) -> None:
    store = StateStore()
    earlier("a kept fox")
    first = batch(["a kept fox"], next_run(task_state_store=store))
    earlier("a late fox")
    cleared = TaskInstance(try_number=2, max_tries=RETRIES + 1)
    here = next_run(task_state_store=store, ti=cleared)
    lines = batch(["a kept fox", "a late fox"], here)["clips"]
    assert lines[0]["request_id"] == first["clips"][0]["request_id"]
    assert [line["reused"] for line in lines] == [True, False]


def test_a_batch_whose_history_cannot_be_read_submits_all(emulator: RunningEmulator) -> None:
    earlier("a barred fox")
    emulator.fault("http_403", match="a barred fox", on="history", times=9)
    assert batch(["a barred fox"])["clips"][0]["reused"] is False


def test_a_file_that_is_gone_costs_a_batch_a_new_clip(emulator: RunningEmulator) -> None:
    emulator.fault("expired_file", match="a vanished fox")
    before = earlier("a vanished fox")
    assert batch(["a vanished fox"])["clips"][0]["request_id"] != before
