"""A file on this machine's disk, in a folder that others may write to.

Only a regular file is read or replaced: no symbolic link at the file's own name is followed, and no FIFO or device is
waited for. Folders above it may be links: they are the team's own. Nothing here knows Airflow.

A file that is not shown yet has no name, where the filesystem can do that (``O_TMPFILE``): nobody else can open it, so
nobody changes what was verified. Elsewhere it is a hidden part, which is read once more before it is shown. Beside it,
a hidden lock says that somebody is at it, and which task. Both have one name for each place, so no folder is ever
listed: it may hold the clips of ten thousand requests.
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
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from airflow_provider_pika.exceptions import InvalidInput, PathInUse, PathTaken, StorageFailed
from airflow_provider_pika.task.paths import NOT_LOST

#: Bytes of a file's name where the folder does not say how many it takes.
_NAME_BYTES = 255

#: Bytes that are hashed at a time.
PIECE = 1 << 20

#: Bytes that are written before the disk is told of them.
_BYTES_ON_THEIR_WAY = 16 << 20

#: Bytes of a lock: the tag of who holds it.
_LOCK_BYTES = 16

#: How often a lock is tried that others take away at the same moment.
_MOST_LOOKS = 10

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


def hidden_name(name: str, suffix: str) -> str:
    """Return the name of what stands beside a file while it is not shown yet: as short for every file."""
    return f".pika-{tag(name)}{suffix}"


def tag(text: str) -> str:
    """Return sixteen hex digits that stand for a text."""
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:16]


class Lock(io.FileIO):
    """A file that is locked while somebody is at a place."""

    def __init__(self, path: str, flags: int, mode: str) -> None:
        super().__init__(_without_following(path, flags | os.O_CLOEXEC), mode)
        self.path = path


class Staged(io.BufferedRandom):
    """A new file that is not shown yet.

    :param lock: what tells others of it; None where there cannot be one.
    :param part: the hidden path, which it has, or is linked to on its way.
    """

    def __init__(self, raw: io.FileIO, lock: Lock | None, part: str, has_name: bool) -> None:
        super().__init__(raw)
        self.lock, self.part, self.has_name = lock, part, has_name
        self._is_on_its_way = 0

    def write(self, content: Any) -> int:
        """Write as any file, and have the disk begin with it: else it begins when the last byte is there."""
        written = super().write(content)
        if self.tell() - self._is_on_its_way >= _BYTES_ON_THEIR_WAY:
            self.flush()
            with contextlib.suppress(OSError, AttributeError):  # macOS has no such call
                os.posix_fadvise(self.fileno(), self._is_on_its_way, 0, os.POSIX_FADV_DONTNEED)
            self._is_on_its_way = self.tell()
        return written

    @property
    def is_overtaken(self) -> bool:
        """Whether another attempt, or another task, has taken the lock meanwhile."""
        return self.lock is not None and not _is_at(self.lock.path, self.lock)


@contextlib.contextmanager
def staged(path: str, writer: str = "", suffix: str = "") -> Iterator[Staged]:
    """Yield a new file for the place, hidden; nothing of it stays but what :func:`show` shows.

    What attempts left that died goes now, and an earlier attempt of the same writer that still writes is overtaken.

    :param suffix: what the name of a second file has more, which is written beside the first.
    :raises PathInUse: another writer is at it, on this machine or on a mount that shares its locks.
    :raises InvalidInput: the folder takes no name of that length.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    _check_name(final, suffix)
    part = str(final.with_name(hidden_name(final.name, ".part")))
    with _locked(final, writer) as lock:
        with contextlib.suppress(OSError):
            os.unlink(part)
        nameless = _nameless(final)
        with Staged(nameless or _new(part), lock, part, nameless is None) as file:
            try:
                yield file
            except Exception as error:
                if isinstance(error, StorageFailed) or not file.is_overtaken:
                    raise
                raise _overtaken(path) from error
            finally:
                if file.has_name:
                    _unlink(part, file)


