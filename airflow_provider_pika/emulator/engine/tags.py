"""The tags of a request, which fal's books can be filtered by (fal-protocol.md N15)."""

from __future__ import annotations

import re

#: fal's clients name these limits, and say that its gateway has the same.
MOST_TAGS, LONGEST_KEY, LONGEST_VALUE, MOST_BYTES = 10, 64, 256, 1024

#: Keys that begin so are fal's own.
RESERVED = "fal."

#: A key, once it is lowercased.
_KEY = re.compile(r"[a-z0-9._-]+")
#: A value, which may be empty. A comma ends it.
_VALUE = re.compile(r"[ -~]*")


def parse_tags(header: str) -> dict[str, str]:
    """Return the tags of ``key=value,key2=value2``. A tag that breaks a rule is dropped, and never fails a request.

    Keys are lowercased, and the last of two equal keys wins. The limits count every tag that was sent, also one that
    is dropped. That fal keeps the tags in front of a limit is not established.
    """
    tags: dict[str, str] = {}
    size = 0
    for number, part in enumerate(part for part in header.split(",") if part.strip()):
        key, equals, value = part.partition("=")
        key, value = key.strip().lower(), value.strip()
        size += len(key) + len(value)
        if equals and number < MOST_TAGS and size <= MOST_BYTES and _is_valid(key, value):
            tags[key] = value
    return tags


def _is_valid(key: str, value: str) -> bool:
    fits = len(key) <= LONGEST_KEY and len(value) <= LONGEST_VALUE
    return fits and not key.startswith(RESERVED) and bool(_KEY.fullmatch(key) and _VALUE.fullmatch(value))
