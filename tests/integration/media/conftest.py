"""Each file is opened as a single save opens it: in a process that is started for it."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def forked_decoders() -> None:
    """Decode in no fork, but where a test asks for it."""
