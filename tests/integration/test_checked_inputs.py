"""From the check on only the checked input exists: sent, recorded, waited for and compared, also after a deferral."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, TaskDeferred
from airflow.sdk.bases.operator import ExecutorSafeguard

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.decorators.pika import pika_text_to_video_task
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.polling import TooLate
from airflow_provider_pika.hooks.pika import PikaHook
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor
from airflow_provider_pika.task.state import KEY
from airflow_provider_pika.triggers.pika import to_event
from tests.support.airflow import StateStore, TaskInstance, context, event_of, run_to_the_end
from tests.support.batch import BatchTask
from tests.support.emulator import RunningEmulator, accepted
from tests.support.numbers import FIVES, NO_NUMBERS, Array, NumpyFloat, NumpyInteger, NumpyText, Resolution

pytestmark = pytest.mark.usefixtures("nothing_left_running")

QUICK: dict[str, Any] = {"resolution": "480p", "poll_interval": 0.1}
OTHER = "fal-ai/pika/v2.2/text-to-video"


def operator(**arguments: Any) -> Any:
    """An operator whose arguments are rendered: Airflow sets them after ``__init__``."""
    task = PikaTextToVideoOperator(task_id="generate", prompt="x", wait_for_completion=True, poll_interval=0.1)
    usual = {"prompt": "a fox", "resolution": "720p" if arguments.get("endpoint") == OTHER else "480p"}
    return render(task, **{**usual, **arguments})


def render(task: Any, **arguments: Any) -> Any:
    for name, value in arguments.items():
        setattr(task, name, value)
    return task


def decorated(**arguments: Any) -> Any:
    made: Any = pika_text_to_video_task(task_id="clip", wait_for_completion=True, **QUICK)(
        lambda: {"prompt": "a fox", **arguments}
    )
    return made().operator


def deferral(task: Any, here: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(here)
    return deferred.value


def resumed(task: Any, deferred: TaskDeferred, here: Any, event: Any) -> Any:
    """Resume in another worker, with what Airflow keeps of the deferral."""
    carried = json.loads(json.dumps(deferred.kwargs))
    return getattr(task, deferred.method_name)(here, event=event, **carried)


def late(request_id: str) -> dict[str, Any]:
    return to_event(TooLate(request_id, "late"), [])


# --- numbers and texts of other kinds


@pytest.mark.parametrize("five", FIVES, ids=repr)
@pytest.mark.parametrize("make", [operator, decorated])
def test_a_number_of_any_kind_is_sent_recorded_and_waited_for_as_the_integer_it_is(
    emulator: RunningEmulator, make: Any, five: Any
) -> None:
    store, ti = StateStore(), TaskInstance()
    task = make(duration=five, seed=five)
    deferred = deferral(task, context(ti=ti, task_state_store=store))
    _, arguments = deferred.trigger.serialize()
    assert (arguments["duration"], type(arguments["duration"])) == (5, int)
    assert (ti.xcoms["pika_request"]["input"]["duration"], ti.xcoms["pika_request"]["input"]["seed"]) == (5, 5)
    retry = make(duration=5, seed="5")  # the same input
    assert run_to_the_end(retry, ti=TaskInstance(try_number=2), task_state_store=store)["url"]
    assert accepted(emulator) == 1
    [request] = emulator.requests()[-1:]
    assert (request["input"]["duration"], request["input"]["seed"]) == (5, 5)


@pytest.mark.parametrize("wrong", NO_NUMBERS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("name", ["duration", "seed", "start_timeout"])
def test_what_is_no_number_is_refused_before_anything_is_sent(emulator: RunningEmulator, name: str, wrong: Any) -> None:
    with pytest.raises(AirflowFailException, match=f"{name}=.* is not allowed"):
        operator(**{name: wrong}).execute(context())
    assert emulator.counts()["submit"]["received"] == 0


@pytest.mark.parametrize("text", [Resolution.HIGH, NumpyText("1080p")], ids=repr)
def test_a_text_of_another_class_is_sent_as_the_text_it_holds(emulator: RunningEmulator, text: Any) -> None:
    task = operator(
        prompt=NumpyText("a heron"),
        extra_arguments={NumpyText("aspect_ratio"): NumpyText("9:16")},
        endpoint=NumpyText(OTHER),
        priority=NumpyText("low"),
        on_clear=NumpyText("reuse"),
        start_timeout=NumpyInteger(30),
    )
    video = run_to_the_end(render(task, resolution=text), task_state_store=StateStore())
    [request] = [request for request in emulator.requests() if request["request_id"] == video["request_id"]]
    assert (request["input"]["prompt"], request["input"]["resolution"]) == ("a heron", "1080p")
    assert request["input"]["aspect_ratio"] == "9:16"


@pytest.mark.parametrize("name", ["resolution", "priority", "on_clear", "endpoint", "prompt", "pika_conn_id"])
def test_what_is_equal_to_a_text_and_is_none_is_refused(emulator: RunningEmulator, name: str) -> None:
    value = {"resolution": "480p", "priority": "low", "on_clear": "reuse", "endpoint": OTHER}.get(name, "pika_default")
    with pytest.raises(AirflowFailException, match=f"{name}="):
        render(operator(), **{name: Array(value)}).execute(context())
    assert emulator.counts()["submit"]["received"] == 0


def test_numbers_of_other_kinds_are_sent_in_extra_arguments_as_json_has_them(emulator: RunningEmulator) -> None:
    extra = {"steps": NumpyInteger(7), "scale": NumpyFloat(1.5), "deep": [{"n": Decimal(3)}]}
    request_id = run_to_the_end(operator(endpoint=OTHER, extra_arguments=extra))["request_id"]
    [request] = [request for request in emulator.requests() if request["request_id"] == request_id]
    assert {name: request["input"][name] for name in extra} == {"steps": 7, "scale": 1.5, "deep": [{"n": 3}]}


def test_an_extra_argument_that_somebody_changes_after_the_check_is_sent_as_it_was(emulator: RunningEmulator) -> None:
    extra: dict[str, Any] = {"style": {"of": ["oil"]}}
    task = operator(endpoint=OTHER, extra_arguments=extra)
    terms = task._ask(context())
    extra["style"]["of"].append("water")
    assert terms.arguments["style"] == {"of": ["oil"]}


@pytest.mark.parametrize("five", FIVES, ids=repr)
def test_a_batch_takes_numbers_of_any_kind_and_knows_the_input_again(emulator: RunningEmulator, five: Any) -> None:
    task = BatchTask("five", 0, defaults={"resolution": Resolution.LOW})
    first = task.attempt(inputs=[{"prompt": NumpyText("five"), "duration": five, "seed": five}])
    assert task.attempt(inputs=[{"prompt": "five", "duration": 5, "seed": 5}]) == first
    assert (first["done"], accepted(emulator)) == (1, 1)


# --- after a deferral


def test_a_resumed_worker_goes_by_what_was_checked_and_not_by_what_a_template_renders_now(
    emulator: RunningEmulator,
) -> None:
    here = context(task_state_store=StateStore())
    task = operator(prompt="endless [[never_finish]]", endpoint=OTHER, cancel_on_timeout="true", timeout=30.0)
    deferred = deferral(task, here)
    request_id = here["ti"].xcoms["request_id"]
    other = operator(endpoint="fal-ai/no/such", cancel_on_timeout="", pika_conn_id="not_there", duration="gone")
    with pytest.raises(errors.WaitTimeout, match="accepted the cancellation"):
        resumed(other, deferred, here, late(request_id))
    assert emulator.counts()["cancel"] == 1


def test_a_resumed_sensor_goes_by_what_was_checked(emulator: RunningEmulator) -> None:
    request_id = PikaHook().submit(TEXT_TO_VIDEO, {"prompt": "endless [[never_finish]]", "resolution": "480p"})
    task = PikaVideoSensor(task_id="video", request_id=request_id, cancel_on_timeout="TRUE", poll_interval=0.1)
    deferred = deferral(task, context())
    render(task, endpoint="fal-ai/no/such", cancel_on_timeout="maybe", pika_conn_id="not_there", request_id="")
    with pytest.raises(AirflowSensorTimeout, match="accepted the cancellation"):
        resumed(task, deferred, context(), late(request_id))
    assert emulator.counts()["cancel"] == 1


def test_a_resumed_batch_submits_by_what_was_checked(emulator: RunningEmulator) -> None:
    task = BatchTask("steady", 4, max_in_flight=2, defaults={"resolution": "480p"})
    operator, more = task.begin()
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(more)  # type: ignore[arg-type]
    render(operator, endpoint=OTHER, priority="wrong", manifest_path="not/a/path", pika_conn_id="not_there")
    here, kwargs = context(**more), deferred.value.kwargs
    event = event_of(deferred.value.trigger)
    while True:
        try:
            brought = operator.execute_complete(here, event=event, **(kwargs or {}))
            break
        except TaskDeferred as again:
            event, kwargs = event_of(again.trigger), again.kwargs
    assert (brought["done"], accepted(emulator)) == (4, 4)
    assert {clip["endpoint"] for clip in brought["clips"]} == {TEXT_TO_VIDEO}


def test_a_task_that_an_older_version_deferred_is_resumed_by_its_arguments(emulator: RunningEmulator) -> None:
    here = context(task_state_store=StateStore())
    event = event_of(deferral(operator(), here).trigger)
    for task in (operator(prompt=""), decorated()):  # its input is not needed any more
        assert task.execute_complete(here, event=event)["request_id"] == here["ti"].xcoms["request_id"]


def test_where_airflow_ended_the_deferral_the_record_says_which_endpoint(emulator: RunningEmulator) -> None:
    here = context(task_state_store=StateStore())
    event_of(deferral(operator(endpoint=OTHER), here).trigger)
    task = operator(endpoint="fal-ai/no/such")
    assert task.resume_execution("__fail__", {"error": "Trigger timeout"}, here)["endpoint"] == OTHER


# --- a request that is replaced after a deferral


@pytest.fixture
def as_in_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Airflow watch who calls ``execute``, which it does not in unit tests."""
    monkeypatch.setattr(ExecutorSafeguard, "test_mode", False)


