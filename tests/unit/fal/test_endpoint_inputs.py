"""What an endpoint takes is declared twice, by us and by the emulator: both are compared with what fal says of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, NamedTuple

import pytest
from pydantic import BaseModel, ValidationError

from airflow_provider_pika.emulator.engine.endpoints import ENDPOINTS
from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.inputs import INTEGER, TEXT, WORDS, EndpointInput, TextToVideoInput, one_of, or_none

IMAGE_TO_VIDEO = "fal-ai/pika/v2.5/image-to-video"


@dataclass(frozen=True)
class ImageToVideoInput(EndpointInput):
    """The input of ``fal-ai/pika/v2.5/image-to-video``, as somebody would add it."""

    image_url: Annotated[str, WORDS]
    prompt: Annotated[str, WORDS]
    resolution: Annotated[str, one_of("480p", "720p", "1080p")] = "720p"
    duration: Annotated[int, one_of(5, 10, unit="seconds")] = 5
    negative_prompt: Annotated[str, TEXT] = "ugly, bad, terrible"
    seed: Annotated[int | None, or_none(INTEGER)] = None


DECLARED: dict[str, type[EndpointInput]] = {TEXT_TO_VIDEO: TextToVideoInput, IMAGE_TO_VIDEO: ImageToVideoInput}


class Row(NamedTuple):
    """A field of the reference; ``options``: the only values it takes, none: any of its type."""

    name: str
    type: str
    required: bool = False
    default: object = None
    options: tuple[object, ...] = ()


#: fal's page of the endpoint, "Input Schema" (pika-v2.5-text-to-video.md).
TEXT_TO_VIDEO_PAGE = (
    Row("prompt", "string", required=True),
    Row("resolution", "string", default="720p", options=("480p", "720p", "1080p")),
    Row("duration", "integer", default=5, options=(5, 10)),
    Row("negative_prompt", "string", default="ugly, bad, terrible"),
    Row("seed", "integer"),
)

#: "image_url, prompt; the rest as above" (fal-protocol.md, 00.1).
REFERENCE = {
    TEXT_TO_VIDEO: TEXT_TO_VIDEO_PAGE,
    IMAGE_TO_VIDEO: (Row("image_url", "string", required=True), *TEXT_TO_VIDEO_PAGE),
}

#: A value for each required field.
GIVEN = {"prompt": "a fox", "image_url": "https://v3b.fal.media/files/b/fox.png"}

#: What is tried where the reference names the only values.
TRIED = ("360p", "480p", "540p", "720p", "1080p", "1440p", "2160p", "4k", *range(31))

#: What is tried where it names only a type: values of the type, and values of another one.
OF_TYPE: dict[str, tuple[tuple[object, ...], tuple[object, ...]]] = {
    "string": (("data:,a", "https://fal.media/é"), (7, 1.5, ["a"], {"a": 1})),
    "integer": ((-7, 0, 7, 2**31, 2**63 - 1), ("seven", 1.5, [7], {"a": 7})),
}


class Table(NamedTuple):
    """A table that says what an endpoint takes, as a test asks it."""

    names: set[str]
    required: set[str]
    defaults: dict[str, object]
    takes: Callable[[dict[str, Any]], bool]


def ours(endpoint: str) -> Table:
    declared = DECLARED[endpoint]
    defaults: dict[str, object] = {row.name: row.default for row in fields(declared)}
    return _table(defaults, MISSING, declared.checked, InvalidInput)


def emulators(endpoint: str) -> Table:
    model: type[BaseModel] = ENDPOINTS[endpoint]
    required = {name for name, row in model.model_fields.items() if row.is_required()}
    defaults = {name: ... if name in required else row.default for name, row in model.model_fields.items()}
    return _table(defaults, ..., model.model_validate, ValidationError)


def _table(
    defaults: dict[str, object], none: object, read: Callable[[dict[str, Any]], object], refusal: type[Exception]
) -> Table:
    def takes(given: dict[str, Any]) -> bool:
        try:
            read(given)
        except refusal:
            return False
        return True

    required = {name for name, default in defaults.items() if default is none}
    return Table(set(defaults), required, {name: defaults[name] for name in defaults.keys() - required}, takes)


each_endpoint = pytest.mark.parametrize("endpoint", REFERENCE)
both_tables = pytest.mark.parametrize("read", [ours, emulators], ids=lambda read: read.__name__)
Read = Callable[[str], Table]


def whole(endpoint: str, **given: object) -> dict[str, object]:
    """Return an input with all that is required, and ``given``."""
    return {row.name: GIVEN[row.name] for row in REFERENCE[endpoint] if row.required} | given


@both_tables
@each_endpoint
def test_a_table_has_the_references_fields_and_no_others(read: Read, endpoint: str) -> None:
    assert read(endpoint).names == {row.name for row in REFERENCE[endpoint]}


@both_tables
@each_endpoint
def test_the_same_fields_are_required(read: Read, endpoint: str) -> None:
    table = read(endpoint)
    assert table.required == {row.name for row in REFERENCE[endpoint] if row.required}
    complete = whole(endpoint)
    assert table.takes(complete)
    for name in complete:
        assert not table.takes({other: value for other, value in complete.items() if other != name}), name


@both_tables
@each_endpoint
def test_the_defaults_are_the_same_to_the_type(read: Read, endpoint: str) -> None:
    expected = {row.name: row.default for row in REFERENCE[endpoint] if not row.required}
    defaults = read(endpoint).defaults
    assert defaults == expected
    assert {name: type(value) for name, value in defaults.items()} == {
        name: type(value) for name, value in expected.items()
    }


@both_tables
@each_endpoint
def test_a_field_with_options_takes_these_and_no_others(read: Read, endpoint: str) -> None:
    table = read(endpoint)
    for row in REFERENCE[endpoint]:
        if row.options:
            taken = tuple(value for value in TRIED if table.takes(whole(endpoint, **{row.name: value})))
            assert taken == row.options, row.name


@both_tables
@each_endpoint
def test_a_field_takes_its_type_and_no_other(read: Read, endpoint: str) -> None:
    table = read(endpoint)
    for row in REFERENCE[endpoint]:
        right, wrong = OF_TYPE[row.type]
        for value in row.options or right:
            assert table.takes(whole(endpoint, **{row.name: value})), (row.name, value)
        for value in wrong:
            assert not table.takes(whole(endpoint, **{row.name: value})), (row.name, value)


@each_endpoint
def test_a_declaration_has_at_most_ten_lines(endpoint: str) -> None:
    assert len(inspect.getsource(DECLARED[endpoint]).strip().splitlines()) <= 10


def test_an_added_endpoint_is_checked_as_the_first_one_is() -> None:
    with pytest.raises(InvalidInput) as refused:
        ImageToVideoInput.checked({"image_url": " ", "prompt": "a fox", "duration": "6", "aspect_ratio": "16:9"})
    assert refused.value.message == (
        "image_url=' ' is not allowed: it takes a text that is not empty, without NUL or half a surrogate pair; "
        "duration='6' is not allowed: it takes 5 or 10 (seconds); "
        "aspect_ratio='16:9' is not allowed: it takes nothing, since there is no such input."
    )
    given = {"image_url": "https://fal.media/fox.png", "prompt": "a fox", "duration": "10", "seed": "None"}
    assert ImageToVideoInput.checked(given).arguments() == {
        "image_url": "https://fal.media/fox.png",
        "prompt": "a fox",
        "resolution": "720p",
        "duration": 10,
        "negative_prompt": "ugly, bad, terrible",
    }
