"""The bytes of a clip and of its picture: only from under a root, and only what was recorded.

A file on a disk is opened folder by folder without following a link, so nobody can exchange a folder between the check
and the opening. A store is asked with a time limit, and by few at once: Airflow's own pages share these threads.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Any

from airflow_provider_pika.media import jpeg
from airflow_provider_pika.plugins.pages.roots import Roots, Spot, names_of

log = logging.getLogger(__name__)

#: Bytes that are read, and in memory, at a time for each who watches.
PIECE = 1 << 20

#: Bytes at the beginning of an MP4, and the kind of its first box, which stands there from the fifth on.
_HEAD, _FIRST_BOX = 12, b"ftyp"

#: Bytes of a picture; ours have 100 KB at most.
_PICTURE = 256 << 10

#: Seconds that a store has for one answer.
STORE_WITHIN = 20.0

#: Those who may wait for a store at once, and the seconds that one more waits for a place.
_AT_ONCE, _PLACE_WITHIN = BoundedSemaphore(16), 5.0

#: The switch in the extra of a store's connection: the browser fetches from the store itself, by a signed URL.
SIGN = "pika_sign_urls"

#: Seconds that a signed URL works.
SIGNED_FOR = 300


class NotShown(Exception):
    """A file is not shown. ``words`` says why, for who may see the clip; ``status`` is HTTP's."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


@dataclass(frozen=True)
class Stored:
    """A file that is checked: how long it is, and how to read it.

    :param read: returns the bytes from one place up to another.
    """

    size: int
    read: Callable[[int, int], bytes]

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes a piece at a time. What fails in the middle ends the answer, which is then too short."""
        while start < end:
            try:
                piece = self.read(start, min(start + PIECE, end))
            except NotShown as error:
                log.warning("A clip could not be sent to its end: %s", error.words)
                return
            if not piece:
                return
            start += len(piece)
            yield piece


def located(roots: Roots, path: str, conn_id: str | None) -> tuple[Spot, Spot]:
    """Return a root, and a file's place under it.

    :raises NotShown: there are no roots, or it is under none.
    """
    if not roots:
        raise NotShown(
            403,
            "No file is shown, since [pika] clip_roots is empty. List there the folders and buckets whose clips "
            "may be shown.",
        )
    if found := roots.find(path, conn_id):
        return found
    raise NotShown(403, f"The file is not under [pika] clip_roots ({names_of(roots.spots)}), so it is not shown.")


def clip_at(roots: Roots, path: str, conn_id: str | None, size: int) -> Stored:
    """Return the clip.

    :param size: that was recorded.
    :raises NotShown: it may not be shown, is not there, is not what was recorded, or the store does not answer.
    """
    stored = _open(*located(roots, path, conn_id))
    if stored.size != size:
        raise NotShown(409, f"The file has {stored.size} bytes, and {size} were saved. It is not the clip, or not all.")
    if stored.read(0, min(_HEAD, size))[4:8] != _FIRST_BOX:
        raise NotShown(409, "The file is no MP4, so it is not the clip that was saved.")
    return stored


def picture_at(roots: Roots, path: str, conn_id: str | None) -> bytes:
    """Return a clip's picture, whole.

    :raises NotShown: as :func:`clip_at`.
    """
    stored = _open(*located(roots, path, conn_id))
    content = stored.read(0, stored.size) if stored.size <= _PICTURE else b""
    if jpeg.size_of(content) is None:
        raise NotShown(409, "The file is no picture that was saved with a clip.")
    return content


def text_at(roots: Roots, path: str, conn_id: str | None, longest: int) -> Stored:
    """Return a file of text, a batch's manifest say.

    :raises NotShown: as :func:`clip_at`; or it is longer.
    """
    stored = _open(*located(roots, path, conn_id))
    if stored.size > longest:
        raise NotShown(409, f"The manifest has {stored.size} bytes; up to {longest} are read.")
    return stored


def signed_url(roots: Roots, path: str, conn_id: str | None) -> str | None:
    """Return a URL of the store itself for the browser; None: the connection does not ask for it, or cannot.

    :raises NotShown: as :func:`located`.
    """
    _, spot = located(roots, path, conn_id)
    if spot.is_local or not spot.conn_id or not _wants_signed(spot.conn_id):
        return None
    options = {"ResponseContentType": "video/mp4"} if spot.scheme.startswith("s3") else {}
    try:
        return str(_store_of(spot).sign(spot.path, expiration=SIGNED_FOR, **options))
    except Exception as error:
        log.warning("The store of %s signs no URL: %s", spot.bucket, type(error).__name__)
        return None


def _wants_signed(conn_id: str) -> bool:
    from airflow.providers.common.compat.sdk import BaseHook

    try:
        return BaseHook.get_connection(conn_id).extra_dejson.get(SIGN) in (True, "true", "True")
    except Exception:  # the store itself says what is wrong with it
        return False


def _open(root: Spot, spot: Spot) -> Stored:
    return _on_disk(root, spot) if spot.is_local else _in_store(spot)


def _on_disk(root: Spot, spot: Spot) -> Stored:
    try:
        file = _opened(root, spot)
    except FileNotFoundError:
        raise NotShown(404, "The file is not there any more, or this API server does not have its disk.") from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise NotShown(403, "The file leads out of [pika] clip_roots, so it is not shown.") from None
        raise NotShown(502, f"This API server cannot read the file: {error.strerror}.") from None
    found = os.fstat(file.number)
    if not stat.S_ISREG(found.st_mode):
        raise NotShown(403, "There is no regular file at the clip's path.")

    def read(start: int, end: int) -> bytes:
        try:
            return os.pread(file.number, end - start, start)
        except OSError as error:
            raise NotShown(502, f"This API server cannot read the file: {error.strerror}.") from None

    return Stored(found.st_size, read)


class _Open:
    """A file that is open until nobody has it any more, whoever breaks off the answer that it is for."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


