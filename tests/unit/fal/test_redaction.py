from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_pika.fal.redaction import HIDDEN, WITHHELD, Redactor, redactor_of
from tests.support.spellings import SPELLINGS

ID, SECRET = "0a1b2c3d-1111-4222-8333-444455556666", "9f8e7d6c5b4a39281706f5e4d3c2b1a0"
KEY = f"{ID}:{SECRET}"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJmb3gtMSJ9.c2lnbmF0dXJlLW9mLWEtbG9naW4"
REDACTOR = Redactor(KEY)


@pytest.mark.parametrize("key", [KEY, JWT, "sk-opaque-token-0123456789"], ids=["key", "login", "opaque"])
@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
def test_the_key_is_found_in_every_spelling(spell: Callable[[str], str], key: str) -> None:
    said = f"Bad credentials: {spell(key)}. Try again!"
    redactor = redactor_of(key)
    redacted = redactor.text(said)
    assert redacted != said
    assert spell(key) not in redacted
    assert not redactor.finds(redacted)


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
def test_the_secret_half_alone_is_found_too(spell: Callable[[str], str]) -> None:
    assert REDACTOR.finds(spell(SECRET))


@pytest.mark.parametrize("begin", range(len(SECRET) - 16 + 1))
def test_sixteen_characters_of_the_secret_are_too_many(begin: int) -> None:
    assert REDACTOR.finds(f"it ends in {SECRET[begin : begin + 16]}, does it?")


@pytest.mark.parametrize(
    ("key", "honest"),
    [
        (JWT, f"https://media.example/clip.mp4?token={JWT.rpartition('.')[0]}.another-signature"),
        ("acme-video-gateway-4f9a8b7c6d5e", "https://acme-video-gateway.example/files/x.mp4"),
        ("acme:acme-video-gateway-4f9a8b7c6d5e", "acme-video-gateway"),
        ("completed", "IN_QUEUE, then completed, then COMPLETED: Completed"),
        ("id:request_id", "request-id REQUEST_ID requestid"),
        ("fal-media-key", "https://v3.fal.media/files/fal-media"),
    ],
)
def test_a_word_that_is_in_the_key_too_is_no_secret(key: str, honest: str) -> None:
    if key != "completed":
        assert Redactor(key).text(honest) == honest
    assert not Redactor(key).finds(honest)


@pytest.mark.parametrize(
    "piece",
    [
        "\\",
        "\\u",
        "\\u00",
        "%",
        "%2",
        "%41",
        "%25",
        "&#",
        "&#0",
        "&#x",
        "&amp;",
        "&#9",
        "9",
        "\u0315\u0300",
        "\ufdfa",
        "\uff21",
        '"',
        "x",
    ],
    ids=ascii,
)
def test_any_text_is_looked_through_in_time(piece: str) -> None:
    text = "a" + piece * ((1 << 18) // len(piece))  # what takes the square of a text's length would take hours
    assert not REDACTOR.finds(text)
    assert REDACTOR.json([text, [f"%{n}" for n in range(25_000)], KEY]) == WITHHELD


def test_the_words_around_a_plain_key_are_kept() -> None:
    assert Redactor(KEY).text(f"Key {KEY} is locked, {SECRET} too") == f"Key {HIDDEN} is locked, {HIDDEN} too"


def test_a_key_in_pieces_is_found_in_the_whole() -> None:
    half = len(SECRET) // 2
    for said in (
        [SECRET[:half], SECRET[half:]],
        {SECRET[:half]: SECRET[half:]},
        {"a": [SECRET[:half], {"b": SECRET[half:]}]},
    ):
        assert SECRET[half:] not in json.dumps(Redactor(KEY).json(said))


def test_an_answer_of_fals_stays_as_it_is() -> None:
    answer = {
        "status": "IN_QUEUE",
        "request_id": "019e1951-c778-7120-9c82-16efcf40ec82",
        "status_url": "https://queue.fal.run/fal-ai/pika/requests/019e1951-c778-7120-9c82-16efcf40ec82/status",
        "logs": [
            {"message": "100%|##########| 24/24 [00:12<00:00,  1.92it/s]", "timestamp": "2026-02-17T10:30:01.123Z"}
        ],
        "metrics": {"inference_time": 126.701406955719},
    }
    assert Redactor(KEY).json(answer) is answer


@given(st.text(st.characters()))
def test_any_other_text_stays_as_it_is(text: str) -> None:
    assert REDACTOR.text(text) == text


def test_what_is_too_short_to_be_a_secret_is_left_alone() -> None:
    assert Redactor("ab:cd").text("ab:cd abcd") == "ab:cd abcd"
    assert Redactor("").text("anything") == "anything"
