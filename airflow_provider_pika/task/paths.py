"""Which paths a file may be written to: none that data can lead out of the folder its author named."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Collection, Iterator
from typing import Any
from urllib.parse import quote, urlsplit

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

#: Bytes of a key in UTF-8 at S3, Google and Azure, without its bucket; and of a path anywhere else.
MOST_BYTES = 1024

#: Bytes of a folder's or a file's name on a disk.
_NAME_BYTES = 255

#: Characters of an asset's URI that Airflow takes.
MOST_OF_URI = 1500

#: Characters that an error shows of a path.
_SHOWN = 200

#: What a wrong path means for a clip that is there.
NOT_LOST = "No clip is lost. Correct it, and clear this task. It downloads from the URL, and pays for nothing."

#: What makes a path a URL of an object store.
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
#: Half a surrogate pair.
_HALF_LETTER = re.compile(r"[\ud800-\udfff]")
#: Control characters, and separators of lines and paragraphs.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
#: What ends a part of a path: "@" ends a connection's id, and some stores read "?" and "#".
_SEPARATOR = re.compile(r"[/\\@?#]")
#: The fault of a path with half a surrogate pair.
_HALF = "it has half a character, which no store can hold"
#: The fault of a path that leads upwards.
_UPWARDS = 'it has ".." in it, which leads out of its folder: write the path out'
#: A part of a template that Jinja renders.
_EXPRESSION = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
#: A field in single braces, which Airflow does not render.
_SINGLE_BRACES = re.compile(r"\{([^{}]*)\}")

#: Characters of a URI's path that stay as they are, beside letters and digits (RFC 3986).
_PLAIN_IN_URI = "/-._~!$&'()*+,;=:@"


def as_text(path: Any, name: str = "path") -> Any:
    """Return a path object as a text, which Airflow renders like any; what is no path object stays as it is.

    The connection of an ``ObjectStoragePath`` stays in it: ``s3://conn@bucket/key``.

    :raises InvalidInput: it has storage options, which no text has.
    """
    if any(each.__module__.partition(".")[0] == "upath" for each in type(path).__mro__):
        if options := sorted(path.storage_options.keys() - {"conn_id"}):  # their values may be secrets
            raise InvalidInput(
                f"{name}={str(path)[:_SHOWN]!r} is not allowed: it has storage options ({', '.join(options)}). Put "
                "them into the storage's connection."
            )
        return str(path)
    return os.fsdecode(path) if isinstance(path, os.PathLike) else path


def uri_of(namespace: str, name: str) -> str:
    """Return what Airflow takes for an asset's URI: in ASCII, and with no query or fragment in it."""
    scheme, mark, bucket = namespace.partition("://")
    path = f"{bucket}/{name}" if mark else name
    return f"{scheme}://{quote(path, safe=_PLAIN_IN_URI)}"


def checked_path(path: Any, name: str = "path", *, suffix: str = "", consequence: str | None = NOT_LOST) -> str:
    """Return the path without blanks around it.

    :param path: a URL, or an absolute path of this machine, after its template was rendered.
    :param name: the argument that has it.
    :param suffix: what the name of a second file has more, which is written beside the first.
    :param consequence: what a wrong path means for the clips.
    :raises InvalidInput: it is no path of a file, it leads upwards, or no store can hold it.
    """
    path = as_text(path, name)
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
    fields: Collection[str] = (),
) -> None:
    """Refuse a path when the Dag is parsed; of a template, what the text around its expressions makes wrong already.

    It warns of single braces, which Jinja leaves as they are.

    :param fields: names in single braces that the task fills in itself.
    :param is_template: as ``template_test_of`` returns it. With brackets of a Dag's own, the text around expressions is
        checked when they are rendered.
    :raises InvalidInput: as :func:`checked_path`.
    """
    path = as_text(path, name)
    if known_now({name: path}, is_template):
        checked_path(path, name, suffix=suffix, consequence=consequence)
    elif isinstance(path, str) and has_braces(path):
        if _leads_upwards(_EXPRESSION.sub("x", path)):
            raise _refused(name, path, _UPWARDS, consequence)
        if "{%" not in path and (reason := next(_faults_of_literals(path, suffix), None)):  # a block may leave text out
            raise _refused(name, path, reason, consequence)
    if isinstance(path, str) and (braces := _unfilled(path, fields, is_template)):
        warnings.warn(
            f"{name}={path[:_SHOWN]!r} has {braces} in single braces, which stays in the name as it is. A template has "
            "two on each side: {{ ds }}.",
            UserWarning,
            stacklevel=3,
        )


