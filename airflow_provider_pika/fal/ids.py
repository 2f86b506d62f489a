"""The names that fal gives: of an endpoint and its app, of a request, of a file. Dag files import this."""

from __future__ import annotations

import re
from typing import TypeGuard
from urllib.parse import unquote

from airflow_provider_pika.exceptions import InvalidInput

#: What a request's id may look like to have a place in a URL and in a path; fal's own are UUIDs.
REQUEST_ID = r"^[A-Za-z0-9_-]{1,128}$"
#: The same, compiled.
_REQUEST = re.compile(REQUEST_ID)

#: What an endpoint's id looks like: names with slashes between them.
_ENDPOINT = re.compile(r"\w[\w.-]*(/\w[\w.-]*)+", re.ASCII)

#: What no file's name has: a separator, a control character, half a letter.
_IN_NO_NAME = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

#: Bytes that a disk takes for a name, in UTF-8.
_NAME_BYTES = 255

#: First parts that stand before an owner, and are none themselves.
_NAMESPACES = ("workflows", "comfy")


def app_of(endpoint: object) -> str:
    """Return the part of an endpoint's id that its requests are found under (fal-protocol.md, 1.3).

    :raises InvalidInput: for what cannot be an endpoint's id.
    """
    if isinstance(endpoint, str) and _ENDPOINT.fullmatch(endpoint):
        parts = endpoint.split("/")
        length = 3 if parts[0] in _NAMESPACES else 2
        if len(parts) >= length:
            return "/".join(parts[:length])
    raise InvalidInput(
        f"endpoint={endpoint!r} is not allowed: it takes an id such as 'fal-ai/pika/v2.5/text-to-video'."
    )


def is_request_id(value: object) -> TypeGuard[str]:
    """Return whether it can be a request's id; the text that a template makes of None is none."""
    return isinstance(value, str) and value != "None" and _REQUEST.fullmatch(value) is not None


def check_request_id(request_id: object) -> None:
    """Refuse what cannot be a request's id.

    :raises InvalidInput: for None, the text "None", an empty text, or what has no place in a URL.
    """
    if not is_request_id(request_id):
        raise InvalidInput(
            f"request_id={request_id!r} is not allowed: it takes the id that the submit returned. Did the submitting "
            "task succeed, and is it its output that is read here?"
        )


def base_name(value: object) -> str | None:
    """Return what follows the last separator of a file's name; None if that is no name that a folder can hold."""
    name = re.split(r"[/\\]", value)[-1] if isinstance(value, str) else None
    return name if is_base_name(name) else None


def is_base_name(value: object) -> TypeGuard[str]:
    """Return whether it is a file's name, which cannot lead out of its folder, percent-decoded or not."""
    if not isinstance(value, str) or not value.strip() or _IN_NO_NAME.search(value):
        return False
    if len(value.encode()) > _NAME_BYTES:
        return False
    decoded = unquoted(value)
    return decoded.strip() not in (".", "..") and not _IN_NO_NAME.search(decoded)


def unquoted(text: str) -> str:
    """Return a text percent-decoded until nothing is left to decode: some stores and gateways decode once more.

    It takes time by the square of the length, so bound that first.
    """
    while (decoded := unquote(text)) != text:
        text = decoded
    return text
