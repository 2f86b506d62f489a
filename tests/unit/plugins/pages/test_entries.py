from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_pika.plugins.pages.entries import (
    Batch,
    Clip,
    read_clip,
    read_entry,
    read_error,
    read_request,
    read_video,
)

CLIP = {"kind": "clip", "path": "/data/fox.mp4", "bytes": 7, "sha256": "a" * 64}
BATCH = {"kind": "batch", "total": 3, "saved": 2, "failed": 1, "bytes": 9}


def test_an_entry_of_a_clip_is_read() -> None:
    entry = read_entry({**CLIP, "conn_id": "store", "seed": -1, "width": 854, "prompt": "a fox"})
    assert entry == Clip("/data/fox.mp4", 7, "a" * 64, conn_id="store", seed=-1, width=854, prompt="a fox")


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "film"},
        {"path": None},
        {"path": ""},
        {"path": ["/etc/passwd"]},
        {"bytes": "7"},
        {"bytes": -1},
        {"bytes": True},
        {"bytes": None},
        {"sha256": "a" * 63},
        {"sha256": "A" * 64},
        {"sha256": '"; x="' + "a" * 58},
        {"sha256": None},
    ],
)
def test_what_is_no_entry_of_a_clip_is_none(wrong: dict[str, Any]) -> None:
    assert read_entry({**CLIP, **wrong}) is None


@pytest.mark.parametrize("value", [None, "clip", [], 5, {}, {"kind": "clip"}, {"kind": "batch", "total": "3"}])
def test_what_is_no_entry_at_all_is_none(value: Any) -> None:
    assert read_entry(value) is None


def test_an_entry_of_a_batch_is_read_with_its_cost_in_each_currency() -> None:
    cost = {"amounts": {"USD": "1.20", "EUR": "3"}, "unknown": 2}
    assert read_entry({**BATCH, "cost": cost, "cover": 1}) == Batch(
        3, 2, 1, 9, cover=1, cost="1.20 USD and 3 EUR and 2 unknown"
    )


def test_a_picture_is_beside_its_clip_wherever_an_entry_says_that_it_is() -> None:
    clip = read_clip({**CLIP, "poster": "/etc/passwd"}, None)
    assert clip is not None
    assert clip.poster == "/data/fox.mp4.jpg"


@pytest.mark.parametrize("name", ["prompt", "seed", "request_id", "cost", "seconds", "width", "saved_at", "name"])
@pytest.mark.parametrize("strange", [[], {}, True, float("nan"), {"x": 1}, object()])
def test_what_is_strange_beside_the_file_is_not_known(name: str, strange: Any) -> None:
    entry = read_entry({**CLIP, name: strange})
    assert isinstance(entry, Clip)
    assert getattr(entry, name) is None


@pytest.mark.parametrize(
    "value", [None, 5, [], {}, {"input": 7}, {"input": {"prompt": 5, "seed": "x"}, "request_id": {}}]
)
def test_what_is_strange_of_a_request_an_error_and_a_video_is_not_known(value: Any) -> None:
    assert vars(read_request(value)) == {"request_id": None, "endpoint": None, "prompt": None, "seed": None}
    assert read_error(value) is None
    assert read_video(value) is None
