"""Which bytes of a file a browser asks for (RFC 9110, section 14). Pure.

One range is answered, as players ask for it. Several at once, and what is no range, are answered with the whole file,
as the RFC allows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: One range of bytes: ``bytes=0-``, ``bytes=5-9``, ``bytes=-500``. More digits than that are no file's.
_ONE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """The bytes that are sent: from ``start`` up to ``end``, which is not sent.

    :param is_whole: whether it is the answer to a request without a range.
    """

    start: int
    end: int
    size: int
    is_whole: bool = False

    @property
    def length(self) -> int:
        """How many they are."""
        return self.end - self.start

    @property
    def headers(self) -> dict[str, str]:
        """What the answer says of them."""
        told = {"Content-Length": str(self.length), "Accept-Ranges": "bytes"}
        if not self.is_whole:
            told["Content-Range"] = f"bytes {self.start}-{self.end - 1}/{self.size}"
        return told


def asked_part(asked: str | None, if_range: str | None, etag: str, size: int) -> Part | None:
    """Return what to send; None: there are no such bytes (416).

    :param asked: the header ``Range``.
    :param if_range: the header ``If-Range``: the range holds only for that file.
    :param etag: of the file.
    """
    whole = Part(0, size, size, is_whole=True)
    found = _ONE.fullmatch(asked) if asked and if_range in (None, etag) else None
    if not found or found.groups() == ("", ""):
        return whole
    first, last = found.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return whole  # which is no range
    return Part(start, end, size) if start < end else None


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Return whether the browser has the file already (304)."""
    known = [each.strip().removeprefix("W/") for each in (if_none_match or "").split(",")]
    return etag in known or known == ["*"]
