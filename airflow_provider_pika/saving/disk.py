"""A file on this machine's disk, in a folder that others may write to.

Only a regular file is read or replaced: no symbolic link at the file's own name is followed, and no FIFO or device is
waited for. Folders above it may be links: they are the team's own. Nothing here knows Airflow.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

from airflow_provider_pika.exceptions import PathTaken, StorageFailed

#: What an attempt puts into the name of a file that is not shown yet, as a pattern.
RANDOM = "[0-9a-f]" * 8

#: Bytes that are hashed at a time.
PIECE = 1 << 20

#: What stands at a path where a file cannot be put, in an error's words.
_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def size_of(path: str) -> int | None:
    """Return the bytes of the file; None if there is none.

    :raises PathTaken: there is something that is no regular file.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    _check_regular(path, found)
    return found.st_size


def is_link(path: str) -> bool:
    """Return whether there is a symbolic link, wherever it leads."""
    return os.path.islink(path)


@contextlib.contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """Open the file to read it.

    :raises PathTaken: there is something that is no regular file.
    """
    _check_regular(path, os.lstat(path))  # opening a device may already do something
    with open(path, "rb", opener=_without_following) as file:
        _check_regular(path, os.fstat(file.fileno()))
        yield file


@contextlib.contextmanager
def staged(path: str) -> Iterator[IO[bytes]]:
    """Yield a new file beside the place, hidden; nothing of it stays but what :func:`show` shows."""
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(final)
    part = str(final.with_name(f".{final.name}.{uuid.uuid4().hex[:8]}.part"))
    with open(part, "x+b", opener=_without_following) as file:
        try:
            yield file
        finally:
            with contextlib.suppress(OSError):  # nor does this cost what was shown
                if _is_at(part, file):
                    os.unlink(part)


def show(file: IO[bytes], path: str, sha256: str) -> None:
    """Rename a staged file to its place, in place of a file or a link that is there.

    Whoever may write to the folder may swap files in it. So just before the rename the name is compared with the open
    file, and the content with what was verified; and the name once more after it.

    :raises StorageFailed: somebody put another file there, or changed the staged one.
    """
    descriptor = file.fileno()
    os.fsync(descriptor)
    size = os.fstat(descriptor).st_size
    if sha256_of(descriptor, size) != sha256 or not _is_at(file.name, file):
        raise StorageFailed(f"{file.name} was changed by somebody else, and was not moved to {path}.")
    os.replace(file.name, path)
    if not (_is_at(path, file) or _has(path, size, sha256)):
        raise StorageFailed(f"{path} was replaced by somebody else: what is there now is not the file that was saved.")


def sha256_of(descriptor: int, size: int) -> str | None:
    """Return the SHA-256 of an open file as hex digits; None if it is longer than ``size`` bytes by now."""
    return digest(_pieces(descriptor), size)


def digest(pieces: Iterable[bytes], size: int) -> str | None:
    """Return the SHA-256 of all pieces as hex digits; None, and read on no further, above ``size`` bytes."""
    found, seen = hashlib.sha256(), 0
    for piece in pieces:
        found.update(piece)
        seen += len(piece)
        if seen > size:
            return None
    return found.hexdigest()


def _pieces(descriptor: int) -> Iterator[bytes]:
    seen = 0
    while piece := os.pread(descriptor, PIECE, seen):  # a buffer might have what the file had before
        seen += len(piece)
        yield piece


def _without_following(path: str, flags: int) -> int:
    # not blocking: a FIFO that came after the check is opened, and then refused
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


def _check_regular(path: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(found.st_mode)), "something that is no file")
        raise PathTaken(f"There is {kind} at {path}, which is not read or followed.")


def _remove_leftovers(final: Path) -> None:
    """Remove what attempts left that died, and what a task is writing to this path right now, which then fails."""
    for left in final.parent.glob(f".{glob.escape(final.name)}.{RANDOM}.part"):
        with contextlib.suppress(OSError):
            if stat.S_ISREG(left.lstat().st_mode):
                left.unlink()


def _is_at(path: str, file: IO[bytes]) -> bool:
    """Return whether the name is that of the open file."""
    try:
        return os.path.samestat(os.lstat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _has(path: str, size: int, sha256: str) -> bool:
    """Return whether the same bytes are there: mounts of buckets give a file another inode when they rename it."""
    with contextlib.suppress(OSError, PathTaken), opened(path) as file:
        return sha256_of(file.fileno(), size) == sha256
    return False
