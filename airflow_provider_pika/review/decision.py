"""What an answer is worth: shown, answered, current -> which clips are kept, or why the answer does not count. Pure.

An answer reaches a task through Airflow's API, which takes any: the task is the only one that can judge it, and only
when it goes on. A decision is about bytes, so every clip is named by its SHA-256.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_provider_pika.review.clips import digest_of
from airflow_provider_pika.strict_json import clean_text, shown

#: The options of the question, as Airflow's own form has them.
KEEP, REJECT = "Keep", "Reject"

#: The names of an answer's values, in ``params_input``.
CLIPS, SHOWN, NOTE, NOTES = "clips", "shown", "note", "notes"

#: Characters of a note.
LONGEST_NOTE = 2000

#: How many clips are kept: exactly so many, or any number.
Choice = int | Literal["any"]


@dataclass(frozen=True)
class Answer:
    """What somebody answered, read as far as it can be.

    :param option: :data:`KEEP` or :data:`REJECT`; None: neither.
    :param clips: the SHA-256 of each clip that is kept; None: it is no list of texts.
    :param shown: which clips the answer is about, as :func:`digest_of` has it; None: it does not say.
    :param note: about all clips; ``notes``: about one, by its SHA-256.
    """

    option: str | None
    clips: tuple[str, ...] | None = ()
    shown: str | None = None
    note: str | None = None
    notes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, options: Sequence[Any], values: Mapping[str, Any]) -> Answer:
        """Read an answer, of which Airflow has checked nothing.

        :param options: ``chosen_options``; ``values``: ``params_input``.
        """
        option = options[0] if len(options) == 1 and options[0] in (KEEP, REJECT) else None
        clips, notes = values.get(CLIPS), values.get(NOTES)
        clips = [] if clips is None else [clips] if isinstance(clips, str) else clips
        are_texts = isinstance(clips, list | tuple) and all(isinstance(each, str) for each in clips)
        about = values.get(SHOWN)
        return cls(
            option=option,
            clips=tuple(each.strip().lower() for each in clips) if are_texts else None,
            shown=None if about in (None, "") else str(about),
            note=_note(values.get(NOTE)),
            notes={str(key): note for key, each in notes.items() if (note := _note(each))}
            if isinstance(notes, Mapping)
            else {},
        )


@dataclass(frozen=True)
class Kept:
    """The answer counts.

    :param places: of the clips that are kept, in the order in which all were shown; none: all are rejected.
    """

    places: tuple[int, ...]


@dataclass(frozen=True)
class Refused:
    """The answer does not count, and ``why``, in a sentence."""

    why: str


def judge(shown: Sequence[str], choose: Choice, answer: Answer, current: Sequence[str]) -> Kept | Refused:
    """Judge an answer.

    :param shown: the SHA-256 of each clip that was asked about; ``current``: of each that the saving tasks name now.
    :param choose: how many are kept; rejecting all is always allowed.
    """
    if why := next(_faults(shown, choose, answer, current), None):
        return Refused(why)
    return Kept(() if answer.option == REJECT else _places_of(answer.clips or (), shown))


def _faults(shown: Sequence[str], choose: Choice, answer: Answer, current: Sequence[str]) -> Iterator[str]:
    if list(current) != list(shown):
        yield _changed(shown, current)
    if answer.option is None:
        yield f"It chose neither {KEEP} nor {REJECT}."
    if answer.shown is not None and answer.shown != digest_of(shown):
        yield "It was about other clips: they have been made anew since its page was opened."
    if answer.option == REJECT and answer.shown is None:
        yield f"It does not say which clips it rejects: {SHOWN} is missing."
    if answer.option == KEEP:
        yield from _faults_of_choice(shown, choose, answer.clips)


def _faults_of_choice(shown: Sequence[str], choose: Choice, kept: Sequence[str] | None) -> Iterator[str]:
    if kept is None:
        yield f"Its {CLIPS} is no list of SHA-256 hashes."
    elif strangers := Counter(kept) - Counter(shown):
        yield f"It kept a clip that was not shown: {_named(next(iter(strangers)))}."
    elif not kept:
        yield f"It chose {KEEP}, and named no clip."
    elif choose != "any" and len(kept) != choose:
        yield f"It kept {len(kept)} of {len(shown)} clips, and {choose} must be kept, or none."


def _places_of(kept: Sequence[str], shown: Sequence[str]) -> tuple[int, ...]:
    """Return where the kept clips are. Of two with the same bytes, the first is taken first."""
    left = Counter(kept)
    places = list[int]()
    for place, sha256 in enumerate(shown):
        if left[sha256]:
            left[sha256] -= 1
            places.append(place)
    return tuple(places)


def _changed(shown: Sequence[str], current: Sequence[str]) -> str:
    if len(current) != len(shown):
        return f"{len(shown)} clips were shown, and there are {len(current)} now."
    changed = [place + 1 for place, (before, now) in enumerate(zip(shown, current, strict=True)) if before != now]
    if len(changed) == 1:
        return f"Clip {changed[0]} has been made anew since it was shown."
    return f"Clips {', '.join(map(str, changed))} have been made anew since they were shown."


def _named(sha256: str) -> str:
    return shown(sha256[:12] + "..." if len(sha256) > 12 else sha256)


def _note(value: Any) -> str | None:
    text = clean_text(value.strip(), LONGEST_NOTE) if isinstance(value, str) else ""
    return text or None