@contextlib.contextmanager
def _locked(final: Path, writer: str) -> Iterator[Lock | None]:
    """Lock the place for a writer; None where nothing can be locked, which fails no save.

    :raises PathInUse: another writer has.
    """
    name, own = str(final.with_name(hidden_name(final.name, ".lock"))), tag(writer).encode() if writer else b""
    with contextlib.ExitStack() as stack:
        for _ in range(_MOST_LOOKS):
            if not (lock := _opened_lock(name)):
                break
            stack.enter_context(lock)
            if _lock(lock):
                if _is_at(name, lock):
                    break  # it is new, or of an attempt that died
            elif own and lock.read(_LOCK_BYTES) == own:
                _unlink(name, lock)
            else:
                raise _in_use(final)
        else:
            raise _in_use(final)
        if lock:
            stack.callback(_unlink, name, lock)
            with contextlib.suppress(OSError):  # it is another user's, or the disk is full
                lock.truncate(0)
                lock.write(own)
        yield lock


def _opened_lock(name: str) -> Lock | None:
    """Open the lock, or make it; return None where there is something else, or what this user may not open."""
    for flags, mode in ((os.O_RDWR | os.O_CREAT, "r+b"), (os.O_RDONLY, "rb")):
        with contextlib.suppress(OSError):
            lock = Lock(name, flags, mode)
            if stat.S_ISREG(os.fstat(lock.fileno()).st_mode):
                return lock
            lock.close()
    return None


def _new(path: str) -> io.FileIO:
    """Make a file; ``FileExistsError`` names what is there."""
    return io.FileIO(path, "x+b", opener=_without_following)


def _unlink(path: str, file: IO[bytes]) -> None:
    """Take a file's name away, if it has it still; what cannot be removed costs nothing that was shown."""
    with contextlib.suppress(OSError):
        if _is_at(path, file):
            os.unlink(path)


def show(file: Staged, path: str, sha256: str) -> None:
    """Show a staged file under its name, in place of a file or a link that is there.

    :raises PathInUse: it is overtaken.
    :raises StorageFailed: somebody put another file there, or changed the staged one.
    """
    if file.is_overtaken:
        raise _overtaken(path)
    file.flush()
    os.fsync(file.fileno())
    if file.has_name:
        return _move(file, file.part, path, sha256)
    if sha256_of(file.fileno(), os.fstat(file.fileno()).st_size) != sha256:  # a decoder had a descriptor of it
        raise StorageFailed(f"The file for {path} was changed by somebody else after it was verified.")
    if not _link(file, path):
        file.seek(0)
        with io.BufferedRandom(_new(file.part)) as part, contextlib.ExitStack() as stack:
            stack.callback(_unlink, file.part, part)
            shutil.copyfileobj(file, part, PIECE)
            part.flush()
            os.fsync(part.fileno())
            _move(part, file.part, path, sha256)


def _move(file: IO[bytes], part: str, path: str, sha256: str) -> None:
    """Rename a part to the place.

    Whoever may write to the folder may swap files in it. So just before the rename the name is compared with the open
    file, and the content with what was verified; and the name once more after it.
    """
    descriptor = file.fileno()
    size = os.fstat(descriptor).st_size
    if sha256_of(descriptor, size) != sha256 or not _is_at(part, file):
        raise StorageFailed(f"{part} was changed by somebody else, and was not moved to {path}.")
    os.replace(part, path)
    if not (_is_at(path, file) or _has(path, size, sha256)):
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
    try:
        with contextlib.suppress(FileExistsError):
            _link_new(file, path)
            return True
        _link_new(file, file.part)  # only a rename takes another file's name
    except OSError:
        return False
    try:
        os.replace(file.part, path)
    except OSError:
        os.unlink(file.part)
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


def _lock(file: IO[bytes]) -> bool:
    """Lock a file until it is closed; return False if somebody else has. Whoever dies holds none."""
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:  # some mounts have no locks
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


def _replaced(path: str) -> StorageFailed:
    return StorageFailed(f"{path} was replaced by somebody else: what is there now is not the file that was saved.")


def _in_use(path: Path) -> PathInUse:
    return PathInUse(f"Another task saves to {path} at this moment.")


def _overtaken(path: str) -> PathInUse:
    return PathInUse(f"This save was overtaken: another task saves to {path}.")


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
