"""A file on this machine's disk, in a folder that others may write to.

Only a regular file is read or replaced: no symbolic link at the file's own name is followed, and no FIFO or device is
waited for. Folders above it may be links: they are the team's own. Nothing here knows Airflow.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

from airflow_provider_pika.exceptions import InvalidInput, PathInUse, PathTaken, StorageFailed
from airflow_provider_pika.task.paths import NOT_LOST

#: Bytes of a file's name where the folder does not say how many it takes.
_NAME_BYTES = 255

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


class PartNames:
    """The names of a file while it is not shown yet: ``.pika-<of the name>-<of the writer>.<of the attempt>.part``.

    They are as long as each other, whatever the file's own name is, and tell whose they are and which came first.

    :param name: the file's own.
    :param writer: which task writes it, in all of its attempts; "" where that is not known.
    """

    _DIGITS = "[0-9a-f]"

    def __init__(self, name: str, writer: str) -> None:
        of_name, self._own = _tag(name, 16), _tag(writer, 8)
        self._prefix = f".pika-{of_name}"
        self.of_all = f"{self._prefix}-{self._DIGITS * 8}.{self._DIGITS * 20}.part"
        self.of_writer = f"{self._prefix}-{self._own}.{self._DIGITS * 20}.part"

    def new(self) -> str:
        """Return a name that nobody has."""
        return f"{self._prefix}-{self._own}.{time.time_ns():016x}{uuid.uuid4().hex[:4]}.part"


def _tag(text: str, digits: int) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:digits]


@contextlib.contextmanager
def staged(path: str, writer: str = "", suffix: str = "") -> Iterator[IO[bytes]]:
    """Yield a new file beside the place, hidden; nothing of it stays but what :func:`show` shows.

    What attempts left that died goes now, and what an earlier attempt of the same writer still writes.

    :param suffix: what the name of a second file has more, which is written beside the first.
    :raises PathInUse: another writer is at it, on this machine or on a mount that shares its locks.
    :raises InvalidInput: the folder takes no name of that length.
    """
    final, names = Path(path), PartNames(os.path.basename(path), writer)
    final.parent.mkdir(parents=True, exist_ok=True)
    _check_name(final, suffix)
    if not _remove_leftovers(final, names, writer):
        raise _in_use(path)
    part = str(final.with_name(names.new()))
    with open(part, "x+b", opener=_without_following) as file:
        try:
            # once more when it is locked: of two that begin at once, the later one sees the other
            is_free = _lock(file, fcntl.LOCK_EX) and _is_at(part, file)
            if not (is_free and _remove_leftovers(final, names, writer, Path(part))):
                raise _in_use(path)
            yield file
        except Exception as error:
            if isinstance(error, StorageFailed) or os.path.lexists(part):
                raise
            raise _vanished(part, path) from error
        finally:
            with contextlib.suppress(OSError):  # nor does this cost what was shown
                if _is_at(part, file):
                    os.unlink(part)


def show(file: IO[bytes], path: str, sha256: str) -> None:
    """Rename a staged file to its place, in place of a file or a link that is there.

    Whoever may write to the folder may swap files in it. So just before the rename the name is compared with the open
    file, and the content with what was verified; and the name once more after it.

    :raises StorageFailed: somebody put another file there, or changed the staged one, or removed it.
    """
    descriptor = file.fileno()
    if not os.path.lexists(file.name):
        raise _vanished(file.name, path)
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


def _check_name(final: Path, suffix: str) -> None:
    room = _NAME_BYTES
    with contextlib.suppress(OSError, ValueError):  # encrypted folders take fewer than most
        room = os.pathconf(final.parent, "PC_NAME_MAX")
    if len(os.fsencode(final.name + suffix)) > room:
        raise InvalidInput(
            f"path={str(final)!r} is not allowed: its folder takes file names of {room - len(suffix)} bytes.",
            consequence=NOT_LOST,
        )


def _remove_leftovers(final: Path, names: PartNames, writer: str, own: Path | None = None) -> bool:
    """Remove what attempts left that died, and this writer's; return False if another one is at it.

    :param own: the file of this attempt, to which those that began later do not matter.
    """
    for left in final.parent.glob(names.of_all):
        with contextlib.suppress(OSError):  # what is not ours to open, or to remove, fails no save
            if left == own or not stat.S_ISREG(left.lstat().st_mode):
                continue
            if writer and left.match(names.of_writer):
                left.unlink()
                continue
            with open(left, "rb", opener=_without_following) as file:
                if _lock(file, fcntl.LOCK_SH):
                    left.unlink()
                elif own is None or _attempt_of(left) < _attempt_of(own):
                    return False
    return True


def _attempt_of(part: Path) -> str:
    return part.name.split(".")[-2]


def _lock(file: IO[bytes], kind: int) -> bool:
    """Lock a file until it is closed; return False if somebody else has. Whoever dies holds none."""
    try:
        fcntl.flock(file.fileno(), kind | fcntl.LOCK_NB)
    except OSError as error:  # some mounts have no locks
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


def _in_use(path: str) -> PathInUse:
    return PathInUse(f"Another task saves to {path} at this moment.")


def _vanished(part: str, path: str) -> PathInUse:
    return PathInUse(f"{part} was removed while it was written: another task saves to {path}.")


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
