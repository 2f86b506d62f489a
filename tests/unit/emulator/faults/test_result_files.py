"""Clips brought to a size."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from airflow_provider_pika.emulator.faults.result_files import enlarge


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"c" * 100)
    return path


def test_a_box_of_the_missing_size_is_appended(clip: Path) -> None:
    enlarge(clip, 1000)
    assert clip.read_bytes() == b"c" * 100 + struct.pack(">I4s", 900, b"free") + bytes(892)


@pytest.mark.parametrize("size", [0, 99, 100, 107])
def test_a_clip_without_room_for_a_box_stays_as_it_is(clip: Path, size: int) -> None:
    enlarge(clip, size)
    assert clip.read_bytes() == b"c" * 100


def test_the_smallest_box_is_empty(clip: Path) -> None:
    enlarge(clip, 108)
    assert clip.read_bytes() == b"c" * 100 + struct.pack(">I4s", 8, b"free")


@pytest.mark.parametrize(
    ("box", "header"),
    [
        (2**32 - 1, struct.pack(">I4sQ", 2**32 - 1, b"free", 0)),
        (2**32, struct.pack(">I4sQ", 1, b"free", 2**32)),
    ],
)
def test_a_box_of_four_gigabytes_has_a_longer_header_and_takes_no_room(clip: Path, box: int, header: bytes) -> None:
    enlarge(clip, 100 + box)
    with clip.open("rb") as file:
        assert file.read(116) == b"c" * 100 + header
    assert clip.stat().st_size == 100 + box
    assert clip.stat().st_blocks * 512 < 100_000
