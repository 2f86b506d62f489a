"""What everything that starts something needs: a port, and patience."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(look: Callable[[], T | None], what: str, within: float, every: float = 0.5) -> T:
    """Look until there is something to see, and give it; ``TimeoutError`` names what did not come."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if seen := look():
            return seen
        time.sleep(every)
    raise TimeoutError(f"waited {within:.0f} s for {what}")
