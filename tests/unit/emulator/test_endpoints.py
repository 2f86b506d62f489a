"""The endpoints' inputs: what each takes, and the clip it asks for."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from airflow_provider_pika.emulator.endpoints import ENDPOINTS, EndpointId
from airflow_provider_pika.emulator.render import Clip

V25 = "fal-ai/pika/v2.5/text-to-video"
V22 = "fal-ai/pika/v2.2/text-to-video"
V21 = "fal-ai/pika/v2.1/text-to-video"


def clip(endpoint: str, **given: Any) -> Clip:
    return ENDPOINTS[endpoint].model_validate({"prompt": "a cat", **given}).clip()


def test_a_prompt_alone_is_five_seconds_of_720p() -> None:
    made = clip(V25)
    assert (made.width, made.height, made.frames) == (1280, 720, 120)


@pytest.mark.parametrize(("resolution", "size"), [("480p", (854, 480)), ("720p", (1280, 720)), ("1080p", (1920, 1080))])
def test_resolutions_are_sixteen_to_nine(resolution: str, size: tuple[int, int]) -> None:
    made = clip(V25, resolution=resolution)
    assert (made.width, made.height) == size


@pytest.mark.parametrize("duration", [10, "10"])
def test_a_duration_may_be_a_number_or_its_text(duration: object) -> None:
    assert clip(V25, duration=duration).frames == 240


@pytest.mark.parametrize(
    ("ratio", "size"),
    [("9:16", (720, 1280)), ("1:1", (720, 720)), ("4:5", (720, 900)), ("5:4", (900, 720)), ("3:2", (1080, 720))],
)
def test_older_endpoints_take_an_aspect_ratio(ratio: str, size: tuple[int, int]) -> None:
    made = clip(V22, aspect_ratio=ratio)
    assert (made.width, made.height) == size


def test_the_newest_endpoint_ignores_an_aspect_ratio() -> None:
    assert clip(V25, aspect_ratio="9:16").width == 1280


@pytest.mark.parametrize(
    ("endpoint", "wrong", "kind"),
    [
        (V25, {"prompt": None}, "string_type"),
        (V25, {"duration": 7}, "literal_error"),
        (V25, {"duration": "five"}, "literal_error"),
        (V25, {"resolution": "720P"}, "literal_error"),
        (V25, {"seed": "lucky"}, "int_parsing"),
        (V22, {"resolution": "480p"}, "literal_error"),
        (V22, {"aspect_ratio": "21:9"}, "literal_error"),
        (V21, {"duration": 0}, "greater_than_equal"),
    ],
)
def test_a_wrong_input_is_named_by_its_type(endpoint: str, wrong: dict[str, object], kind: str) -> None:
    with pytest.raises(ValidationError) as caught:
        clip(endpoint, **wrong)
    assert [error["type"] for error in caught.value.errors()] == [kind]


def test_an_endpoint_without_enum_takes_any_number_of_seconds() -> None:
    assert clip(V21, duration=7).frames == 168


@pytest.mark.parametrize(
    ("text", "app", "path"),
    [
        ("fal-ai/pika/v2.5/text-to-video", "fal-ai/pika", "v2.5/text-to-video"),
        ("fal-ai/pika", "fal-ai/pika", ""),
        ("workflows/me/mine/step", "workflows/me/mine", "step"),
        ("h3-max", "h3-max", ""),
    ],
)
def test_an_endpoint_id_is_an_app_and_a_path(text: str, app: str, path: str) -> None:
    assert EndpointId.parse(text) == EndpointId(app, path)
