"""The clips that a review shows, read of what saving tasks return. Pure: a batch's manifest is read by others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.strict_json import clean_json, shown
from airflow_provider_pika.task.templates import read_text

#: Clips that one review shows: a person looks at each, and the answer names each.
MOST = 200

#: Hex digits of a SHA-256.
_DIGEST = 64

#: What a wrong value means for the clips.
SAVED = "The clips stay where they are saved."

#: What ``clips`` takes, in words.
_TAKES = (
    "it takes what PikaVideoToObjectStorageOperator or PikaBatchToObjectStorageOperator returns, or a list of that: "
    "save.output"
)


def clips_of(value: Any, lines_of: Callable[[str], Iterable[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return the clips in the order in which saving tasks returned them.

    A task that was skipped has returned nothing, and a line of a batch without a file has no clip: both are left out.

    :param value: what one or several saving tasks returned: an object, a list, or a list of lists.
    :param lines_of: reads a manifest of saved clips.
    :raises InvalidInput: it is something else, there is no clip in it, or there are more than :data:`MOST`.
    """
    clips = list[dict[str, Any]]()
    for clip in _flat(read_text(value), lines_of):
        clips.append(clean_json(clip))
        if len(clips) > MOST:
            raise InvalidInput(
                f"clips has more than {MOST} clips, and one review shows no more. Map over smaller lists: "
                "PikaReviewOperator.partial(...).expand(clips=...).",
                consequence=SAVED,
            )
    if not clips:
        raise InvalidInput("clips has no saved clip.", consequence=SAVED)
    return clips


def hashes_of(clips: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the SHA-256 of each clip."""
    return [clip["sha256"] for clip in clips]


def digest_of(hashes: Sequence[str]) -> str:
    """Return what stands for some clips in their order: the SHA-256 of their SHA-256s, a line for each."""
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def known_number(value: Any) -> int | None:
    """Return how many clips a Dag's ``clips`` has, as far as the Dag's file tells it; None: it does not.

    :param value: as the operator is given it.
    """
    if isinstance(value, list | tuple):
        numbers = [known_number(each) for each in value]
        return None if None in numbers else sum(number for number in numbers if number)
    if isinstance(value, Mapping):
        return 1 if _is_clip(value) else None
    source = getattr(value, "operator", None)
    is_one = getattr(value, "key", None) == "return_value" and type(value).__name__ == "PlainXComArg"
    single = type(source).__name__ == "PikaVideoToObjectStorageOperator"
    grouped = source is not None and next(source.iter_mapped_task_groups(), None) is not None
    return 1 if is_one and single and not grouped else None


def _flat(value: Any, lines_of: Callable[[str], Iterable[Mapping[str, Any]]]) -> Iterator[Mapping[str, Any]]:
    if value is None:
        return
    if isinstance(value, Mapping):
        yield from _of_object(value, lines_of)
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for each in value:
            yield from _flat(read_text(each), lines_of)
    else:
        raise InvalidInput(f"clips={shown(value)} is not allowed: {_TAKES}.", consequence=SAVED)


def _of_object(
    value: Mapping[str, Any], lines_of: Callable[[str], Iterable[Mapping[str, Any]]]
) -> Iterator[Mapping[str, Any]]:
    if _is_clip(value):
        yield value
    elif value.keys() >= {"saved", "clips", "manifest"}:
        lines = value["clips"] if value["clips"] is not None else lines_of(str(value["manifest"]))
        yield from (line for line in lines if isinstance(line, Mapping) and _is_clip(line))
    else:
        raise InvalidInput(f"clips has {shown(dict(value))}, which is not allowed: {_TAKES}.", consequence=SAVED)


def _is_clip(value: Mapping[str, Any]) -> bool:
    """Return whether it names a file and its content."""
    path, sha256 = value.get("path"), value.get("sha256")
    return isinstance(path, str) and path != "" and isinstance(sha256, str) and is_sha256(sha256)


def is_sha256(text: str) -> bool:
    """Return whether it is one, as hex digits."""
    return len(text) == _DIGEST and all(letter in "0123456789abcdef" for letter in text)
