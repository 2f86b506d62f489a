"""Whether bytes are a JPEG of a bounded size, and nothing else (ITU-T T.81): the parts of a picture, and no other."""

from __future__ import annotations

import struct

#: A whole JPEG: how it begins, and ends.
_BEGIN, _END = b"\xff\xd8", b"\xff\xd9"

#: The parts that may come before the pixels: JFIF's header, tables and the picture's size. No comment, no metadata.
_HEADER, _TABLES, _SIZE, _PIXELS = 0xE0, (0xDB, 0xC4, 0xDD), 0xC0, 0xDA

#: Bytes of JFIF's header without a picture in it.
_JFIF = 16


def size_of(content: bytes) -> tuple[int, int] | None:
    """Return the picture's width and height in pixels; None: it is no plain JPEG.

    It does not look into the pixels, but after them comes nothing: no other file hides behind the picture.
    """
    size, at = None, len(_BEGIN)
    if not (content.startswith(_BEGIN) and content.endswith(_END)):
        return None
    while at + 4 <= len(content):
        mark, kind, length = struct.unpack_from(">BBH", content, at)
        part = content[at + 4 : at + 2 + length]
        if mark != 0xFF or length < 2 or len(part) != length - 2:
            return None
        at += 2 + length
        if kind == _PIXELS:
            return size if _is_pixels(content[at : -len(_END)]) else None
        if kind == _SIZE and size is None and length >= 8:
            height, width = struct.unpack_from(">HH", part, 1)
            size = (width, height)
        elif kind not in _TABLES and not (kind == _HEADER and length == _JFIF and part.startswith(b"JFIF\0")):
            return None
    return None


def _is_pixels(content: bytes) -> bool:
    """Return whether no mark but those between pixels is in it."""
    allowed = {0x00, *range(0xD0, 0xD8)}
    return all(piece[:1] and piece[0] in allowed for piece in content.split(b"\xff")[1:])
