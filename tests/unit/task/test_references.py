"""Another task in place of its output, a list of outputs in place of one: found when the Dag file is parsed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk import DAG, TaskGroup, task, task_group

from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
from airflow_provider_pika.operators.cancel import PikaCancelOperator
from airflow_provider_pika.operators.pika import PikaTextToVideoOperator
from airflow_provider_pika.sensors.pika import PikaVideoSensor
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator

#: Each argument that takes what another task returned, one value.
TAKERS: dict[str, Callable[[Any], Any]] = {
    "video": lambda given: PikaVideoToObjectStorageOperator(task_id="taker", video=given, path="/clips/fox.mp4"),
    "path": lambda given: PikaVideoToObjectStorageOperator(task_id="taker", video="{{ later }}", path=given),
    "request_id": lambda given: PikaVideoSensor(task_id="taker", request_id=given),
    "request_id ": lambda given: PikaCancelOperator(task_id="taker", request_id=given),
    "prompt": lambda given: PikaTextToVideoOperator(task_id="taker", prompt=given),
    "seed": lambda given: PikaTextToVideoOperator(task_id="taker", prompt="x", seed=given),
    "defaults": lambda given: PikaTextToVideoBatchOperator(task_id="taker", inputs=["x"], defaults=given),
    "manifest_path": lambda given: PikaTextToVideoBatchOperator(task_id="taker", inputs=["x"], manifest_path=given),
    "save_to": lambda given: PikaTextToVideoBatchOperator(task_id="taker", inputs=["x"], save_to=given),
}

#: Those that take several, and values inside of others.
TAKERS_OF_SEVERAL: dict[str, Callable[[Any], Any]] = {
    "inputs": lambda given: PikaTextToVideoBatchOperator(task_id="taker", inputs=given),
    "inputs ": lambda given: PikaTextToVideoBatchOperator(task_id="taker", inputs=[{"prompt": given}]),
    "extra_arguments": lambda given: PikaTextToVideoOperator(task_id="taker", prompt="x", extra_arguments={"a": given}),
}


@pytest.fixture(autouse=True)
def dag() -> Iterator[DAG]:
    with DAG("clips") as made:
        yield made


@task
def write(text: str = "x") -> str:
    return text


def single() -> Any:
    return PikaTextToVideoOperator(task_id="single", prompt="x", wait_for_completion=True)


def mapped() -> Any:
    return PikaTextToVideoOperator.partial(task_id="mapped", wait_for_completion=True).expand(prompt=["x", "y"])


def group() -> Any:
    return TaskGroup("group")


NO_OUTPUTS: dict[str, tuple[Callable[[], Any], str]] = {
    "a task": (single, r"single is not allowed: that is a task.*single\.output"),
    "a mapped task": (mapped, r"mapped is not allowed: that is a task.*mapped\.output"),
    "a task group": (group, r"group is not allowed: that is a task group"),
    "a function": (lambda: write, r"write is not allowed: that is a decorated function. Call it"),
}


@pytest.mark.parametrize("what", NO_OUTPUTS)
@pytest.mark.parametrize("name", [*TAKERS, *TAKERS_OF_SEVERAL])
def test_what_is_no_output_is_refused_with_what_to_write(name: str, what: str) -> None:
    made, words = NO_OUTPUTS[what]
    given = made()
    with pytest.raises(AirflowFailException, match=f"{name.strip()}={words}"):
        (TAKERS | TAKERS_OF_SEVERAL)[name](given)


LISTS: dict[str, Callable[[], Any]] = {
    "of a mapped operator": lambda: mapped().output,
    "of a mapped function": lambda: write.expand(text=["x", "y"]),
    "of a mapped task's other XCom": lambda: mapped().output["request_id"],
    "mapped by a function": lambda: mapped().output.map(lambda each: each),
    "zipped": lambda: mapped().output.zip(write.expand(text=["x", "y"])),
    "concatenated": lambda: mapped().output.concat(write.expand(text=["x", "y"])),
    "out of a mapped group": lambda: out_of_a_group(),
}


def out_of_a_group() -> Any:
    @task_group
    def each(text: str) -> Any:
        return PikaTextToVideoOperator(task_id="inside", prompt=text).output

    each.expand(text=["x", "y"])
    from airflow.sdk.definitions._internal.contextmanager import DagContext

    current = DagContext.get_current()
    assert current is not None
    return current.get_task("each.inside").output


@pytest.mark.parametrize("what", LISTS)
@pytest.mark.parametrize("name", TAKERS)
def test_a_list_of_outputs_is_refused_where_one_is_taken(name: str, what: str) -> None:
    given = LISTS[what]()
    with pytest.raises(
        AirflowFailException, match=f"{name.strip()}=.*that is a list.*expand.{name.strip()}="
    ) as raised:
        TAKERS[name](given)
    assert ("Nothing was sent to fal" in str(raised.value)) == (name not in ("video", "path", "request_id"))


@pytest.mark.parametrize("what", LISTS)
def test_a_list_of_outputs_is_taken_where_several_are(what: str) -> None:
    TAKERS_OF_SEVERAL["inputs"](LISTS[what]())


@pytest.mark.parametrize("name", TAKERS)
def test_one_output_is_taken(name: str) -> None:
    TAKERS[name](write())


def test_an_output_inside_of_the_same_mapped_group_is_one() -> None:
    @task_group
    def each(text: str) -> None:
        made = PikaTextToVideoOperator(task_id="made", prompt=text, wait_for_completion=True)
        with TaskGroup("storing"):
            PikaVideoToObjectStorageOperator(task_id="save", video=made.output, path="/clips/{{ run_id }}.mp4")

    each.expand(text=["x", "y"])


def test_an_output_from_outside_of_a_mapped_group_is_one_inside_of_it() -> None:
    one = single()

    @task_group
    def each(text: str) -> None:
        PikaVideoToObjectStorageOperator(task_id="save", video=one.output, path="/clips/{{ run_id }}.mp4")

    each.expand(text=["x", "y"])


def test_a_list_of_outputs_is_mapped_over() -> None:
    PikaVideoToObjectStorageOperator.partial(task_id="save", path="/clips/{{ run_id }}.mp4").expand(
        video=mapped().output
    )
