"""How much a test does: less in ``make test``, all of it in ``make soak``, which sets SOAK."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings

SOAK = os.environ.get("SOAK") == "1"


def size(usual: int, full: int) -> int:
    """Return the size for this run."""
    return full if SOAK else usual


def examples(usual: int, full: int, **more: Any) -> settings:
    """Return hypothesis' settings: always the same examples, or in a soak many others; takes further settings."""
    return settings(
        max_examples=size(usual, full),
        derandomize=not SOAK,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        **more,
    )
