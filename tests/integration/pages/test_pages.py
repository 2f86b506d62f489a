"""What a person sees of clips: the list, a clip, and what waits."""

from __future__ import annotations

from pathlib import Path

from tests.integration.pages.conftest import coordinates
from tests.support.pages import Server


def test_the_list_shows_a_saved_clip_with_what_is_known_of_it(server: Server, saved: Path) -> None:
    answer = server.client().get("/pika/clips")
    assert answer.status_code == 200, answer.text
    for text in ("a fox", "seed 42", "5 s", "854\N{MULTIPLICATION SIGN}480", "0.20 USD", str(saved), "clips"):
        assert text in answer.text


def test_a_clip_opens_to_play(server: Server, saved: Path) -> None:
    answer = server.client().get("/pika/clip", params=coordinates())
    assert answer.status_code == 200, answer.text
    assert "<video" in answer.text
