"""Files that only the user who runs the emulator may read: prompts and webhook URLs, and keys that sign."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

MODE = 0o600


def make_private(path: Path) -> None:
    """Make an empty file if there is none, and narrow the mode of what an earlier version made.

    What belongs to another user cannot be narrowed, and is left. Raises `OSError` if the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
    try:
        with contextlib.suppress(PermissionError):
            os.fchmod(descriptor, MODE)
    finally:
        os.close(descriptor)
