from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_pika.plugins.pages.questions import (
    Answer,
    Decision,
    Question,
    phase_of,
    read_decision,
    read_question,
    settles_in,
)
from airflow_provider_pika.review.clips import MOST

NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
CLIP = {"path": "/data/fox.mp4", "sha256": "a" * 64, "bytes": 5}
QUESTION = {"asked_at": "2026-11-27T08:00:00Z", "until": None, "choose": 1, "shown": "b" * 64, "clips": [CLIP]}
DECISION = {"answer": "keep", "reviewed_by": "Ada", "clips": [{**CLIP, "decision": "keep"}]}


def question(**more: Any) -> Question:
    found = read_question({**QUESTION, **more})
    assert found is not None
    return found


def decision(**more: Any) -> Decision:
    found = read_decision({**DECISION, **more})
    assert found is not None
    return found


class TestPhase:
    @pytest.mark.parametrize(
        ("state", "resumes", "asked", "answered", "decided", "phase"),
        [
            # It has not asked in this attempt, whatever an attempt before has left.
            ("", False, False, False, False, "before"),
            ("running", False, False, False, False, "before"),
            ("", False, True, True, True, "before"),
            ("queued", False, True, True, False, "before"),
            ("up_for_retry", False, True, False, False, "before"),
            # It has pushed the question, and is not parked yet.
            ("running", False, True, False, False, "asking"),
            ("running", True, True, False, False, "asking"),
            # It waits: 3.3, and 3.1.
            ("awaiting_input", True, True, False, False, "asked"),
            ("deferred", True, True, False, False, "asked"),
            # It has an answer, and has not judged it.
            ("deferred", True, True, True, False, "answered"),
            ("scheduled", True, True, True, False, "answered"),
            ("queued", True, True, True, False, "answered"),
            ("running", True, True, True, False, "answered"),
            # It is decided, whatever becomes of the task by that.
            ("running", True, True, True, True, "decided"),
            ("success", False, True, True, True, "decided"),
            ("skipped", False, True, True, True, "decided"),
            ("failed", False, True, True, True, "decided"),
            ("up_for_retry", True, True, True, True, "decided"),
            # It has ended without a decision, answered or not.
            ("success", False, True, False, False, "ended"),
            ("success", False, True, True, False, "ended"),
            ("failed", False, False, False, False, "ended"),
            ("upstream_failed", False, False, False, False, "ended"),
            ("skipped", False, True, False, False, "ended"),
            ("removed", False, True, False, False, "ended"),
        ],
    )
    def test_it_is_as_far_as_airflow_and_the_task_say(
        self, state: str, resumes: bool, asked: bool, answered: bool, decided: bool, phase: str
    ) -> None:
        found = phase_of(
            state,
            question() if asked else None,
            decision() if decided else None,
            Answer("Ada", NOW) if answered else Answer(),
            resumes=resumes,
            now=NOW,
        )
        assert found == phase

    @pytest.mark.parametrize(
        ("state", "phase"), [("scheduled", "answered"), ("running", "answered"), ("deferred", "asked")]
    )
    def test_a_task_that_goes_on_after_its_time_has_nobody_to_wait_for(self, state: str, phase: str) -> None:
        asked = question(until="2026-11-27T08:59:59Z")
        assert phase_of(state, asked, None, Answer(), resumes=True, now=NOW) == phase


class TestSettling:
    @pytest.mark.parametrize(("ago", "left"), [(-3600, 10.0), (0, 10.0), (1.5, 8.5), (10, 0.0), (3600, 0.0)])
    def test_an_answer_waits_ten_seconds_at_most(self, ago: float, left: float) -> None:
        when = NOW - timedelta(seconds=ago)
        asked, long_ago = question(asked_at=when.isoformat()), question()
        assert settles_in("awaiting_input", asked, None, NOW) == left
        assert settles_in("awaiting_input", long_ago, when, NOW) == left

    def test_a_task_that_is_deferred_has_to_settle_too(self) -> None:
        # run on 3.1.8: an answer within a second of the deferral failed the task
        assert settles_in("deferred", question(asked_at=NOW.isoformat()), NOW, NOW) == 10.0


class TestReading:
    @pytest.mark.parametrize(
        "value", [None, 5, "x", [], {}, {"answer": "keep all"}, {"answer": ["keep"]}, {"answer": None}]
    )
    def test_what_is_no_decision_is_none(self, value: Any) -> None:
        assert read_decision(value) is None

    def test_only_the_word_keep_keeps(self) -> None:
        words = ["keep", "reject", "Keep", True, None, ["keep"]]
        found = decision(clips=[{**CLIP, "decision": word} for word in words])
        assert [each.is_kept for each in found.clips] == [True, False, False, False, False, False]

    def test_a_decision_on_a_clip_is_on_its_bytes_best_at_its_path(self) -> None:
        other = {**CLIP, "path": "/data/twin.mp4", "decision": "reject"}
        found = decision(clips=[{**CLIP, "decision": "keep"}, other])
        assert [
            judged and judged.is_kept
            for judged in (
                found.on("a" * 64, "/data/fox.mp4"),
                found.on("a" * 64, "/data/twin.mp4"),
                found.on("a" * 64, "/moved.mp4"),
                found.on("c" * 64, "/data/fox.mp4"),
            )
        ] == [True, False, True, None]

    def test_any_number_of_clips_may_be_asked_for(self) -> None:
        assert question(choose="any").choose is None

    def test_as_many_clips_are_read_as_a_review_shows(self) -> None:
        assert len(question(clips=[CLIP] * 2000).clips) == MOST

    def test_a_clip_whose_size_nobody_has_noted_is_one_all_the_same(self) -> None:
        assert question(clips=[{"path": "/x.mp4", "sha256": "a" * 64}]).clips[0].clip.size == 0

    def test_a_question_with_a_clip_that_is_none_is_none(self) -> None:
        assert read_question({**QUESTION, "clips": [CLIP, {"path": "/x.mp4"}]}) is None
