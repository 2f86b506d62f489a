from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.fal.inputs import SubmitControls, TextToVideoInput
from tests.support.numbers import FIVES, NO_NUMBERS, NumpyText, Resolution


def test_the_defaults_are_the_endpoints_own() -> None:
    assert TextToVideoInput.checked({"prompt": "a fox"}).arguments() == {
        "prompt": "a fox",
        "resolution": "720p",
        "duration": 5,
        "negative_prompt": "ugly, bad, terrible",
    }


@pytest.mark.parametrize(
    ("given_value", "sent"), [(5, 5), ("5", 5), (" 10 ", 10), ("10", 10)], ids=["int", "text", "blanks", "ten"]
)
def test_a_duration_may_be_the_text_that_a_template_makes(given_value: object, sent: int) -> None:
    assert TextToVideoInput.checked({"prompt": "a", "duration": given_value}).arguments()["duration"] == sent


@pytest.mark.parametrize(
    ("given_value", "sent"), [(7, 7), ("7", 7), ("-3", -3), (None, None), ("None", None), ("", None)]
)
def test_a_seed_may_be_the_text_that_a_template_makes(given_value: object, sent: int | None) -> None:
    assert TextToVideoInput.checked({"prompt": "a", "seed": given_value}).arguments().get("seed") == sent


@pytest.mark.parametrize("five", FIVES, ids=repr)
def test_a_number_of_any_kind_is_the_integer_it_is(five: object) -> None:
    arguments = TextToVideoInput.checked({"prompt": "a", "duration": five, "seed": five}).arguments()
    assert (arguments["duration"], arguments["seed"]) == (5, 5)
    assert {type(arguments["duration"]), type(arguments["seed"])} == {int}
    assert type(SubmitControls.checked({"start_timeout": five}).start_timeout) is float


@pytest.mark.parametrize("wrong", NO_NUMBERS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("name", ["duration", "seed"])
def test_what_is_no_number_is_refused_by_its_type(name: str, wrong: object) -> None:
    with pytest.raises(InvalidInput, match=f"{name}="):
        TextToVideoInput.checked({"prompt": "a", name: wrong})


@pytest.mark.parametrize("given_value", [2**63 - 1, Decimal(2**63 - 1), str(2**63 - 1)], ids=repr)
def test_a_large_integer_keeps_every_digit(given_value: object) -> None:
    assert TextToVideoInput.checked({"prompt": "a", "seed": given_value}).seed == 2**63 - 1


@pytest.mark.parametrize("text", [NumpyText("480p"), Resolution.LOW], ids=repr)
def test_a_text_of_another_class_is_the_text_it_holds(text: object) -> None:
    checked = TextToVideoInput.checked({"prompt": text, "negative_prompt": text, "resolution": text})
    assert {type(value) for value in (checked.prompt, checked.negative_prompt, checked.resolution)} == {str}
    assert checked.prompt == checked.resolution == "480p"


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("prompt", "", "a text that is not empty"),
        ("prompt", "  \n", "a text that is not empty"),
        ("prompt", None, "a text that is not empty"),
        ("prompt", "half a pair: \ud83e", "a text that is not empty"),
        ("prompt", b"a fox", "a text that is not empty"),
        ("resolution", "4k", "'480p', '720p' or '1080p'"),
        ("resolution", 720, "'480p', '720p' or '1080p'"),
        ("duration", 7, "5 or 10"),
        ("duration", "5s", "5 or 10"),
        ("duration", True, "5 or 10"),
        ("duration", [5], "5 or 10"),
        ("negative_prompt", None, "a text"),
        ("seed", 1.5, "an integer"),
        ("seed", "1.5", "an integer"),
        ("seed", True, "an integer"),
        ("seed", "seven", "an integer"),
        ("seed", "9" * 5000, "an integer"),
        ("seed", 1e17, "an integer"),
        ("seed", 2**63, "an integer"),
        ("seed", Decimal(2**63), "an integer"),
        ("aspect_ratio", "16:9", "no such input"),
    ],
)
def test_a_wrong_value_is_refused_with_the_field_the_value_and_what_is_allowed(
    field: str, value: object, allowed: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        TextToVideoInput.checked({"prompt": "a fox", field: value})
    assert refused.value.message.startswith(f"{field}=")
    assert allowed in refused.value.message
    assert "Nothing was sent to fal" in str(refused.value)


def test_all_wrong_values_are_named_at_once() -> None:
    with pytest.raises(InvalidInput) as refused:
        TextToVideoInput.checked({"duration": "6", "resolution": "8k", "aspect_ratio": "16:9"})
    assert refused.value.message == (
        "prompt is missing: it takes a text that is not empty, without NUL or half a surrogate pair; "
        "resolution='8k' is not allowed: it takes '480p', '720p' or '1080p'; "
        "duration='6' is not allowed: it takes 5 or 10 (seconds); "
        "aspect_ratio='16:9' is not allowed: it takes nothing, since there is no such input."
    )


def test_an_input_that_was_not_checked_cannot_be_made() -> None:
    with pytest.raises(InvalidInput, match="duration=7"):
        TextToVideoInput("a fox", duration=7)
    assert SubmitControls(start_timeout=30) == SubmitControls.checked({"start_timeout": "30.0"})


def test_an_input_cannot_be_changed_once_it_was_checked() -> None:
    checked = TextToVideoInput("a fox")
    with pytest.raises(AttributeError):
        checked.duration = 7  # type: ignore[misc]


def test_the_names_are_those_that_are_sent() -> None:
    assert TextToVideoInput.names() == tuple(TextToVideoInput("a fox", seed=1).arguments())


def test_only_known_values_are_checked_while_others_are_still_to_come() -> None:
    TextToVideoInput.check_known({"resolution": "720p"})
    with pytest.raises(InvalidInput, match="resolution='8k'"):
        TextToVideoInput.check_known({"resolution": "8k"})


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(lambda text: text.strip()),
    st.integers(-(2**63) + 1, 2**63 - 1),
)
def test_any_prompt_and_seed_go_to_fal_as_they_are(prompt: str, seed: int) -> None:
    arguments = TextToVideoInput.checked({"prompt": prompt, "seed": seed}).arguments()
    assert (arguments["prompt"], arguments["seed"]) == (prompt, seed)


@pytest.mark.parametrize("value", [0.1, 0, -1, "soon", True, float("nan"), float("inf"), 10**400])
def test_a_start_timeout_that_fal_would_refuse_is_refused_here(value: object) -> None:
    with pytest.raises(InvalidInput, match=r"start_timeout=.*above 0\.1"):
        SubmitControls.checked({"start_timeout": value})


def test_the_controls_become_fals_headers() -> None:
    controls = SubmitControls.checked({"start_timeout": "30", "priority": "low"})
    assert controls.headers() == {
        "X-Fal-Request-Start-Timeout": "30.0",
        "X-Fal-Request-Timeout": "30.0",
        "X-Fal-Queue-Priority": "low",
    }
    assert SubmitControls().headers() == {}
