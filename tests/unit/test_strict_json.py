from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_pika.exceptions import LONGEST_MESSAGE, InvalidInput
from airflow_provider_pika.strict_json import DEEPEST, clean_json, clean_text, for_airflow, is_strict, one_line


def nested(levels: int) -> Any:
    return [nested(levels - 1)] if levels else "inside"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("as it is, \t\n", "as it is, \t\n"),
        ("a\0b", "a\ufffdb"),
        ("half a \ud83d smile", "half a \ufffd smile"),
        ("\udc00\ud800", "\ufffd\ufffd"),
        ("\U0001f98a", "\U0001f98a"),
    ],
    ids=ascii,
)
def test_a_text_keeps_all_that_a_database_takes(text: str, clean: str) -> None:
    assert clean_text(text) == clean


@pytest.mark.parametrize(
    "number",
    [float("nan"), float("inf"), -float("inf"), 2**63, -(2**64), 10**5000],
    ids=lambda number: f"{type(number).__name__}",
)
def test_a_number_that_a_database_refuses_is_none(number: float) -> None:
    assert clean_json({"number": number, "other": 2**63 - 1}) == {"number": None, "other": 2**63 - 1}


def test_what_lies_too_deep_is_none() -> None:
    assert clean_json(nested(DEEPEST - 1)) == nested(DEEPEST - 1)
    assert json.dumps(clean_json(nested(DEEPEST + 500))).strip("[]") == "null"


def test_of_a_long_list_the_last_entries_are_kept_and_of_a_long_text_the_first() -> None:
    assert clean_json(list(range(10)), most=3) == [7, 8, 9]
    assert clean_json({"a" * 9: "b" * 9}, longest=3) == {"aaa": "bbb"}


@given(st.text(st.characters()), st.integers(4, 50))
def test_one_line_is_one_line_whatever_the_text(text: str, longest: int) -> None:
    line = one_line(text, longest)
    assert len(line) <= longest
    assert line.splitlines() in ([line], [])
    assert "\0" not in line
    line.encode()


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(st.characters())),
        lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(st.characters()), inner)),
        max_leaves=20,
    )
)
def test_whatever_is_handed_to_airflow_is_strict_and_stays_so(value: Any) -> None:
    handed = for_airflow(value)
    assert json.loads(json.dumps(handed, allow_nan=False).encode()) == handed == for_airflow(handed)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(handed)) == handed
    assert is_strict(handed)


def test_what_is_too_large_for_airflow_is_refused() -> None:
    assert for_airflow({"text": "x" * 89}, 101) == {"text": "x" * 89}
    with pytest.raises(ValueError, match="102 bytes of JSON; 101 are allowed"):
        for_airflow({"text": "x" * 90}, 101)


def test_a_picture_as_text_is_strict_however_large() -> None:
    assert is_strict({"image_url": "data:image/png;base64," + "A" * (2 << 20), "points": [1] * 200_000})


@pytest.mark.parametrize(
    "value",
    ["\0", {"\ud83d": 1}, [float("nan")], 2**63, 10**5000, object(), {1, 2}, nested(DEEPEST + 1), b""],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_would_change_on_its_way_is_not_strict(value: Any) -> None:
    assert not is_strict(value)


def test_an_error_is_one_storable_line_of_bounded_length_whatever_went_into_it() -> None:
    error = InvalidInput(
        "a\0b\n::group::" + "x" * 99_999,
        consequence="c\ud83d\r\nd",
        request_id="r\n",
        error_type="t\0" * 999,
        retry_after=float("inf"),
    )
    assert error.message.startswith("a b : :group::xxx")
    assert len(error.message) == LONGEST_MESSAGE
    assert (error.consequence, error.request_id, error.retry_after) == ("c d", "r", None)
    assert len(str(error).splitlines()) == 1
    assert for_airflow(error.as_json()) == error.as_json()
