"""Where each clip of a batch is saved, pure: one template for all, with fields for each, and no two in one place."""

from __future__ import annotations

import hashlib
import posixpath
import re
import string
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.fal.ids import is_base_name, is_request_id
from airflow_provider_pika.task.paths import DISK, NOT_LOST, POSTER, SIDECAR, check_known_path, checked_path
from airflow_provider_pika.task.templates import has_braces

#: What a path may say of a clip, with an example of each for the check of a Dag file.
FIELDS: Mapping[str, Any] = {"index": 0, "name": "name", "request_id": "request-id", "seed": 0}

#: What is written beside a clip, by what its name has more; no other clip may have that name.
BESIDE = (SIDECAR, POSTER)

#: The fields, as an error names them.
_TAKES = "{index}, {name}, {request_id} or {seed}"

#: A part of a template that Jinja renders.
_EXPRESSION = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)

#: What makes a path a URL of an object store.
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)

#: A width of thousands would fill the memory before the path is found to be too long.
_LARGE_NUMBER = re.compile(r"\d{4}")


def is_integer(value: Any) -> bool:
    """Return whether it is an integer, and no bool."""
    return isinstance(value, int) and not isinstance(value, bool)


#: What each field takes.
_RIGHT: Mapping[str, Callable[[Any], bool]] = {
    "index": is_integer,
    "seed": is_integer,
    "name": is_base_name,
    "request_id": is_request_id,
}


class ClipPaths:
    """The path of each clip.

    :param template: of the path, once Jinja's part of it is rendered: ``s3://clips/2026-11-24/{index:05d}.mp4``.
    :param name: the argument that has it.
    :param consequence: what a wrong path means for the clips.
    :raises InvalidInput: it has no field, one of another name, or one in the name of the bucket.
    """

    def __init__(self, template: str, name: str = "path", consequence: str | None = NOT_LOST) -> None:
        self.template = template.strip()
        self._name, self._consequence = name, consequence
        self._refused = partial(_refused, template, name, consequence)
        self._parts = list(_parts_of(self.template, self._refused))
        if not any(field for _, field, _ in self._parts):
            raise self._refused(f"without a field, all clips would have one path: it takes {_TAKES}")
        self._taken: set[bytes] = set()
        scheme = _SCHEME.match(self.template)
        self._on_disk = (scheme[1].lower() if scheme else "") in DISK
        self.folder  # noqa: B018 (it refuses)

    @property
    def folder(self) -> str:
        """Return the folder that all clips are in, or below, with its slash.

        :raises InvalidInput: a field stands in the bucket's name.
        """
        fixed = self._parts[0][0]
        scheme = _SCHEME.match(fixed)
        start = scheme.end() if scheme else 0
        if "/" not in fixed[start:]:
            raise self._refused("its fields stand in the name of a file or a folder, not before that")
        return fixed[: fixed.rindex("/") + 1]

    def of(self, line: Mapping[str, Any]) -> str:
        """Return the clip's path, which no clip before it has.

        :param line: of the batch's manifest.
        :raises InvalidInput: the line lacks what the path names, no store can hold the path, or it is another's.
        """
        path = self._filled(line)
        for each in (path, *(path + suffix for suffix in BESIDE)):
            mark = self._mark(each)
            if mark in self._taken:
                case = ", where a disk ignores case" if self._on_disk else ""
                raise InvalidInput(
                    f"The path of clip {line['index']}, {path!r}, is that of another clip, or of a file beside it"
                    f"{case}. Add {{index}} to {self._name}={self.template!r}.",
                    consequence=self._consequence,
                )
            self._taken.add(mark)
        return path

    def reserve(self, path: str) -> None:
        """Take a path that is none of a clip: the manifest's."""
        self._taken.add(self._mark(path))

    def _filled(self, line: Mapping[str, Any]) -> str:
        parts = []
        for text, field, spec in self._parts:
            parts.append(text)
            if field:
                parts.append(self._value(field, spec, line))
        path = "".join(parts)
        return checked_path(path, self._name, suffix=max(BESIDE, key=len), consequence=self._consequence)

    def _value(self, field: str, spec: str, line: Mapping[str, Any]) -> str:
        value = line.get(field)
        if value is None or not _RIGHT[field](value):
            has = (
                f"no {field}" if value is None else f"the {field} {str(value)[:200]!r}, which no file can be called by"
            )
            raise InvalidInput(
                f"Clip {line['index']} has {has}, and {self._name}={self.template!r} takes it.",
                consequence=self._consequence,
            )
        return _formatted(value, spec, self._refused)

    def _mark(self, path: str) -> bytes:
        scheme = _SCHEME.match(path)
        path = path[scheme.end() if scheme else 0 :]
        if self._on_disk:  # macOS, Windows and many network disks take these for one name
            path = unicodedata.normalize("NFC", posixpath.normpath(path)).casefold()
        else:
            bucket, slash, key = path.partition("/")
            path = bucket.rpartition("@")[2] + slash + key
        return hashlib.blake2b(path.encode("utf-8", "replace"), digest_size=16).digest()


def check_known_paths(
    path: Any,
    is_template: Callable[[str], bool] = has_braces,
    name: str = "path",
    consequence: str | None = NOT_LOST,
) -> None:
    """Refuse a path when the Dag is parsed, as far as it is known: around Jinja's expressions, its fields.

    :param name: as :class:`ClipPaths` takes it, and ``consequence``.
    :raises InvalidInput: as :class:`ClipPaths`; or no clip could be saved there.
    """
    refused = partial(_refused, path, name, consequence)
    if not isinstance(path, str):
        if not hasattr(path, "resolve"):
            raise refused(f"it takes a text with {_TAKES}")
        return

    if not is_template(path):
        ClipPaths(path, name, consequence).of(FIELDS)
    elif has_braces(path):
        for _ in _parts_of(_EXPRESSION.sub("x", path), refused):
            pass

    def is_of_a_clip(text: str) -> bool:  # its fields are filled in for each
        return "{" in text or is_template(text)

    check_known_path(path, name, suffix=SIDECAR, consequence=consequence, is_template=is_of_a_clip, fields=FIELDS)


def _parts_of(template: str, refused: Callable[[str], InvalidInput]) -> Iterator[tuple[str, str, str]]:
    """Yield each text, the field after it, and its format; a template has no attributes and no indices of its fields.

    :param refused: makes the error of a reason.
    :raises InvalidInput: it has; or it has another field.
    """
    try:
        for text, field, spec, conversion in string.Formatter().parse(template):
            if field is not None and (field not in FIELDS or conversion or "{" in (spec or "")):
                raise refused(f"it has the field {field!r}, or something beside it, and takes {_TAKES}")
            if field:
                _formatted(FIELDS[field], spec or "", refused)
            yield text, field or "", spec or ""
    except ValueError as error:
        if isinstance(error, InvalidInput):
            raise
        raise refused(f"it has a bracket that is none of a field: {error}") from None


def _formatted(value: Any, spec: str, refused: Callable[[str], InvalidInput]) -> str:
    try:
        if _LARGE_NUMBER.search(spec):
            raise ValueError("it is too wide")
        return format(value, spec)
    except (ValueError, OverflowError) as error:  # no float, and no character, has so large a number
        raise refused(f"it has a field with the format {spec!r}: {error}") from None


def _refused(path: Any, name: str, consequence: str | None, reason: str) -> InvalidInput:
    return InvalidInput(f"{name}={str(path)[:200]!r} is not allowed: {reason}.", consequence=consequence)
