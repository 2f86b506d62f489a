"""Keep the key out of what a server says: it may echo what it was sent, in any spelling.

Texts are compared by their letters and digits only, in lower case. So line breaks, quotes, separators, percent signs
and the ``&#x`` of HTML make no difference, and each spelling of the key is one short text to look for.
"""

from __future__ import annotations

import base64
import codecs
import html
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import quote, unquote

#: Characters: what is shorter is nobody's secret, and may be part of a request's id.
SHORTEST_SECRET = 8

#: Stands where the key stood.
HIDDEN = "***"

#: Stands for a text in which the key was found, but not where it begins and ends.
WITHHELD = "*** (left out, since it repeats the key)"

#: All bytes but the letters and digits of ASCII, and the table that makes its letters small.
_NO_LETTERS = bytes(code for code in range(256) if not (chr(code).isascii() and chr(code).isalnum()))
_SMALL = bytes(range(256)).lower()

#: A part of the key as long as this tells too much of it; one part in so many characters is looked for.
_PART, _PART_EVERY = 16, 4

_ESCAPE = re.compile(r"\\+u([0-9a-fA-F]{4})|\\+x([0-9a-fA-F]{2})")


class Redactor:
    """Replaces a key, and its secret half, in texts.

    :param key: as it is sent, ``id:secret`` or any other token.
    """

    def __init__(self, key: str) -> None:
        halves = (key, key.partition(":")[2])
        self._secrets = [secret for secret in halves if len(secret) >= SHORTEST_SECRET]

    def build(self) -> None:
        """Spell the key now, which takes 20 ms of CPU, and not when the first text comes."""
        _ = self._known

    def text(self, value: str) -> str:
        """Return a text without the key."""
        for secret in self._secrets:
            value = value.replace(secret, HIDDEN)
        return WITHHELD if self.finds(value) else value

    def json(self, value: Any) -> Any:
        """Return a JSON value without the key, which may be spread over several of its texts."""
        if not self.finds(_joined(value)):
            return value
        redacted = _with_each_text(value, self.text)
        return WITHHELD if self.finds(_joined(redacted)) else redacted

    def finds(self, text: str) -> bool:
        """Tell whether a text holds the key in any spelling that is known here."""
        return any(map(self._known.are_in, _readings(text)))

    @cached_property
    def _known(self) -> _Spellings:
        # the whole key holds its secret half, and so does each spelling of it
        return _Spellings(spelling for secret in self._secrets[-1:] for spelling in _spellings(secret))


@lru_cache(maxsize=8)
def redactor_of(key: str) -> Redactor:
    """Return the redactor of a key, one for all of a process's clients."""
    return Redactor(key)


class _Spellings:
    """Some hundred short texts to look for in a long one.

    Wherever one of them stands, a piece of it stands at one of the places that are looked at.
    """

    def __init__(self, spellings: Iterable[str]) -> None:
        self._all = {letters for spelling in spellings if len(letters := _letters(spelling)) >= SHORTEST_SECRET}
        shortest = min(map(len, self._all), default=SHORTEST_SECRET)
        self._size = size = (shortest + 1) // 2
        self._every = shortest - size + 1
        self._pieces = {letters[at : at + size] for letters in self._all for at in range(len(letters) - size + 1)}

    def are_in(self, reading: bytes) -> bool:
        """Tell whether any of them stands in what :func:`_readings` made of a text."""
        size = self._size
        if self._pieces.isdisjoint(reading[at : at + size] for at in range(0, len(reading), self._every)):
            return False
        return any(letters in reading for letters in self._all)


def _letters(text: str) -> bytes:
    return text.encode("ascii", "ignore").translate(_SMALL, _NO_LETTERS)


def _readings(text: str) -> Iterator[bytes]:
    """Yield the ways in which a text can be read: as it stands, and without its escapes."""
    yield _letters(text)
    if "%" in text:
        yield _letters(unquote(text))
    if "&" in text:
        yield _letters(html.unescape(text))
    if "\\" in text:
        yield _letters(_unescaped(text))
    if not text.isascii():
        yield _letters(unicodedata.normalize("NFKC", text))


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1] or match[2], 16)), text)


def _spellings(secret: str) -> Iterator[str]:
    """Yield what a server may make of a secret, by itself or in the middle of any text."""
    yield secret[::-1]
    yield codecs.encode(secret, "rot13")
    yield from (secret[begin : begin + _PART] for begin in range(0, len(secret) - _PART + 1, _PART_EVERY))
    for written in dict.fromkeys((secret, secret.lower(), secret.upper())):
        for once in (written, *_in_codes(written), *_encoded(written)):
            yield once
            yield once.encode().hex()
            yield from _encoded(once)


def _in_codes(text: str) -> Iterator[str]:
    for form in ("{}", "{:02x}", "x{:02x}", "u{:04x}", "u{:x}", "{:o}", "{:03o}", "{:08b}"):
        yield "".join(form.format(ord(character)) for character in text)
    yield quote(text, safe="")


def _encoded(text: str) -> Iterator[str]:
    """Yield the letters of Base64 and Base32 that depend on this text alone, for every place where it may begin."""
    encodings: tuple[tuple[Callable[[bytes], bytes], int, int], ...] = (
        (base64.b64encode, 3, 6),
        (base64.b32encode, 5, 5),
    )
    data = text.encode()
    for encode, group, bits in encodings:
        for before in range(group):
            letters = encode(bytes(before) + data).decode()
            yield letters[-(-before * 8 // bits) : (before + len(data)) * 8 // bits]


def _joined(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _with_each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): _with_each_text(entry, change) for key, entry in value.items()}
    if isinstance(value, list):
        return [_with_each_text(entry, change) for entry in value]
    return value