def check_alias_uri(path: Any, consequence: str | None = NOT_LOST) -> None:
    """Refuse a path whose URI is too long for the asset that an ``AssetAlias`` becomes.

    :raises InvalidInput: naming the longest.
    """
    scheme, rest = _split(str(path).strip())
    if len(quote(rest, safe=_PLAIN_IN_URI)) + len(f"{scheme or 'file'}://") > MOST_OF_URI:
        raise _refused(
            "path",
            path,
            f"outlets has an AssetAlias, and Airflow takes {MOST_OF_URI} characters of an asset's URI, in which a "
            "character that is not ASCII counts as 3 for each of its bytes",
            consequence,
        )


def _refused(name: str, path: Any, reason: str, consequence: str | None) -> InvalidInput:
    shown = repr(path[:_SHOWN] if isinstance(path, str) else path)[: 2 * _SHOWN]
    return InvalidInput(f"{name}={shown} is not allowed: {reason}.", consequence=consequence)


def _faults(text: str, suffix: str) -> Iterator[str]:
    if not text or text.endswith(("/", "/.")):
        yield "it takes the path of a file"
    if _HALF_LETTER.search(text):
        yield _HALF
    yield from _faults_of_length(text, suffix)
    if _leads_upwards(text):
        yield _UPWARDS
    if _CONTROL.search(unquoted(text)):
        yield "it has a control character"
    if "{{" in text or "{%" in text:
        yield "it has a template in it after rendering: what came of data is not rendered"
    yield from _faults_of_place(text, suffix)


def _split(text: str) -> tuple[str, str]:
    found = _SCHEME.match(text)
    return (found[1].lower(), text[found.end() :]) if found else ("", text)


def _faults_of_length(text: str, suffix: str) -> Iterator[str]:
    """Yield what is too long of a path, or of one that has at least this text."""
    scheme, rest = _split(text)
    bucket, _, key = rest.partition("/")
    if scheme in _KEYS and len((key + suffix).encode()) > MOST_BYTES:
        yield f"its key is longer than {MOST_BYTES - len(suffix)} bytes"
    if len((bucket if scheme in _KEYS else text + suffix).encode()) > MOST_BYTES:
        yield f"it is longer than {MOST_BYTES - len(suffix)} bytes"


def _faults_of_literals(path: str, suffix: str) -> Iterator[str]:
    """Yield what is too long already in a template's own text, whatever its expressions become."""
    texts = _EXPRESSION.split(path)
    if _HALF_LETTER.search("".join(texts)):
        yield _HALF
    yield from _faults_of_length("".join(texts).strip(), suffix)
    if _split(path)[0] in _KEYS:
        return
    for text in texts:  # within one of them, each part between slashes is within one name
        if any(len(part.encode()) > _NAME_BYTES for part in text.split("/")):
            yield f"it has a name that is longer than {_NAME_BYTES} bytes"
    if len((texts[-1].rpartition("/")[2].strip() + suffix).encode()) > _NAME_BYTES:
        yield f"its file name is longer than {_NAME_BYTES - len(suffix)} bytes"


def _unfilled(path: str, fields: Collection[str], is_template: Callable[[str], bool]) -> str | None:
    """Return the first ``{...}`` that neither Jinja nor the task fills in."""
    text = _EXPRESSION.sub("", path)
    for found in _SINGLE_BRACES.finditer(text):
        in_context = text[max(0, found.start() - 1) : found.end()]
        if re.split(r"[:!.\[]", found[1])[0].strip() not in fields and not is_template(in_context):
            return found[0]
    return None


def _faults_of_place(text: str, suffix: str) -> Iterator[str]:
    scheme, rest = _split(text)
    if scheme in DISK and not rest.startswith("/"):
        yield "it takes a URL, or an absolute path"
    if scheme and "::" in rest:  # universal-pathlib 0.3 ends the path there, and writes another file
        yield 'it has "::" in it, at which a URL is cut off'
    try:
        urlsplit(text)
    except ValueError as error:
        yield f"it is no URL: {error}"
    *folders, file = rest.split("/")
    room = _NAME_BYTES - len(suffix)
    if scheme not in _KEYS and len(file.encode()) > room:
        yield f"its file name is longer than {room} bytes"
    if scheme not in _KEYS and any(len(folder.encode()) > _NAME_BYTES for folder in folders):
        yield f"it has a folder whose name is longer than {_NAME_BYTES} bytes"


def _leads_upwards(text: str) -> bool:
    return any(part.strip() == ".." for part in _SEPARATOR.split(unquoted(text)))
