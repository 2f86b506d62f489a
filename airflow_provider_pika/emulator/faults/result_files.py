"""What a file fault does to a clip that was drawn. The result still names the good file's size."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Sequence
from pathlib import Path

from airflow_provider_pika.emulator.faults.catalogue import Fault

#: What ``html_file`` serves instead of a clip.
HTML_PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><h1>Sign in</h1></body></html>\n"

#: Faults of the clip's own bytes.
FILE_FAULTS = ("large_file", "html_file", "broken_file", "truncated_file")

#: Bytes of the header of an MP4's box: its size and its name.
BOX_HEADER = 8
#: From this size on, a box of an MP4 has its size in 64 bits, behind its name.
LONG_BOX = 2**32


def finish_file(faults: Sequence[Fault], drawn: Path, own: Path) -> int:
    """Spoil the request's ``own`` file if asked to, and return the size that the result names.

    The file that was ``drawn`` may be that of other requests, too, and stays as it is.
    """
    asked = {fault.fault: fault for fault in reversed(faults) if fault.fault in FILE_FAULTS}
    if not asked:
        return drawn.stat().st_size
    if drawn != own:
        own.parent.mkdir(exist_ok=True)
        shutil.copyfile(drawn, own)
    if (large := asked.get("large_file")) is not None:
        enlarge(own, large.bytes)
    size = own.stat().st_size
    if "html_file" in asked:
        own.write_bytes(HTML_PAGE)
    elif "broken_file" in asked:
        _blank(own, size)
    elif "truncated_file" in asked:
        os.truncate(own, size // 2)
    return size


def enlarge(path: Path, size: int) -> None:
    """Bring an MP4 to this size with a ``free`` box, which players skip. It takes no room on the disk."""
    box = size - path.stat().st_size
    if box < BOX_HEADER:
        return
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", box, b"free") if box < LONG_BOX else struct.pack(">I4sQ", 1, b"free", box))
        file.truncate(size)


def _blank(path: Path, size: int) -> None:
    """Fill the file with zeros. Some decoder takes random bytes for a video, one time in two hundred."""
    with path.open("wb") as file:
        file.truncate(size)
