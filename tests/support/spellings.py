"""In which ways a server may spell a key that it was sent, and how to find one in a text without our own code."""

from __future__ import annotations

import base64
import codecs
import functools
import html
import json
from collections.abc import Callable
from urllib.parse import quote


def base64_after(before: bytes, encode: Callable[[bytes], bytes] = base64.b64encode) -> Callable[[str], str]:
    return lambda key: encode(before + key.encode() + b'", "method": "GET"}').decode()


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "upper case": str.upper,
    "json": json.dumps,
    "json in json in json": lambda key: json.dumps(json.dumps(json.dumps({"authorization": f"Key {key}"}))),
    "unicode escapes": lambda key: "".join(f"\\u{ord(c):04x}" for c in key),
    "unicode escapes, escaped": lambda key: "".join(f"\\\\u{ord(c):04X}" for c in key),
    "escaped bytes": lambda key: "".join(f"\\x{ord(c):02x}" for c in key),
    "octal escapes": lambda key: "".join(f"\\{ord(c):03o}" for c in key),
    "javascript code points": lambda key: "".join(f"\\u{{{ord(c):x}}}" for c in key),
    "percent, where needed": lambda key: quote(key, safe=""),
    "percent, all": lambda key: "".join(f"%{ord(c):02X}" for c in key),
    "html": html.escape,
    "html, decimal": lambda key: "".join(f"&#{ord(c)};" for c in key),
    "html, hexadecimal": lambda key: "".join(f"&#x{ord(c):x};" for c in key),
    "hexadecimal": lambda key: key.encode().hex(),
    "hexadecimal, as a dump": lambda key: key.encode().hex(" "),
    "list of bytes": lambda key: str(list(key.encode())),
    "binary": lambda key: " ".join(f"{ord(c):08b}" for c in key),
    "base64": base64_after(b""),
    "base64, one byte later": base64_after(b"K"),
    "base64, two bytes later": base64_after(b"Ke"),
    "base64, url": base64_after(b"Key ", base64.urlsafe_b64encode),
    "base64, in lines": base64_after(b'{"headers": {"Authorization": "Key ', base64.encodebytes),
    "base64 in base64": lambda key: base64.b64encode(b"x" + base64.b64encode(b"Key " + key.encode())).decode(),
    "base64 of hexadecimal": lambda key: base64.b64encode(key.encode().hex().encode()).decode(),
    "hexadecimal of base64": lambda key: base64.b64encode(key.encode()).hex(),
    "base32": base64_after(b"Key ", base64.b32encode),
    "a dump in C": lambda key: ", ".join(f"0x{ord(c):02x}" for c in key),
    "long escapes": lambda key: "".join(f"\\U{ord(c):08x}" for c in key),
    "style sheet": lambda key: "".join(f"\\{ord(c):06x} " for c in key),
    "three digits": lambda key: " ".join(f"{ord(c):03}" for c in key),
    "utf-16, hexadecimal": lambda key: key.encode("utf-16-be").hex(),
    "utf-16, base64": lambda key: base64.b64encode(key.encode("utf-16-le")).decode(),
    "base64, cut off": lambda key: base64.b64encode(f"Key {key}".encode()).decode()[:-10],
    "hexadecimal, cut off": lambda key: key.encode().hex()[:-9],
    "percent, twice": lambda key: quote("".join(f"%{ord(c):02X}" for c in key)),
    "percent, thrice": lambda key: quote(quote("".join(f"%{ord(c):02X}" for c in key))),
    "html in html": lambda key: html.escape(html.escape("".join(f"&#{ord(c)};" for c in key))),
    "reversed": lambda key: key[::-1],
    "rot13": lambda key: codecs.encode(key, "rot13"),
    "spaced": " ".join,
    "one letter a line": "\n".join,
    "full width": lambda key: "".join(chr(ord(c) + 0xFEE0) for c in key),
    "cut off at its end": lambda key: key[:-6],
    "without its beginning": lambda key: key[6:],
}


def spelled(text: str, secret: str) -> list[str]:
    """Name the spellings of a secret that stand in a text."""
    said = _letters(text)
    return [name for name, letters in _spellings_of(secret).items() if letters in said]


def _letters(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())


@functools.cache
def _spellings_of(secret: str) -> dict[str, str]:
    return {name: _letters(spell(secret)) for name, spell in SPELLINGS.items()}
