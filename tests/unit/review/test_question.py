"""What Airflow's own form shows of clips whose prompts come from strangers."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_pika.fal.prices import CONNECTION, Cost
from airflow_provider_pika.review.clips import digest_of
from airflow_provider_pika.review.decision import Answer, Kept, judge
from airflow_provider_pika.review.question import body_of, escaped, fields_of, subject_of

PAGE = {"dag_id": "d", "run_id": "manual__2026-11-27T00:00:00+00:00", "task_id": "review", "map_index": -1}


def clip(name: str, **more: Any) -> dict[str, Any]:
    return {"path": f"/{name}.mp4", "sha256": hashlib.sha256(name.encode()).hexdigest(), "poster": "p", **more}


COST = Cost(Decimal("0.30"), "USD", "billed", source=CONNECTION, units=Decimal(1))

CLIPS = [clip("a", prompt="a fox", seed=7, seconds=5.041, cost=COST.as_json()), clip("b")]


def test_the_form_shows_prompt_seed_length_cost_and_picture_and_leads_to_the_page() -> None:
    body = body_of(CLIPS, PAGE, "For the *launch*")
    assert body.startswith("For the *launch*\n\n")
    query = "dag_id=d&run_id=manual__2026-11-27T00%3A00%3A00%2B00%3A00&task_id=review&map_index=-1"
    assert f"(pika/review?{query})" in body
    assert f"![Clip 2](pika/review/poster?{query}&place=1&sha256={CLIPS[1]['sha256']})" in body
    assert "**1.** seed 7 · 5 s · cost 0.30 USD · SHA-256" in body
    assert "> a fox" in body


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "![x](https://evil.example/p.png)",
        "[click](javascript:alert(1))",
        "`code`",
        "a\n# b",
    ],
)
def test_a_prompt_is_text_and_no_markup(text: str) -> None:
    shown = escaped(text)
    assert "\n" not in shown
    for mark in "<>[]()!`#":
        assert shown.count(mark) == shown.count("\\" + mark)


def test_the_answer_of_a_form_counts_for_what_it_showed_and_for_nothing_else() -> None:
    hashes = [each["sha256"] for each in CLIPS]
    values = {name: field["default"] for name, field in fields_of(CLIPS, "any").items()}
    values["clips"] = [hashes[1]]
    assert judge(hashes, "any", Answer.read(["Keep"], values), hashes) == Kept((1,))
    anew = [hashlib.sha256(b"anew").hexdigest(), hashes[1]]
    assert not isinstance(judge(anew, "any", Answer.read(["Keep"], values), anew), Kept)


def test_a_form_names_the_clips_only_where_there_is_no_choice() -> None:
    assert fields_of(CLIPS[:1], 1)["clips"]["default"] == [CLIPS[0]["sha256"]]
    assert fields_of(CLIPS, 1)["clips"]["default"] == []
    assert fields_of(CLIPS, "any")["clips"]["default"] == []
    assert fields_of(CLIPS, 1)["shown"]["default"] == digest_of([each["sha256"] for each in CLIPS])


def test_the_headline_says_how_many_are_chosen() -> None:
    assert subject_of(CLIPS[:1], 1) == "Keep this clip?"
    assert subject_of(CLIPS, 1) == "Choose 1 of these 2 clips"
    assert subject_of(CLIPS, "any") == "Which of these 2 clips are kept?"
