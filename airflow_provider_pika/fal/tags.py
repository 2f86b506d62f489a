"""Tags of a request, by which fal's own reports split what was spent (fal-protocol.md, N15).

fal drops a tag that it does not take, and never fails a request for it. Its limits are those that its newer clients
mirror: 10 tags, names in small letters of 64 characters, values of 256 in ASCII without a comma, 1024 bytes in all.
"""

from collections.abc import Mapping
from numbers import Real
from typing import Any

#: Tags that a task sets itself.
OWN = ("dag", "task", "run")

#: Tags that a task may have besides.
MOST = 10 - len(OWN)

#: What names are made of, and how long they are.
_LETTERS, _LONGEST_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-"), 64

#: Characters of a value, and bytes of the header.
_LONGEST_VALUE, _LONGEST_HEADER = 256, 1024

#: What a user may set, for an error.
ALLOWED = (
    f"a dict of up to {MOST} tags, texts or numbers by names of up to {_LONGEST_NAME} letters, digits, '_', '-' and "
    f"'.', but none of {', '.join(OWN)} and fal.*"
)


def checked(tags: Any) -> dict[str, str]:
    """Return a user's tags as texts, those without a value left out.

    :raises ValueError: they are none.
    """
    if not isinstance(tags, Mapping) or len(tags) > MOST:
        raise ValueError(tags)
    read = {}
    for name, value in tags.items():
        if not _is_name(name) or isinstance(value, bool) or not isinstance(value, str | Real | None):
            raise ValueError(tags)
        if value is not None and str(value).strip():
            read[name.lower()] = str(value)
    return read


def of_task(dag_id: str, task_id: str, run_id: str) -> dict[str, str]:
    """Return the tags that say where a request came from."""
    return dict(zip(OWN, (dag_id, task_id, run_id), strict=True))


def headers(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the header that carries tags, as many as fit into it; none for no tags."""
    kept = ""
    for name, value in tags.items():
        longer = f"{kept}{',' if kept else ''}{name}={value_of(value)}"
        kept = longer if len(longer) <= _LONGEST_HEADER else kept
    return {"X-Fal-Tags": kept} if kept else {}


def _is_name(name: Any) -> bool:
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        return False
    return _LETTERS.issuperset(name.lower()) and name.lower() not in OWN and not name.lower().startswith("fal.")


def value_of(text: str) -> str:
    """Return a value as fal takes it; a comma would end it, and "=" be read as another."""
    return "".join(sign if " " < sign <= "~" and sign not in ",=" else "_" for sign in text.strip())[:_LONGEST_VALUE]
