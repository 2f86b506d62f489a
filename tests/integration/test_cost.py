"""What a clip has cost: in what the tasks return, in the metadata file, in a batch's lines; to the cent, or unknown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_pika.batch.manifest import read_manifest
from airflow_provider_pika.fal import TEXT_TO_VIDEO, pricing
from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor
from airflow_provider_pika.transfers.batch_to_object_storage import PikaBatchToObjectStorageOperator
from tests.support.airflow import StateStore, context, run_to_the_end
from tests.support.emulator import RunningEmulator
from tests.support.saving import SavingInstance, metadata_beside, save
from tests.support.tasks import submit

#: fal bills v2.5 by the second here, so a clip of 5 s is 5 units.
OWN = {"unit": "seconds", "price": "0.06", "currency": "USD", "date": "2026-11-01"}


@pytest.fixture(autouse=True)
def asked_anew(emulator: RunningEmulator) -> Iterator[None]:
    pricing.forget()
    yield
    pricing.forget()
    emulator.reset_prices()


def connect(monkeypatch: pytest.MonkeyPatch, emulator: RunningEmulator, **extra: Any) -> None:
    from tests.integration.conftest import KEY

    connection = {"conn_type": "pika", "host": emulator.queue_url, "password": KEY, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_PIKA_DEFAULT", json.dumps(connection))


@pytest.fixture
def own_price(emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, emulator, prices={TEXT_TO_VIDEO: OWN})
    emulator.set_price(TEXT_TO_VIDEO, "seconds", "0.06")


def generate(prompt: str = "a fox", **arguments: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the video of an operator that waits, and what it has pushed."""
    here = context()
    options = {"resolution": "480p", "deferrable": False, "poll_interval": 0.1, **arguments}
    task = PikaTextToVideoOperator(task_id="task", prompt=prompt, wait_for_completion=True, **options)
    return run_to_the_end(task, **here), here["ti"].xcoms


def wait(request_id: str) -> dict[str, Any]:
    task = PikaVideoSensor(task_id="video", request_id=request_id, poll_interval=0.1, timeout=60)
    return run_to_the_end(task)  # type: ignore[no-any-return]


@pytest.mark.usefixtures("own_price")
@pytest.mark.parametrize("deferrable", [True, False])
def test_the_operator_returns_what_the_clip_cost_and_what_was_asked_for(
    emulator: RunningEmulator, deferrable: bool, caplog: pytest.LogCaptureFixture
) -> None:
    video, _ = generate("a lynx", seed=7, deferrable=deferrable)
    assert video["cost"] == {
        "amount": "0.30",
        "currency": "USD",
        "basis": "billed",
        "priced_at": "2026-11-01",
        "source": "connection",
        "units": "5",
        "reason": None,
    }
    assert (video["prompt"], video["seed"]) == ("a lynx", 7)
    [charge] = [each for each in emulator.books() if each["request_id"] == video["request_id"]]
    assert Decimal(charge["cost"]) == Decimal(video["cost"]["amount"])


@pytest.mark.usefixtures("own_price")
def test_the_sensor_returns_the_same_cost(emulator: RunningEmulator) -> None:
    assert wait(submit("a hare"))["cost"]["amount"] == "0.30"


def test_a_price_of_fals_own_list_bills_too(emulator: RunningEmulator) -> None:
    emulator.set_price(TEXT_TO_VIDEO, "videos", "0.45")
    cost = wait(submit("an otter"))["cost"]
    assert (cost["amount"], cost["source"], cost["units"]) == ("0.45", "fal", "1")


def test_without_a_price_the_cost_is_null_and_says_what_to_paste(emulator: RunningEmulator) -> None:
    cost = wait(submit("a heron"))["cost"]
    assert (cost["amount"], cost["currency"], cost["units"]) == (None, None, "5")
    paste = json.loads(cost["reason"].partition("question mark: ")[2])
    assert paste == {"prices": {TEXT_TO_VIDEO: {"unit": "seconds", "price": "?", "currency": "USD"}}}


@pytest.mark.parametrize("fault", ["http_403", "http_500"])
def test_a_price_list_that_cannot_be_read_costs_no_clip(emulator: RunningEmulator, fault: str) -> None:
    emulator.fault(fault, on="pricing", times=9)
    video = wait(submit("a stoat"))
    assert video["url"]
    assert video["cost"]["amount"] is None
    assert "price list cannot be read" in video["cost"]["reason"]


@pytest.mark.parametrize("prices", ["no JSON", {TEXT_TO_VIDEO: {**OWN, "price": "-1"}}, 7])
def test_wrong_prices_in_the_connection_cost_no_clip(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch, prices: Any
) -> None:
    connect(monkeypatch, emulator, prices=prices)
    video, _ = generate("a vole")
    assert video["url"]
    assert video["cost"]["amount"] is None
    assert "is not allowed" in video["cost"]["reason"]


