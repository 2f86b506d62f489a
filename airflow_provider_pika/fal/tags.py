"""Tags of a request, by which fal's own reports split what was spent (fal-protocol.md, N15).

fal drops a tag that it does not take, and never fails a request for it. Which letters and which length it takes is not
established. So names and values are made of letters, digits and a few marks, and are short.
"""

import re
from collections.abc import Mapping
from numbers import Real
from typing import Any

#: Tags that a task sets itself.
OWN = ("dag", "task", "run")

#: Tags that a task may have besides.
MOST = 20

#: Characters of a tag's name, and of its value.
_LONGEST_NAME, _LONGEST_VALUE = 50, 100

#: What a name may be. fal has reserved the prefix "fal.".
_NAME = re.compile(r"(?!fal\.)[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)

#: What a value keeps; a comma would end it.
_NOT_KEPT = re.compile(r"[^A-Za-z0-9_.:/-]", re.ASCII)

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
        usable = isinstance(name, str) and len(name) <= _LONGEST_NAME and _NAME.fullmatch(name) and name not in OWN
        if not usable or isinstance(value, bool) or not isinstance(value, str | Real | None):
            raise ValueError(tags)
        if value is not None and str(value).strip():
            read[str.__str__(name)] = str(value)
    return read


def of_task(dag_id: str, task_id: str, run_id: str) -> dict[str, str]:
    """Return the tags that say where a request came from."""
    return dict(zip(OWN, (dag_id, task_id, run_id), strict=True))


def headers(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the header that carries tags; none for no tags."""
    kept = {name: _NOT_KEPT.sub("_", value.strip())[:_LONGEST_VALUE] for name, value in tags.items()}
    return {"X-Fal-Tags": ",".join(f"{name}={value}" for name, value in kept.items())} if kept else {}
