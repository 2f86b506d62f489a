from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_pika.fal.models import QueueStatus, Video


def test_a_status_is_read_leniently_but_for_the_status_itself() -> None:
    odd = {"status": "IN_PROGRESS", "logs": [{"message": "a"}, "odd", {"no": 1}], "metrics": None, "new": 1}
    assert [line.message for line in QueueStatus.model_validate(odd).logs] == ["a"]
    assert QueueStatus.model_validate({"status": "IN_QUEUE", "logs": None}).logs == ()


VIDEO = {"url": "https://v3.fal.media/files/x/clip.mp4", "request_id": "r-1", "endpoint": "fal-ai/pika"}


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("fox.mp4", "fox.mp4"),
        ("füchse 2.mp4", "füchse 2.mp4"),
        ("../../escaped.mp4", "escaped.mp4"),
        ("/etc/passwd", "passwd"),
        ("C:\\clips\\fox.mp4", "fox.mp4"),
        ("a/..\\fox.mp4", "fox.mp4"),
        ("..", None),
        ("a/..", None),
        (".", None),
        ("", None),
        ("a/", None),
        (" .. ", None),
        ("%2e%2e", None),
        ("..%2fescaped.mp4", None),
        ("..%255cescaped.mp4", None),
        ("fox\0.mp4", None),
        ("fox\n.mp4", None),
        ("fox%00.mp4", None),
        ("fox\ud83d.mp4", None),
        ("x" * 256, None),
        ("é" * 128, None),
        (7, None),
        (["../x"], None),
        (None, None),
    ],
)
def test_a_videos_file_name_is_a_base_name_or_nothing(said: Any, name: str | None) -> None:
    assert Video.model_validate({**VIDEO, "file_name": said}).file_name == name