def test_a_price_for_videos_is_not_taken_for_one_of_seconds(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(monkeypatch, emulator, prices={TEXT_TO_VIDEO: {"unit": "videos", "price": "0.30", "currency": "USD"}})
    cost = wait(submit("a mole"))["cost"]
    assert cost["amount"] is None
    assert "look like seconds" in cost["reason"]


@pytest.mark.usefixtures("own_price")
def test_a_saved_file_says_what_its_clip_cost_wherever_it_is_told(emulator: RunningEmulator, tmp_path: Path) -> None:
    video, _ = generate("a badger", seed=11)
    told = {"prompt": "a badger", "seed": 11, "cost": video["cost"]}
    path = tmp_path / "badger.mp4"
    saved = save(video, path, must_fit=False)
    assert {name: saved[name] for name in told} == told
    assert {name: metadata_beside(path)[name] for name in told} == told
    again = save(video, path, must_fit=False)
    assert {name: again[name] for name in told} == told


@pytest.mark.usefixtures("own_price")
def test_a_video_of_an_earlier_version_has_its_cost_looked_up_when_it_is_saved(tmp_path: Path) -> None:
    video, _ = generate("a weasel")
    del video["cost"]
    assert save(video, tmp_path / "weasel.mp4", must_fit=False)["cost"]["amount"] == "0.30"


def test_a_metadata_file_of_an_earlier_version_is_recognised(emulator: RunningEmulator, tmp_path: Path) -> None:
    video, _ = generate("a marten")
    path = tmp_path / "marten.mp4"
    save(video, path, must_fit=False)
    told = {name: value for name, value in metadata_beside(path).items() if name != "cost"}
    Path(f"{path}.json").write_text(json.dumps(told))
    assert save(video, path, must_fit=False)["cost"] is None


@pytest.mark.parametrize("wrong", [7, "0.30", {"amount": 0.3}, {"amount": "9e99"}, {"amount": "0.1"}])
def test_what_somebody_wrote_into_a_metadata_file_is_no_amount(
    emulator: RunningEmulator, tmp_path: Path, wrong: Any
) -> None:
    video, _ = generate("a polecat")
    path = tmp_path / "polecat.mp4"
    save(video, path, must_fit=False)
    Path(f"{path}.json").write_text(json.dumps({**metadata_beside(path), "cost": wrong}))
    assert save(video, path, must_fit=False)["cost"]["amount"] is None


@pytest.mark.usefixtures("own_price")
def test_a_batch_tells_the_cost_of_each_clip_and_of_all(emulator: RunningEmulator, tmp_path: Path) -> None:
    task = PikaTextToVideoBatchOperator(
        task_id="batch",
        inputs=["one", "two", "three [[content_policy_violation]]"],
        defaults={"resolution": "480p"},
        fail_on=0.5,
        manifest_path=str(tmp_path / "batch.jsonl"),
    )
    value = run_to_the_end(task, task_state_store=StateStore())
    assert [line["cost"] and line["cost"]["amount"] for line in value["clips"]] == ["0.30", "0.30", None]
    assert (value["cost"]["amount"], value["cost"]["known"], value["cost"]["basis"]) == ("0.60", 2, "billed")
    assert [line["cost"] for line in read_manifest(value["manifest"])] == [line["cost"] for line in value["clips"]]

    saving = PikaBatchToObjectStorageOperator(
        task_id="save",
        batch=value,
        path=f"{tmp_path}/{{index}}.mp4",
        manifest_path=str(tmp_path / "saved.jsonl"),
        must_fit=False,
    )
    assert saving.get_openlineage_facets_on_complete(None) is None
    saved = saving.execute({"ti": SavingInstance(), "outlet_events": {}})  # type: ignore[typeddict-item]
    assert [line["cost"] and line["cost"]["amount"] for line in saved["clips"]] == ["0.30", "0.30", None]
    assert saved["cost"]["amount"] == "0.60"
    assert metadata_beside(tmp_path / "0.mp4")["cost"] == value["clips"][0]["cost"]

    told = saving.get_openlineage_facets_on_complete(None)
    assert [(each.namespace, each.name) for each in told.outputs] == [("file", f"{tmp_path}/saved.jsonl")]
    assert told.run_facets["pika_cost"].amount == "0.60"


@pytest.mark.usefixtures("own_price")
def test_fal_is_told_where_each_request_comes_from(emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    video, _ = generate("a tagged fox", tags={"team": "social"})
    [request] = emulator.requests("a tagged fox")
    assert request["tags"] == {"dag": "a_dag", "task": "task", "run": context()["ti"].run_id, "team": "social"}
    assert [each["request_id"] for each in emulator.books(dag="a_dag", team="social")] == [video["request_id"]]
    connect(monkeypatch, emulator, tags="false", prices={TEXT_TO_VIDEO: OWN})
    generate("an untagged fox", tags={"team": "social"})
    assert emulator.requests("an untagged fox")[0]["tags"] == {"team": "social"}


def test_each_request_of_a_batch_is_tagged(emulator: RunningEmulator) -> None:
    task = PikaTextToVideoBatchOperator(
        task_id="task", inputs=["tagged one", "tagged two"], defaults={"resolution": "480p"}, tags={"sku": 7}
    )
    run_to_the_end(task, task_state_store=StateStore())
    for prompt in ("tagged one", "tagged two"):
        assert emulator.requests(prompt)[0]["tags"]["sku"] == "7"
        assert emulator.requests(prompt)[0]["tags"]["dag"] == "a_dag"
