"""Whether an answer counts, whatever somebody sends: shown, answered, current -> what happens."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_pika.review.clips import digest_of
from airflow_provider_pika.review.decision import KEEP, LONGEST_NOTE, REJECT, Answer, Choice, Kept, Refused, judge

A, B, C, OTHER = (hashlib.sha256(name.encode()).hexdigest() for name in ("a", "b", "c", "other"))
ABC = [A, B, C]


def answer(option: str = KEEP, *clips: str, **more: Any) -> Answer:
    return Answer.read([option], {"clips": list(clips), **more})


@pytest.mark.parametrize(
    ("choose", "given_answer", "places"),
    [
        pytest.param(1, answer(KEEP, B), (1,), id="one of three"),
        pytest.param(2, answer(KEEP, C, A), (0, 2), id="two of three, in the order in which they were shown"),
        pytest.param("any", answer(KEEP, A, B, C), (0, 1, 2), id="all"),
        pytest.param("any", answer(KEEP, C), (2,), id="any number"),
        pytest.param(2, answer(REJECT, shown=digest_of(ABC)), (), id="none, where two are to be chosen"),
        pytest.param(1, answer(REJECT, A, shown=digest_of(ABC)), (), id="a rejection whose form still named a clip"),
        pytest.param(1, answer(KEEP, B, shown=digest_of(ABC)), (1,), id="an answer that says what it was shown"),
        pytest.param(1, answer(KEEP, f" {B.upper()} "), (1,), id="a hash as somebody may type it"),
        pytest.param(1, Answer.read([KEEP], {"clips": B}), (1,), id="a hash that is no list"),
        pytest.param(1, answer(KEEP, B, shown=""), (1,), id="a form whose field was emptied"),
    ],
)
def test_an_answer_about_what_was_shown_counts(choose: Choice, given_answer: Answer, places: tuple[int, ...]) -> None:
    assert judge(ABC, choose, given_answer, ABC) == Kept(places)


@pytest.mark.parametrize(
    ("choose", "given_answer", "why"),
    [
        pytest.param(1, answer(KEEP, OTHER), f"that was not shown: '{OTHER[:12]}...'", id="a stranger"),
        pytest.param("any", answer(KEEP, A, OTHER), "that was not shown", id="a stranger among others"),
        pytest.param("any", answer(KEEP, A, A), "that was not shown", id="one clip twice"),
        pytest.param(1, answer(KEEP, A, B), "kept 2 of 3 clips, and 1 must be kept, or none", id="too many"),
        pytest.param(3, answer(KEEP, A, B), "kept 2 of 3 clips, and 3 must be kept", id="too few"),
        pytest.param("any", answer(KEEP), "named no clip", id="no clip"),
        pytest.param(1, Answer.read([KEEP], {}), "named no clip", id="no values at all"),
        pytest.param(1, Answer.read([KEEP], {"clips": None}), "named no clip", id="an empty field"),
        pytest.param(1, Answer.read([KEEP], {"clips": [1]}), "no list of SHA-256", id="numbers"),
        pytest.param(1, Answer.read([KEEP], {"clips": {"a": 1}}), "no list of SHA-256", id="an object"),
        pytest.param(1, Answer.read(["Publish"], {"clips": [A]}), "neither Keep nor Reject", id="another option"),
        pytest.param(1, Answer.read([KEEP, REJECT], {"clips": [A]}), "neither Keep nor Reject", id="both options"),
        pytest.param(1, Answer.read([], {"clips": [A]}), "neither Keep nor Reject", id="no option"),
        pytest.param(1, answer(KEEP, A, shown=digest_of([A, B])), "about other clips", id="a page that is old"),
        pytest.param(1, answer(REJECT, shown=digest_of([A])), "about other clips", id="a rejection on an old page"),
        pytest.param(1, answer(KEEP, A, shown=7), "about other clips", id="what is no digest"),
        pytest.param(
            1, answer(REJECT), "which clips it rejects: shown is missing", id="a rejection of whatever is there"
        ),
        pytest.param(1, answer(REJECT, A, B, C), "shown is missing", id="a rejection that names what others keep"),
        pytest.param(1, answer(REJECT, shown=""), "shown is missing", id="a rejection whose field was emptied"),
    ],
)
def test_an_answer_about_something_else_does_not_count(choose: Choice, given_answer: Answer, why: str) -> None:
    verdict = judge(ABC, choose, given_answer, ABC)
    assert isinstance(verdict, Refused)
    assert why in verdict.why


@pytest.mark.parametrize("given_answer", [answer(KEEP, A), answer(REJECT)], ids=["kept", "rejected"])
@pytest.mark.parametrize(
    ("current", "why"),
    [
        pytest.param([A, OTHER, C], "Clip 2 has been made anew since it was shown.", id="one clip"),
        pytest.param([A, OTHER, OTHER], "Clips 2, 3 have been made anew since they were shown.", id="two clips"),
        pytest.param([A, B], "3 clips were shown, and there are 2 now.", id="one less"),
        pytest.param([A, C, B], "Clips 2, 3 have been made anew since they were shown.", id="another order"),
    ],
)
def test_no_answer_counts_once_a_clip_was_made_anew(given_answer: Answer, current: list[str], why: str) -> None:
    assert judge(ABC, 1, given_answer, current) == Refused(why)


def test_of_two_clips_with_the_same_bytes_each_can_be_kept() -> None:
    same = [A, A, B]
    assert judge(same, 1, answer(KEEP, A), same) == Kept((0,))
    assert judge(same, 2, answer(KEEP, A, A), same) == Kept((0, 1))
    assert isinstance(judge(same, "any", answer(KEEP, A, A, A), same), Refused)


def test_notes_are_texts_of_a_bounded_length_and_nothing_else() -> None:
    read = answer(KEEP, A, note=f"  {'x' * 5000}", notes={A: " the light ", B: 7, C: ""})
    assert read.note == "x" * LONGEST_NOTE
    assert read.notes == {A: "the light"}
    assert answer(KEEP, A, note=["no text"], notes=["none"]).note is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from([*ABC, OTHER, digest_of(ABC)]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
VALUES = st.dictionaries(st.sampled_from(["clips", "shown", "note", "notes", "more"]), JSON, max_size=5)


@given(st.lists(st.sampled_from([KEEP, REJECT, "x"]), max_size=2), VALUES, st.sampled_from([1, 2, 3, "any"]))
def test_whatever_is_sent_only_what_was_shown_is_kept_and_as_many_as_asked(
    options: list[str], values: dict[str, Any], choose: Choice
) -> None:
    verdict = judge(ABC, choose, Answer.read(options, values), ABC)
    if isinstance(verdict, Kept) and verdict.places:
        assert options == [KEEP]
        assert [ABC[place] for place in verdict.places] == [each for each in ABC if each in values["clips"]]
        assert choose in ("any", len(verdict.places))
    elif isinstance(verdict, Kept):
        assert (options, values["shown"]) == ([REJECT], digest_of(ABC))
    else:
        assert verdict.why.endswith(".")
