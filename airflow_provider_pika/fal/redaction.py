"""Keep the key out of what a server says: it may echo what it was sent, in any spelling.

Texts are compared by their letters and digits only, in lower case. So line breaks, quotes, separators, percent signs
and the ``&#x`` of HTML make no difference, and each spelling of the key is one short text to look for. All of it takes
time in proportion to the text, whatever the text.
"""

from __future__ import annotations

import base64
import codecs
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property, lru_cache
from itertools import islice
from typing import Any
from urllib.parse import quote

#: Characters: what is shorter is nobody's secret, and may be part of a request's id.
SHORTEST_SECRET = 8

#: Characters from which on a secret without a digit is none of fal's own words, such as ``completed``.
_SHORTEST_WORD = 15

#: Characters of a secret that are spelled: a login's signature has thousands.
_LONGEST_SPELLED = 128

#: A part of the key as long as this tells too much of it, if it is no word: it has so many digits.
_PART, _DIGITS = 16, 3

#: Stands where the key stood.
HIDDEN = "***"

#: Stands for a text in which the key was found, but not where it begins and ends.
WITHHELD = "*** (left out, since it repeats the key)"

#: Texts of one answer that are looked through one by one, once the key was found in it; of more, none is kept.
_MOST_TEXTS = 2000

#: Letters of a spelling that are enough to know it by: the last ones, since a key may begin with somebody's name.
_ENOUGH = 40

#: All bytes but the letters and digits of ASCII.
_NO_LETTERS = bytes(code for code in range(256) if not (chr(code).isascii() and chr(code).isalnum()))
#: The table that makes ASCII's letters small.
_SMALL = bytes(range(256)).lower()

#: Escapes of one character, by its number in hexadecimal, or in decimal.
_ESCAPES = re.compile(
    r"%([0-9a-f]{2})|\\u00([0-9a-f]{2})|\\x([0-9a-f]{2})|&#x0{0,6}([0-9a-f]{2});?|&#0{0,6}([0-9]{2,3});?|&(?:amp;)+",
    re.IGNORECASE,
)

#: Other writings of ASCII: full width, in circles, mathematical and small letters.
_OTHER_LETTERS = re.compile(
    "[\u1d2c-\u1d6a\u2070-\u209c\u2460-\u24ea\uff10-\uff5a\U0001d400-\U0001d7ff\U0001f100-\U0001f189]"
)


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
        if len(list(islice(_texts_of(value), _MOST_TEXTS))) == _MOST_TEXTS:
            return WITHHELD
        redacted = _with_each_text(value, self.text)
        return WITHHELD if self.finds(_joined(redacted)) else redacted

    def finds(self, text: str) -> bool:
        """Return whether a text holds the key in any spelling that is known here."""
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
        found = {_letters(spelling)[-_ENOUGH:] for spelling in spellings}
        self._all = {letters for letters in found if len(letters) >= SHORTEST_SECRET}
        shortest = min(map(len, self._all), default=SHORTEST_SECRET)
        self._size = size = (shortest + 1) // 2
        self._every = shortest - size + 1
        self._pieces = {letters[at : at + size] for letters in self._all for at in range(len(letters) - size + 1)}

    def are_in(self, reading: bytes) -> bool:
        """Return whether any of them stands in what :func:`_readings` made of a text."""
        size = self._size
        if self._pieces.isdisjoint(reading[at : at + size] for at in range(0, len(reading), self._every)):
            return False
        return any(letters in reading for letters in self._all)


def _letters(text: str) -> bytes:
    return text.encode("ascii", "ignore").translate(_SMALL, _NO_LETTERS)


def _readings(text: str) -> Iterator[bytes]:
    """Yield the ways in which a text can be read: as it stands, in other letters, and without escapes, thrice."""
    yield _letters(text)
    if _OTHER_LETTERS.search(text):
        yield _letters(text.translate(_PLAIN))
    for _ in range(3):
        if not _ESCAPES.search(text):
            return
        text = _ESCAPES.sub(_unescaped, text)
        yield _letters(text)


def _unescaped(match: re.Match[str]) -> str:
    if match.lastindex is None:
        return "&"
    return chr(int(match[match.lastindex], 10 if match.lastindex == 5 else 16))


class _Plain(dict[int, str]):
    """What stands for a character in plain ASCII, found when it is first met."""

    def __missing__(self, code: int) -> str:
        plain = unicodedata.normalize("NFKC", chr(code))
        return self.setdefault(code, plain if plain.isascii() else "")


#: What stands for each character in plain ASCII.
_PLAIN = _Plain()


def _spellings(secret: str) -> Iterator[str]:
    """Yield what a server may make of a secret, or of a part of it, by itself or in the middle of any text."""
    if len(secret) < _SHORTEST_WORD and not any(map(str.isdigit, secret)):
        return  # a word of fal's own: only the word itself is replaced
    spelled = _secret_part(secret)
    yield spelled[::-1]
    yield codecs.encode(spelled, "rot13")
    for written in dict.fromkeys((spelled, spelled.lower(), spelled.upper())):
        yield from _written(written)
        for once in (written.encode().hex(), *_encoded(written.encode())):
            yield once.encode().hex()
            yield from _encoded(once.encode())
    for number, part in enumerate(_parts(spelled)):
        yield part
        if number % 4 == 0:
            yield from _written(part)


def _secret_part(secret: str) -> str:
    """Return what nobody else has: all logins of one kind begin alike, and end in a signature."""
    signature = secret.rpartition(".")[2]
    return (signature if len(signature) >= _PART else secret)[:_LONGEST_SPELLED]


def _parts(secret: str) -> Iterator[str]:
    """Yield the parts that say something of the secret: a word in it may stand in any text."""
    for begin in range(len(secret) - _PART + 1):
        part = secret[begin : begin + _PART]
        if sum(map(str.isdigit, part)) >= _DIGITS:
            yield part


def _written(text: str) -> Iterator[str]:
    """Yield a text as it is, in the numbers of its characters, and encoded once."""
    yield text
    for form in _CODES:
        yield "".join(form.format(ord(character)) for character in text)
    yield quote(text, safe="")
    for data in (text.encode(), text.encode("utf-16-le"), text.encode("utf-16-be")):
        yield data.hex()
        yield from _encoded(data)


#: A character's number as dumps, languages and style sheets write it.
_CODES = ("{}", "{:03}", "{:o}", "{:03o}", "{:08b}", "x{:02x}", "0x{:02x}", "{:06x}", "u{:x}", "u{:04x}", "u{:08x}")


def _encoded(data: bytes) -> Iterator[str]:
    """Yield the letters of an encoding that depend on these bytes alone, for every place where they may begin."""
    encodings: tuple[tuple[Callable[[bytes], bytes], int, int], ...] = (
        (base64.b64encode, 3, 6),
        (base64.b32encode, 5, 5),
    )
    for encode, group, bits in encodings:
        for before in range(group):
            letters = encode(bytes(before) + data).decode()
            yield letters[-(-before * 8 // bits) : (before + len(data)) * 8 // bits]


def _joined(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _texts_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            yield from _texts_of(entry)


def _with_each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): _with_each_text(entry, change) for key, entry in value.items()}
    if isinstance(value, list):
        return [_with_each_text(entry, change) for entry in value]
    return value
