"""Manifests of any length, read and written a line at a time."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from airflow_provider_pika.exceptions import InvalidInput, StorageFailed
from airflow_provider_pika.operators.batch import read_manifest
from airflow_provider_pika.saving import json_lines
from airflow_provider_pika.saving.object_store import Place


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    lines = [{"index": n, "prompt": "\u017c\n\u2028" * n} for n in range(5)]
    place = Place(str(tmp_path / "x.jsonl"))
    json_lines.write(place, lines)
    assert list(read_manifest(place.path)) == list(read_manifest(f"file://{place.path}")) == lines


def test_a_manifest_of_any_length_takes_no_memory_to_read(tmp_path: Path) -> None:
    place = Place(str(tmp_path / "x.jsonl"))
    json_lines.write(place, ({"index": n, "prompt": "x" * 10_000} for n in range(2_000)))
    assert next(read_manifest(place.path))["index"] == 0  # what is imported is
    tracemalloc.start()
    assert sum(1 for _ in read_manifest(place.path)) == 2_000
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("line", ["x", "[1]", "[" * 100_000, "\xff", "1"])
def test_what_is_no_manifest_is_said_to_be_none(tmp_path: Path, line: str) -> None:
    (tmp_path / "x.jsonl").write_text(f'{{"index": 0}}\n\n{line}\n', encoding="latin-1")
    with pytest.raises(InvalidInput, match=r"its line 3 is no JSON object"):
        list(read_manifest(str(tmp_path / "x.jsonl")))


def test_a_line_without_end_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("x" * (5 << 20))
    with pytest.raises(StorageFailed, match="a line of more than"):
        list(read_manifest(str(tmp_path / "x.jsonl")))


def test_a_manifest_that_is_not_there_is_a_stores_failure(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match=r"x\.jsonl could not be read"):
        list(read_manifest(str(tmp_path / "x.jsonl")))


@pytest.mark.parametrize("large", [{"input": {"image": "x" * 2_000_000}}, {"prompt": "\U0001f600" * 200_000}])
def test_a_line_that_is_too_long_to_be_read_again_loses_its_input_and_the_end_of_its_prompt(
    tmp_path: Path, large: dict[str, object]
) -> None:
    place = Place(str(tmp_path / "x.jsonl"))
    line = {"index": 0, "prompt": "a fox", "input": {"prompt": "a fox"}, **large}
    json_lines.write(place, [line])
    [read] = read_manifest(place.path)
    assert read["input"] is None
    assert str(line["prompt"]).startswith(read["prompt"])
    assert len(json.dumps(read)) <= json_lines.LONGEST_LINE
