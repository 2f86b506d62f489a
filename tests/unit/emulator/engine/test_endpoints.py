"""The endpoints' inputs: what each takes, and the clip it asks for."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from airflow_provider_pika.emulator.engine.clip import Clip
from airflow_provider_pika.emulator.engine.endpoints import ENDPOINTS, EndpointId

V25 = "fal-ai/pika/v2.5/text-to-video"
V22 = "fal-ai/pika/v2.2/text-to-video"
V21 = "fal-ai/pika/v2.1/text-to-video"


IMAGE = "https://v3b.fal.media/files/b/cat.png"
MEDIA = {"image_url": IMAGE, "video_url": IMAGE, "image_urls": [IMAGE, IMAGE]}


def clip(endpoint: str, **given: Any) -> Clip:
    return ENDPOINTS[endpoint].model_validate({"prompt": "a cat", **given}).clip()


def size(path: str, **given: Any) -> tuple[int, int, int]:
    """Return width, height and seconds of what a path of Pika's makes of an image or a video."""
    made = clip(f"fal-ai/pika/{path}", **{**MEDIA, **given})
    return made.width, made.height, made.frames // 24


def refused(path: str, given: dict[str, Any]) -> list[tuple[str, str]]:
    """Return where the errors are in an input of a path of Pika's, and their types."""
    with pytest.raises(ValidationError) as caught:
        ENDPOINTS[f"fal-ai/pika/{path}"].model_validate(given)
    return [(".".join(map(str, error["loc"])), error["type"]) for error in caught.value.errors()]


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
    ("path", "given", "made"),
    [
        ("v2.5/image-to-video", {}, (1280, 720, 5)),
        ("v2.5/image-to-video", {"resolution": "480p", "duration": 10}, (854, 480, 10)),
        ("v2.2/image-to-video", {"resolution": "1080p", "aspect_ratio": "9:16"}, (1920, 1080, 5)),
        ("v2.2/pikascenes", {}, (1920, 1080, 5)),
        ("v2.2/pikascenes", {"resolution": "720p", "aspect_ratio": "9:16"}, (720, 1280, 5)),
        ("v2.2/pikaframes", {}, (1280, 720, 5)),
        ("v2.2/pikaframes", {"image_urls": [IMAGE] * 5, "duration": "no input of it"}, (1280, 720, 20)),
        ("v2.2/pikaframes", {"image_urls": [IMAGE] * 3, "transitions": [{"duration": 1}, {}]}, (1280, 720, 6)),
        ("v2.1/image-to-video", {"duration": 7}, (1280, 720, 7)),
        ("v2/turbo/image-to-video", {"resolution": "1080p"}, (1920, 1080, 5)),
        ("v2/pikaswaps", {"resolution": "no input of it", "duration": 30}, (1280, 720, 5)),
    ],
)
def test_endpoints_of_images_and_videos_have_their_own_defaults(
    path: str, given: dict[str, Any], made: tuple[int, int, int]
) -> None:
    assert size(path, **given) == made


@pytest.mark.parametrize(
    ("path", "given", "errors"),
    [
        ("v2.5/image-to-video", {"image_url": IMAGE}, [("prompt", "missing")]),
        ("v2.5/image-to-video", {"prompt": "a cat"}, [("image_url", "missing")]),
        ("v2.2/image-to-video", {"prompt": "a cat", "image_url": IMAGE, "resolution": "480p"}, "resolution"),
        ("v2.2/image-to-video", {"prompt": "a cat", "image_url": IMAGE, "duration": 7}, "duration"),
        ("v2.1/image-to-video", {"prompt": "a cat"}, [("image_url", "missing")]),
        ("v2/turbo/image-to-video", {"prompt": "a cat"}, [("image_url", "missing")]),
        ("v2.2/pikascenes", {"prompt": "a cat", "image_urls": []}, [("image_urls", "too_short")]),
        ("v2.2/pikascenes", {"prompt": "a cat", "images": [{"image_url": IMAGE}]}, [("image_urls", "missing")]),
        ("v2.2/pikascenes", {**MEDIA, "prompt": "a cat", "ingredients_mode": "loose"}, "ingredients_mode"),
        ("v2.2/pikascenes", MEDIA, [("prompt", "missing")]),
        ("v2.2/pikaframes", {"image_urls": [IMAGE]}, [("image_urls", "too_short")]),
        ("v2.2/pikaframes", {"image_urls": [IMAGE] * 6}, [("image_urls", "too_long")]),
        ("v2.2/pikaframes", {**MEDIA, "transitions": []}, [("", "value_error")]),
        ("v2.2/pikaframes", {**MEDIA, "transitions": [{}, {}]}, [("", "value_error")]),
        (
            "v2.2/pikaframes",
            {"image_urls": [IMAGE] * 3, "transitions": [{"duration": 20}, {"duration": 6}]},
            [("", "value_error")],
        ),
        (
            "v2.2/pikaframes",
            {**MEDIA, "transitions": [{"duration": 26}]},
            [("transitions.0.duration", "less_than_equal")],
        ),
        ("v2/pikaswaps", {"prompt": "a cat"}, [("video_url", "missing")]),
    ],
)
def test_endpoints_of_images_and_videos_refuse_what_they_do_not_take(
    path: str, given: dict[str, Any], errors: list[tuple[str, str]] | str
) -> None:
    expected = [(errors, "literal_error")] if isinstance(errors, str) else errors
    assert refused(path, given) == expected


@pytest.mark.parametrize("url", ["cat.png", "/tmp/cat.png", "file:///tmp/cat.png", "s3://bucket/cat.png", ""])
def test_an_image_that_nobody_can_fetch_is_refused(url: str) -> None:
    assert refused("v2.5/image-to-video", {"prompt": "a cat", "image_url": url}) == [
        ("image_url", "file_download_error")
    ]


@pytest.mark.parametrize("path", ["v2/pikadditions", "v1.5/pikaffects", "v2.5/pikaframes", "v2.2/pikaswaps"])
def test_what_fal_does_not_list_or_has_dropped_is_not_served(path: str) -> None:
    assert f"fal-ai/pika/{path}" not in ENDPOINTS


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
