"""A file on this machine's disk, in a folder that others may write to.

Only a regular file is read or replaced: no symbolic link at the file's own name is followed, and no FIFO or device is
waited for. Folders above it may be links: they are the team's own. Nothing here knows Airflow.

A file that is not shown yet has no name, where the filesystem can do that (``O_TMPFILE``): nobody else can open it, so
nobody changes what was verified. An empty part, which is locked, then says that somebody is at it. Elsewhere the part
has the bytes itself, and is read once more before it is shown.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import shutil
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
        self.prefix = f".pika-{of_name}-"
        self.of_all = f"{self.prefix}{self._DIGITS * 8}.{self._DIGITS * 20}.part"
        self.of_writer = f"{self.prefix}{self._own}.{self._DIGITS * 20}.part"

    def new(self) -> str:
        """Return a name that nobody has."""
        return f"{self.prefix}{self._own}.{time.time_ns():016x}{uuid.uuid4().hex[:4]}.part"


def _tag(text: str, digits: int) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:digits]


class Staged(io.BufferedRandom):
    """A new file that is not shown yet.

    :param part: what is locked while it is written: an empty file, or this one under its hidden name.
    :param names: those of its parts.
    """

    def __init__(self, raw: io.FileIO, part: io.FileIO, names: PartNames) -> None:
        super().__init__(raw)
        self.part, self.names = part, names
        self.has_name = raw is part


@contextlib.contextmanager
def staged(path: str, writer: str = "", suffix: str = "") -> Iterator[Staged]:
    """Yield a new file for the place, hidden; nothing of it stays but what :func:`show` shows.

    What attempts left that died goes now, and what an earlier attempt of the same writer still writes.

    :param suffix: what the name of a second file has more, which is written beside the first.
    :raises PathInUse: another writer is at it, on this machine or on a mount that shares its locks.
    :raises InvalidInput: the folder takes no name of that length.
    """
    final, names = Path(path), PartNames(os.path.basename(path), writer)
    final.parent.mkdir(parents=True, exist_ok=True)
    _check_name(final, suffix)
    with contextlib.ExitStack() as stack:
        nameless = _nameless(final)
        if nameless:
            stack.enter_context(nameless)
        elif not _remove_leftovers(final, names, writer):  # its time changes as it is written, so this is seen first
            raise _in_use(path)
        part = stack.enter_context(io.FileIO(str(final.with_name(names.new())), "x+b", opener=_without_following))
        file = stack.enter_context(Staged(nameless or part, part, names))
        try:
            # of two that begin at once, the later one sees the other
            is_free = _lock(part, fcntl.LOCK_EX) and _is_at(part.name, part)
            if not (is_free and _remove_leftovers(final, names, writer, part, file.has_name)):
                raise _in_use(path)
            if suffix:
                second = final.with_name(final.name + suffix)
                _remove_leftovers(second, PartNames(second.name, writer), writer)
            yield file
        except Exception as error:
            if isinstance(error, StorageFailed) or os.path.lexists(part.name):
                raise
            raise _vanished(part.name, path) from error
        finally:
            with contextlib.suppress(OSError):  # nor does this cost what was shown
                if _is_at(part.name, part):
                    os.unlink(part.name)


def show(file: Staged, path: str, sha256: str) -> None:
    """Show a staged file under its name, in place of a file or a link that is there.

    Whoever may write to the folder may swap files in it. So just before the rename the name is compared with the open
    file, and the content with what was verified; and the name once more after it.

    :raises StorageFailed: somebody put another file there, or changed the staged one, or removed it.
    """
    if not os.path.lexists(file.part.name):
        raise _vanished(file.part.name, path)
    file.flush()
    os.fsync(file.fileno())
    if not file.has_name:
        if sha256_of(file.fileno(), os.fstat(file.fileno()).st_size) != sha256:  # a decoder had a descriptor of it
            raise StorageFailed(f"The file for {path} was changed by somebody else after it was verified.")
        if _link(file, path):
            return
        file.seek(0)
        copy = io.BufferedWriter(file.part)
        try:
            shutil.copyfileobj(file, copy, PIECE)
            copy.flush()
        finally:
            copy.detach()
        os.fsync(file.part.fileno())
    descriptor, part = file.part.fileno(), file.part.name
    size = os.fstat(descriptor).st_size
    if sha256_of(descriptor, size) != sha256 or not _is_at(part, file.part):
        raise StorageFailed(f"{part} was changed by somebody else, and was not moved to {path}.")
    os.replace(part, path)
    if not (_is_at(path, file.part) or _has(path, size, sha256)):
        raise _replaced(path)


def put(path: str, content: bytes, writer: str) -> None:
    """Show these bytes under a name, all at once, in place of a file or a link that is there.

    :raises StorageFailed, PathInUse, InvalidInput: as :func:`staged` and :func:`show`.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    if raw := _nameless(final):
        with io.BufferedRandom(raw) as file:  # a raw file on a full disk takes a part, and says nothing
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            with contextlib.suppress(OSError):  # there is something already
                _link_new(file, path)
                return
    with staged(path, writer) as stage:
        stage.write(content)
        show(stage, path, hashlib.sha256(content).hexdigest())