@pytest.mark.parametrize("large", [False, True])
def test_a_cancelled_request_is_replaced_with_the_input_that_was_checked_and_execute_is_not_called_again(
    emulator: RunningEmulator, as_in_a_worker: None, large: bool, capsys: Any, caplog: Any
) -> None:
    style = "x" * (100_000 if large else 10)
    store = StateStore()
    task = operator(prompt="endless [[never_finish]]", endpoint=OTHER, extra_arguments={"style": style})
    deferral(task, context(task_state_store=store))
    here = context(ti=TaskInstance(try_number=2), task_state_store=store)
    deferred = deferral(task, here)
    assert len(json.dumps(deferred.kwargs)) < 70_000
    PikaHook().cancel(OTHER, store.get(KEY)["request_id"])
    event = event_of(deferred.trigger)
    capsys.readouterr()
    caplog.clear()
    prompt = "endless [[never_finish]]" if large else ""  # what is too large to be carried is checked anew
    other = render(operator(endpoint=OTHER, extra_arguments={"style": style}), prompt=prompt)
    with pytest.raises(TaskDeferred):
        resumed(other, deferred, here, event)
    assert accepted(emulator) == 2
    first, second = emulator.requests()[-2:]
    assert first["input"]["prompt"] == second["input"]["prompt"] == "endless [[never_finish]]"
    assert "cannot be called outside" not in capsys.readouterr().out + caplog.text
