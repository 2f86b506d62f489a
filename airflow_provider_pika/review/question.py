"""What a review asks, in Airflow's own form: a headline, the clips in Markdown, and the fields of the answer. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from airflow_provider_pika.fal.prices import Cost
from airflow_provider_pika.review.clips import digest_of, hashes_of
from airflow_provider_pika.review.decision import CLIPS, KEEP, NOTE, REJECT, SHOWN, Choice

#: Characters of a prompt that the form shows: the page has all of it.
_PROMPT = 300

#: What Markdown, or HTML in it, reads.
_MARKUP = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~&$:@/])")


def subject_of(clips: Sequence[Mapping[str, Any]], choose: Choice) -> str:
    """Return the headline."""
    number = len(clips)
    if number == 1:
        return "Keep this clip?"
    return f"Which of these {number} clips are kept?" if choose == "any" else f"Choose {choose} of these {number} clips"


def body_of(clips: Sequence[Mapping[str, Any]], page: Mapping[str, Any], given: str | None = None) -> str:
    """Return the text. It names what it shows, since Airflow keeps the text of a task's first attempt (#73235).

    Its addresses are relative: Airflow resolves them against its own, and sends its cookie.

    :param page: the query of the review's page.
    :param given: what the Dag's author has to say.
    """
    parts = [given] if given else []
    parts.append(f"**[See the clips play, and decide there](pika/review?{urlencode(page)})**")
    parts.append(
        f"Or answer here: {KEEP} with the clips to keep, or {REJECT}. If a clip has been made anew since this text was "
        "written, the answer does not count, and the page asks again."
    )
    for place, clip in enumerate(clips):
        parts.append(f"**{place + 1}.** " + " · ".join(facts_of(clip)))
        if prompt := clip.get("prompt"):
            parts.append("> " + escaped(str(prompt)))
        if clip.get("poster"):
            query = urlencode({**page, "place": place, "sha256": clip["sha256"]})
            parts.append(f"![Clip {place + 1}](pika/review/poster?{query})")
    return "\n\n".join(parts)


def facts_of(clip: Mapping[str, Any]) -> list[str]:
    """Return what a line says of a clip: name, seed, length, cost."""
    facts = [escaped(str(clip["name"]))] if clip.get("name") else []
    if clip.get("seed") is not None:
        facts.append(f"seed {clip['seed']}")
    if isinstance(seconds := clip.get("seconds"), int | float):
        facts.append(f"{round(seconds, 1):g} s")
    cost = Cost.from_json(clip.get("cost"))
    if cost.amount is not None:
        facts.append(f"cost {cost}")
    return [*facts, f"SHA-256 {clip['sha256'][:12]}"]


def fields_of(clips: Sequence[Mapping[str, Any]], choose: Choice) -> dict[str, Any]:
    """Return the fields of Airflow's form: what ``Param`` takes for each, by name.

    Every answer that the form sends says which clips it showed, so one to an old text does not count.
    """
    hashes = hashes_of(clips)
    labels = {sha256: f"{place + 1}: {', '.join(facts_of(clips[place]))}" for place, sha256 in enumerate(hashes)}
    number = "those to keep" if choose == "any" else f"{choose} to keep"
    return {
        CLIPS: {
            "default": hashes if choose == len(clips) else [],
            "type": ["array", "null"],
            "items": {"type": "string"},
            "examples": list(dict.fromkeys(hashes)),
            "values_display": labels,
            "title": "Clips",
            "description": f"With {KEEP}: {number}, by their SHA-256.",
        },
        NOTE: {"default": None, "type": ["null", "string"], "title": "Note"},
        SHOWN: {
            "default": digest_of(hashes),
            "type": ["string", "null"],
            "title": "Shown",
            "description": "Which clips this is about. Leave it as it is.",
        },
    }


def escaped(text: str) -> str:
    """Return a text as one line of Markdown that reads as it is: prompts come from strangers."""
    line = " ".join(text.split())
    shorter = line if len(line) <= _PROMPT else line[: _PROMPT - 3] + "..."
    return _MARKUP.sub(r"\\\1", shorter)
