"""The names that fal gives: of an endpoint, of the app it belongs to, of a request. Dag files import this."""

from __future__ import annotations

import re
from typing import TypeGuard

from airflow_provider_pika.exceptions import InvalidInput

#: What a request's id may look like to have a place in a URL and in a path; fal's own are UUIDs.
REQUEST_ID = r"^[A-Za-z0-9_-]{1,128}$"
_REQUEST = re.compile(REQUEST_ID)

_ENDPOINT = re.compile(r"\w[\w.-]*(/\w[\w.-]*)+", re.ASCII)

#: First parts that stand before an owner, and are none themselves.
_NAMESPACES = ("workflows", "comfy")


def app_of(endpoint: object) -> str:
    """Give the part of an endpoint's id that its requests are found under (fal-protocol.md, 1.3).

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
    """Tell whether it can be a request's id; the text that a template makes of None is none."""
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
