"""A task of a function that returns the prompt: what it sends, and what becomes of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, TaskDeferred
from airflow.sdk import DAG

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.decorators.pika import pika_text_to_video_task
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.task import kill
from airflow_provider_pika.task.kill import Fate
from tests.support.airflow import StateStore, TaskInstance, context, event_of, run_to_the_end
from tests.support.emulator import RunningEmulator, accepted

#: The endpoint's own.
DEFAULTS = {"resolution": "720p", "duration": 5, "negative_prompt": "ugly, bad, terrible"}

ALLOWED = "prompt, resolution, duration, negative_prompt, seed, extra_arguments"


def made(function: Callable[..., Any], *args: Any, **parameters: Any) -> PikaTextToVideoOperator:
    """Make the task of a function, as a Dag file does."""
    decorated: Any = pika_text_to_video_task(**parameters)(function)
    operator = decorated(*args).operator
    assert isinstance(operator, PikaTextToVideoOperator)
    return operator


def write(returned: Any = "a fox") -> Any:
    return returned


def never_again() -> str:
    raise AssertionError("a task that is resumed does not call its function")


def sent(emulator: RunningEmulator, request_id: str) -> dict[str, Any]:
    [request] = [request for request in emulator.requests() if request["request_id"] == request_id]
    return dict(request["input"])


# --- what is sent


def test_a_returned_text_is_the_prompt_and_the_task_returns_the_request_id(emulator: RunningEmulator) -> None:
    request_id = made(write, "a heron", seed=3).execute(context())
    assert sent(emulator, request_id) == {**DEFAULTS, "prompt": "a heron", "seed": 3}


def test_a_returned_dict_gives_inputs_and_those_of_the_decorator_hold_where_it_has_none(
    emulator: RunningEmulator,
) -> None:
    returned = {"prompt": "a tower", "duration": "10", "extra_arguments": {"aspect_ratio": "9:16"}}
    other_model = {"endpoint": "fal-ai/pika/v2.2/text-to-video", "extra_arguments": {"style": "oil"}}
    request_id = made(write, returned, duration=5, seed=4, resolution="480p", **other_model).execute(context())
    own = {"prompt": "a tower", "resolution": "480p", "duration": 10, "seed": 4, "aspect_ratio": "9:16"}
    assert sent(emulator, request_id) == {**DEFAULTS, **own}


def test_a_prompt_in_the_decorator_holds_where_the_function_returns_none(emulator: RunningEmulator) -> None:
    request_id = made(write, {"seed": 5}, prompt="a lighthouse").execute(context())
    assert (sent(emulator, request_id)["prompt"], sent(emulator, request_id)["seed"]) == ("a lighthouse", 5)


def test_defaults_of_the_dag_hold_as_they_do_for_the_operator(emulator: RunningEmulator) -> None:
    with DAG("with_defaults", default_args={"resolution": "480p", "retries": 3}):
        task = made(write, "a barn")
    assert task.retries == 3
    assert sent(emulator, task.execute(context()))["resolution"] == "480p"


def test_the_function_takes_rendered_arguments_and_what_the_context_has(emulator: RunningEmulator) -> None:
    def written(city: str, ti: Any, *, ds: Any = None) -> str:
        return f"{city} in attempt {ti.try_number} on {ds}"

    with DAG("with_context"):
        task = made(written, "{{ params.city }}")
    here = context(ds="2026-10-01", params={"city": "Porto"})
    task.render_template_fields(here)
    assert sent(emulator, task.execute(here))["prompt"] == "Porto in attempt 1 on 2026-10-01"


def test_an_argument_may_be_named_like_what_the_operator_needs_of_the_context(emulator: RunningEmulator) -> None:
    store = StateStore()

    def written(task_state_store: str) -> str:
        return task_state_store

    decorated: Any = pika_text_to_video_task(written)
    decorated(task_state_store="a shop").operator.execute(context(task_state_store=store))
    assert store.values


def test_a_returned_text_is_no_template_and_the_log_says_so(
    emulator: RunningEmulator, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    request_id = made(write, "a sign that says {{ conn.mine.password }}").execute(context())
    assert sent(emulator, request_id)["prompt"] == "a sign that says {{ conn.mine.password }}"
    log = capsys.readouterr().out or caplog.text
    assert "It is no template, so the braces are sent as they are" in log
    assert "write() returned: {'prompt': 'a sign" in log


# --- what is refused


@pytest.mark.parametrize(
    ("returned", "why"),
    [
        (None, r"write\(\) returned None"),
        (["a fox"], r"write\(\) returned \['a fox'\]"),
        (7, r"write\(\) returned 7"),
        ("", "prompt='' is not allowed: it takes a text that is not empty"),
        ({}, r"write\(\) returned no prompt, and its decorator has none"),
        ({"seed": 1}, r"write\(\) returned no prompt"),
        ({"prompt": ["a fox"]}, "prompt="),
        ({"prompt": "a fox", "resolution": "4k"}, "resolution='4k' is not allowed: it takes '480p', '720p' or '1080p'"),
        ({"prompt": "a fox", "duration": 6, "seed": "x"}, "duration=6 .* seed='x'"),
        ({"prompt": "a fox", "resolutoin": "480p"}, "resolutoin='480p' is not allowed"),
        ({"prompt": "a fox", "endpoint": TEXT_TO_VIDEO}, "endpoint=.* no such input"),
        ({"prompt": "a fox", "extra_arguments": {"seed": 1}}, "extra_arguments="),
        ({"prompt": "a fox", "extra_arguments": {"style": {1, 2}}}, "JSON"),
    ],
    ids=str,
)
def test_a_wrong_return_value_fails_for_good_before_anything_is_sent(
    emulator: RunningEmulator, returned: Any, why: str
) -> None:
    with pytest.raises(AirflowFailException, match=why) as failed:
        made(write, returned).execute(context())
    assert isinstance(failed.value.__cause__, errors.InvalidInput)
    assert "write() returned" in str(failed.value)
    assert ALLOWED in str(failed.value)
    assert not any(sum(calls.values()) for calls in emulator.counts().values() if isinstance(calls, dict))


def test_what_the_function_raises_is_the_tasks_own(emulator: RunningEmulator) -> None:
    def skipping() -> str:
        raise AirflowSkipException("nothing to show today")

    with pytest.raises(AirflowSkipException, match="nothing to show"):
        made(skipping).execute(context())
    assert emulator.counts()["submit"]["received"] == 0


# --- the wait


@pytest.mark.parametrize("deferrable", [True, False])
def test_it_waits_as_the_operator_does_and_pushes_the_request_id(emulator: RunningEmulator, deferrable: bool) -> None:
    ti = TaskInstance()
    task = made(write, resolution="480p", wait_for_completion=True, deferrable=deferrable, poll_interval=0.1)
    video = run_to_the_end(task, ti=ti)
    assert video["url"].endswith(".mp4")
    assert ti.xcoms["request_id"] == video["request_id"]


def deferred_by(task: PikaTextToVideoOperator, here: Any) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as deferral:
        task.execute(here)
    return deferral.value


def test_a_new_instance_takes_over_after_the_deferral_and_does_not_call_the_function(emulator: RunningEmulator) -> None:
    waits: dict[str, Any] = {"wait_for_completion": True, "poll_interval": 0.1}
    here = context()
    deferred = deferred_by(made(write, {"prompt": "a fox", "resolution": "480p", "duration": "10"}, **waits), here)
    assert (deferred.trigger.resolution, deferred.trigger.duration) == ("480p", 10)
    with DAG("resuming"):
        resumed = made(never_again, **waits)
    resumed.render_template_fields(here)
    video = resumed.resume_execution(deferred.method_name, {"event": event_of(deferred.trigger)}, here)
    assert video["request_id"] == here["ti"].xcoms["request_id"]


def test_a_new_instance_looks_once_more_where_airflow_ended_the_deferral(emulator: RunningEmulator) -> None:
    here = context(task_state_store=StateStore())
    event_of(deferred_by(made(write, wait_for_completion=True, poll_interval=0.1), here).trigger)
    resumed = made(never_again, wait_for_completion=True)
    video = resumed.resume_execution("__fail__", {"error": "Trigger timeout"}, here)
    assert video["request_id"] == here["ti"].xcoms["request_id"]


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_killed_worker_cancels_the_request_that_the_function_asked_for(
    emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch, deferrable: bool
) -> None:
    monkeypatch.setattr(kill, "ask_in_worker", lambda _: Fate.KILLED)
    task = made(write, "a fox [[never_finish]]", wait_for_completion=True, deferrable=deferrable, poll_interval=0.1)
    killing = threading.Timer(0.5, task.on_kill)
    killing.start()
    with pytest.raises(Exception, match="cancelled by the client"):
        run_to_the_end(task, task_state_store=StateStore())
    killing.join()
    assert emulator.counts()["cancel"] == 1


def test_nothing_is_submitted_for_a_task_that_is_killed_while_its_function_runs(emulator: RunningEmulator) -> None:
    def killed() -> str:
        task.on_kill()
        return "a fox"

    task = made(killed)
    with pytest.raises(errors.TryLater, match="told to stop"):
        task.execute(context(task_state_store=StateStore()))
    assert emulator.counts()["submit"]["received"] == 0


# --- a retry


def tried(store: StateStore, try_number: int, returned: Any, **parameters: Any) -> str:
    """Run a try; give the request id that it ends with."""
    ti = TaskInstance(try_number=try_number)
    return str(made(write, returned, **parameters).execute(context(ti=ti, task_state_store=store)))


def test_a_retry_whose_function_returns_the_same_submits_nothing(emulator: RunningEmulator) -> None:
    store, returned = StateStore(), {"prompt": "a fox", "duration": "10"}
    assert tried(store, 1, returned) == tried(store, 2, {"duration": 10, "prompt": "a fox"})
    assert accepted(emulator) == 1


def test_another_prompt_in_a_retry_is_a_changed_input_and_submitted(emulator: RunningEmulator) -> None:
    store = StateStore()
    assert tried(store, 1, "a fox at 10:01") != tried(store, 2, "a fox at 10:02")
    assert accepted(emulator) == 2


def test_a_second_call_in_an_attempt_starts_from_what_the_decorator_says(emulator: RunningEmulator) -> None:
    answers = iter([{"prompt": "first", "resolution": "480p"}, {"prompt": "second"}])
    task = made(lambda: next(answers), task_id="twice", resolution="1080p")
    assert sent(emulator, task.execute(context()))["resolution"] == "480p"
    assert sent(emulator, task.execute(context()))["resolution"] == "1080p"