def _nameless(final: Path) -> io.FileIO | None:
    """Return a new file without a name, which it can be given in the place's folder; None where there are none."""
    if not hasattr(os, "O_TMPFILE"):
        return None
    try:
        raw = io.FileIO(os.open(final.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666), "r+b")
    except OSError:  # network mounts, and older filesystems
        return None
    if os.path.exists(_as_path(raw)):
        return raw
    raw.close()
    return None


def _as_path(file: IO[bytes]) -> str:
    return f"/proc/self/fd/{file.fileno()}"


def _link_new(file: IO[bytes], path: str) -> None:
    """Link a file without a name to this one.

    :raises FileExistsError: there is something.
    """
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)  # without one, Python follows no link
    try:
        os.link(_as_path(file), os.path.basename(path), dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def _link(file: Staged, path: str) -> bool:
    """Show a file that has no name; return False where the filesystem does not link it.

    :raises StorageFailed: somebody put another file there.
    """
    new = os.path.join(os.path.dirname(path), file.names.new())
    try:
        with contextlib.suppress(FileExistsError):
            _link_new(file, path)
            return True
        _lock(file, fcntl.LOCK_EX)  # a leftover is not locked
        _link_new(file, new)  # only a rename takes another file's name
    except OSError:
        return False
    try:
        os.replace(new, path)
    except OSError:
        os.unlink(new)
        raise
    if not _is_at(path, file):
        raise _replaced(path)
    return True


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


def _remove_leftovers(
    final: Path, names: PartNames, writer: str, own: IO[bytes] | None = None, is_written: bool = False
) -> bool:
    """Remove what attempts left that died, and this writer's; return False if another one is at it.

    :param own: the part of this attempt, to which those that began later do not matter.
    :param is_written: whether parts are written into.
    """
    own_name = own and os.path.basename(own.name)
    for name in os.listdir(final.parent):
        if not name.startswith(names.prefix) or name == own_name:  # there may be thousands
            continue
        left = final.with_name(name)
        with contextlib.suppress(OSError):  # what is not ours to open, or to remove, fails no save
            if not (left.match(names.of_all) and stat.S_ISREG(left.lstat().st_mode)) or (
                own and _is_at(str(left), own)
            ):
                continue
            if writer and left.match(names.of_writer):
                left.unlink()
                continue
            with open(left, "rb", opener=_without_following) as file:
                if _lock(file, fcntl.LOCK_SH):
                    left.unlink()
                elif own is None or _began(file, is_written) < _began(own, is_written):
                    return False
    return True


def _began(part: IO[bytes], is_written: bool) -> tuple[int, str]:
    """Return when a part was made: by its filesystem's clock if it was not written into, else by its maker's."""
    made = 0 if is_written else os.fstat(part.fileno()).st_mtime_ns
    return made, os.path.basename(part.name).split(".")[-2]


def _lock(file: IO[bytes], kind: int) -> bool:
    """Lock a file until it is closed; return False if somebody else has. Whoever dies holds none."""
    try:
        fcntl.flock(file.fileno(), kind | fcntl.LOCK_NB)
    except OSError as error:  # some mounts have no locks
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


def _replaced(path: str) -> StorageFailed:
    return StorageFailed(f"{path} was replaced by somebody else: what is there now is not the file that was saved.")


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
