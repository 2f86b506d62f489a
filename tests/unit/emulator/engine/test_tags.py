"""Tags of a request: what is kept, and that a bad one is dropped and harms no other."""

from __future__ import annotations

import pytest

from airflow_provider_pika.emulator.engine.tags import parse_tags


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ("", {}),
        ("dag=nightly", {"dag": "nightly"}),
        (" dag = nightly , task=generate ", {"dag": "nightly", "task": "generate"}),
        ("run=a=b", {"run": "a=b"}),
        ("Dag=Nightly", {"dag": "Nightly"}),
        ("dag=one,dag=two", {"dag": "two"}),
        ("dag=", {"dag": ""}),
        ("dag=nightly,,task=t", {"dag": "nightly", "task": "t"}),
    ],
)
def test_tags_are_pairs_whose_keys_are_lowercase(header: str, tags: dict[str, str]) -> None:
    assert parse_tags(header) == tags


@pytest.mark.parametrize(
    "bad",
    [
        "alone",
        "=value",
        "a key=value",
        "k\u00e9y=value",
        "key=caf\u00e9",
        "key=tab\there",
        "fal.team=design",
        "FAL.team=design",
        f"{'k' * 65}=value",
        f"key={'v' * 257}",
    ],
)
def test_a_bad_tag_is_dropped_alone(bad: str) -> None:
    assert parse_tags(f"dag=nightly,{bad},task=t") == {"dag": "nightly", "task": "t"}


def test_the_longest_key_and_value_are_kept() -> None:
    assert parse_tags(f"{'k' * 64}={'v' * 256}") == {"k" * 64: "v" * 256}


def test_ten_tags_are_kept_and_a_dropped_one_counts() -> None:
    assert len(parse_tags(",".join(f"k{number}=v" for number in range(12)))) == 10
    assert len(parse_tags("fal.x=1," + ",".join(f"k{number}=v" for number in range(12)))) == 9


def test_all_tags_together_have_a_size() -> None:
    assert list(parse_tags(",".join(f"k{number}={'v' * 254}" for number in range(5)))) == ["k0", "k1", "k2", "k3"]
