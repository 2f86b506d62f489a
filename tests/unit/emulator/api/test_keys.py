"""Which keys are accepted, and which may read the books."""

from __future__ import annotations

import json

import pytest
from starlette.requests import Request

from airflow_provider_pika.emulator.api.wire import Keys


def status(keys: Keys, header: str | None, *, admin: bool) -> int:
    """Return the status of the refusal, or 200."""
    headers = [] if header is None else [(b"authorization", header.encode())]
    refused = keys.refuse_platform(Request({"type": "http", "headers": headers}), admin=admin)
    if refused is None:
        return 200
    assert json.loads(bytes(refused.body))["error"]["type"] == "authorization_error"
    return refused.status_code


@pytest.mark.parametrize(
    ("keys", "header", "reads", "reads_the_books"),
    [
        (Keys(), "Key any", 200, 200),
        (Keys(), "Key ", 401, 401),
        (Keys(), "Bearer any", 401, 401),
        (Keys(), None, 401, 401),
        (Keys(["plain"]), "Key plain", 200, 403),
        (Keys(["plain"]), "Key other", 401, 401),
        (Keys(["plain"], ["admin"]), "Key plain", 200, 403),
        (Keys(["plain"], ["admin"]), "key  admin ", 200, 200),
        (Keys([], ["admin"]), "Key admin", 200, 200),
        (Keys([], ["admin"]), "Key any", 401, 401),
        (Keys(["both"], ["both"]), "Key both", 200, 200),
    ],
)
def test_only_a_key_with_the_right_reads_the_books(
    keys: Keys, header: str | None, reads: int, reads_the_books: int
) -> None:
    assert (status(keys, header, admin=False), status(keys, header, admin=True)) == (reads, reads_the_books)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (Keys(), "any"),
        (Keys(["a", "b"]), "2 accepted"),
        (Keys(["a", "b"], ["b", "c"]), "3 accepted, 2 with the ADMIN right"),
    ],
)
def test_the_banner_counts_the_keys_and_names_none(keys: Keys, told: str) -> None:
    assert str(keys) == told
