"""Which paths a file may be written to: none that data can lead out of the folder its author named."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.fal.ids import unquoted
from airflow_provider_pika.task.templates import has_braces, known_now

#: The path of a clip's metadata file is that of the clip, with this.
SIDECAR = ".json"

#: The path of a clip's poster is that of the clip, with this.
POSTER = ".jpg"

#: The schemes of this machine's own disk.
DISK = ("", "file", "local")

#: Stores of whole keys, where a folder or a file's name may be as long as the key.
_KEYS = ("s3", "s3a", "s3n", "gs", "gcs", "abfs", "abfss", "adl")

#: Bytes of a path in UTF-8: S3, Google and Azure take keys of 1024, and Airflow names an asset in 1500 characters.
MOST_BYTES = 1024

#: Bytes of a folder's or a file's name on a disk.
_NAME_BYTES = 255

#: Bytes that the name of a file has more while it is not shown yet: ``.name.0a1b2c3d.part``.
_PART_BYTES = 15

#: Characters that an error shows of a path.
_SHOWN = 200

#: What a wrong path means for a clip that is there.
NOT_LOST = "No clip is lost: correct it, and clear this task, which fetches from the URL, and pays for nothing."

#: What makes a path a URL of an object store.
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
#: Half a surrogate pair.
_HALF_LETTER = re.compile(r"[\ud800-\udfff]")
#: Control characters, and separators of lines and paragraphs.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
#: What ends a part of a path: "@" ends a connection's id, and some stores read "?" and "#".
_SEPARATOR = re.compile(r"[/\\@?#]")
#: The fault of a path that leads upwards.
_UPWARDS = 'it has ".." in it, which leads out of its folder: write the path out'
#: A part of a template that Jinja renders.
_EXPRESSION = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)


def checked_path(path: Any, name: str = "path", *, suffix: str = "", consequence: str | None = NOT_LOST) -> str:
    """Return the path without blanks around it.

    :param path: a URL, or an absolute path of this machine, after its template was rendered.
    :param name: the argument that has it.
    :param suffix: what the name of a second file has more, which is written beside the first.
    :param consequence: what a wrong path means for the clips.
    :raises InvalidInput: it is no path of a file, it leads upwards, or no store can hold it.
    """
    text = path.strip() if isinstance(path, str) else ""
    if reason := next(_faults(text, suffix), None):
        raise _refused(name, path, reason, consequence)
    return text


def check_known_path(
    path: Any,
    name: str = "path",
    *,
    suffix: str = "",
    consequence: str | None = NOT_LOST,
    is_template: Callable[[str], bool] = has_braces,
) -> None:
    """Refuse a path when the Dag is parsed; of a template, only a ".." in the text around its expressions.

    :param is_template: as ``template_test_of`` returns it. With brackets of a Dag's own, the text around expressions is
        checked when they are rendered.
    :raises InvalidInput: as :func:`checked_path`.
    """
    if known_now({name: path}, is_template):
        checked_path(path, name, suffix=suffix, consequence=consequence)
    elif isinstance(path, str) and has_braces(path) and _leads_upwards(_EXPRESSION.sub("x", path)):
        raise _refused(name, path, _UPWARDS, consequence)


def _refused(name: str, path: Any, reason: str, consequence: str | None) -> InvalidInput:
    shown = repr(path[:_SHOWN] if isinstance(path, str) else path)[: 2 * _SHOWN]
    return InvalidInput(f"{name}={shown} is not allowed: {reason}.", consequence=consequence)


def _faults(text: str, suffix: str) -> Iterator[str]:
    if not text or text.endswith(("/", "/.")):
        yield "it takes the path of a file"
    if _HALF_LETTER.search(text):
        yield "it has half a character, which no store can hold"
    if len((text + suffix).encode()) > MOST_BYTES:
        yield f"it is longer than {MOST_BYTES - len(suffix)} bytes"
    if _leads_upwards(text):
        yield _UPWARDS
    if _CONTROL.search(unquoted(text)):
        yield "it has a control character"
    if "{{" in text or "{%" in text:
        yield "it has a template in it after rendering: what came of data is not rendered"
    yield from _faults_of_place(text, suffix)


def _faults_of_place(text: str, suffix: str) -> Iterator[str]:
    found = _SCHEME.match(text)
    scheme, rest = (found[1].lower(), text[found.end() :]) if found else ("", text)
    if scheme in DISK and not rest.startswith("/"):
        yield "it takes a URL, or an absolute path"
    if scheme and "::" in rest:  # universal-pathlib 0.3 ends the path there, and writes another file
        yield 'it has "::" in it, at which a URL is cut off'
    try:
        urlsplit(text)
    except ValueError as error:
        yield f"it is no URL: {error}"
    *folders, file = rest.split("/")
    room = _NAME_BYTES - _PART_BYTES - len(suffix)
    if scheme not in _KEYS and len(file.encode()) > room:
        yield f"its file name is longer than {room} bytes"
    if scheme not in _KEYS and any(len(folder.encode()) > _NAME_BYTES for folder in folders):
        yield f"it has a folder whose name is longer than {_NAME_BYTES} bytes"


def _leads_upwards(text: str) -> bool:
    return any(part.strip() == ".." for part in _SEPARATOR.split(unquoted(text)))