def _opened(root: Spot, spot: Spot) -> _Open:
    """Open a file below a root. Links are resolved first, and what they lead to must be below the root, too."""
    real_root, real = os.path.realpath(root.path), os.path.realpath(spot.path)
    if os.path.commonpath((real_root, real)) != real_root:
        raise OSError(errno.ELOOP, "leads out of the root")
    *folders, name = os.path.relpath(real, real_root).split("/")
    at = os.open(real_root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            below = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = below
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a FIFO is not waited for
        return _Open(os.open(name, flags, dir_fd=at))
    finally:
        os.close(at)


def _in_store(spot: Spot) -> Stored:
    with _trouble(spot):
        store = _store_of(spot)
        store.invalidate_cache()
        info = _asked(store, "info", spot.path)
    if info.get("type") == "directory":
        raise NotShown(403, "There is a folder at the clip's path.")

    def read(start: int, end: int) -> bytes:
        with _trouble(spot):
            return bytes(_asked(store, "cat_file", spot.path, start=start, end=end)) if start < end else b""

    return Stored(int(info["size"]), read)


def _store_of(spot: Spot) -> Any:
    from airflow.sdk.io import attach

    return attach(protocol=spot.scheme, conn_id=spot.conn_id).fs


def _asked(store: Any, name: str, *arguments: Any, **more: Any) -> Any:
    """Call a method of a store; one that works on an event loop has so many seconds."""
    from fsspec.asyn import AsyncFileSystem, sync

    if isinstance(store, AsyncFileSystem) and not store.asynchronous:
        return sync(store.loop, getattr(store, f"_{name}"), *arguments, timeout=STORE_WITHIN, **more)
    return getattr(store, name)(*arguments, **more)


@contextlib.contextmanager
def _trouble(spot: Spot) -> Iterator[None]:
    """Say in a sentence what a store's own library raises, of which each has others."""
    if not _AT_ONCE.acquire(timeout=_PLACE_WITHIN):
        raise NotShown(503, "Too many clips are being read from the storage just now. Try again.")
    try:
        yield
    except NotShown:
        raise
    except FileNotFoundError:
        raise NotShown(404, "The file is not in the storage any more.") from None
    except Exception as error:
        name = type(error).__name__  # its text may have addresses and keys
        log.warning("A clip in %s could not be read: %s", spot.bucket, name, exc_info=log.isEnabledFor(logging.DEBUG))
        raise NotShown(
            502, f"The API server cannot read from the storage of {spot.scheme}://{spot.bucket} ({name})."
        ) from None
    finally:
        _AT_ONCE.release()
