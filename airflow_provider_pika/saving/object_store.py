"""A file in a team's own storage: it is there whole, or not at all, whatever dies in the middle."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import IO, Any
from urllib.parse import urlsplit

from airflow_provider_pika.exceptions import InvalidInput, PathTaken, PikaError, StorageFailed
from airflow_provider_pika.saving import disk
from airflow_provider_pika.task.paths import DISK, NOT_LOST, checked_path, uri_of

#: Bytes that are written at a time. A smaller file is one PUT in a bucket, a larger one an upload in parts, of which
#: one is in memory.
BLOCK = 16 << 20

#: Bytes of a file of lines that are read at a time.
_PIECE_OF_LINES = 1 << 16

#: Stores that show an object once all of it is there (a PUT, or the end of an upload in parts), with what their files
#: are told the type of the content by; read in s3fs, gcsfs and adlfs of autumn 2026. ossfs is none: it appends to what
#: is shown. On any other store the file is written under another name, and moved.
_SHOWN_WHOLE: dict[str, Callable[[str], dict[str, Any]]] = {
    **{scheme: lambda kind: {"ContentType": kind} for scheme in ("s3", "s3a", "s3n")},
    **{scheme: lambda kind: {"content_type": kind} for scheme in ("gs", "gcs")},
    **{scheme: lambda kind: {"content_settings": {"content_type": kind}} for scheme in ("abfs", "abfss", "adl")},
}


def writer_of(ti: Any) -> str:
    """Return what is the same in all attempts of a task, and no other task has: its temporary files tell by it."""
    return "\n".join(map(str, (ti.dag_id, ti.run_id, ti.task_id, ti.map_index)))


class Place:
    """A file's place in any storage that Airflow knows, by its ``ObjectStoragePath``.

    Every method raises :class:`StorageFailed` where the store refuses, or cannot be reached.

    :param path: a URL, ``s3://bucket/key.mp4`` say, or an absolute path of this machine.
    :param conn_id: the store's Airflow connection, of which a disk needs none; None: the URL's own
        (``s3://conn@bucket/...``), or the store's default.
    :param writer: which task writes there, the same in all of its attempts: an attempt removes what an earlier one left
        that died, and stays away from what another task is writing. "": nobody knows.
    :raises InvalidInput: the path is none of a file.
    """

    def __init__(self, path: str, conn_id: str | None = None, writer: str = "") -> None:
        from airflow.sdk import ObjectStoragePath

        path = checked_path(path)
        self.path, self._writer = path, writer
        with _failing(f"{path} cannot be used"):
            self._place = ObjectStoragePath(path)
            self._on_disk = self._place.protocol in DISK
            if not self._on_disk:  # Airflow finds one among those of all providers, which it imports: boto3, say
                if conn_id:
                    self._place = ObjectStoragePath(path, conn_id=conn_id)
                self._store = self._place.fs
        self._bucket = urlsplit(path).netloc.rpartition("@")[2]  # 3.1's own has the connection in it
        self._shown_whole = _SHOWN_WHOLE.get(self._place.protocol)
        if not self._on_disk and not self._shown_whole and glob.has_magic(path):
            raise InvalidInput(
                f"path={path!r} is not allowed: moving a file there takes *, ? and [ for a pattern.",
                consequence=NOT_LOST,
            )

    @property
    def namespace(self) -> str:
        """Return the store, as lineage names it: ``s3://bucket``, ``file``."""
        return "file" if self._on_disk else f"{self._place.protocol}://{self._bucket}"

    @property
    def name(self) -> str:
        """Return the file's name in the namespace."""
        path = str(self._place.path)
        return path if self._on_disk else path.removeprefix(f"{self._bucket}/")

    @property
    def uri(self) -> str:
        """Return the URL without a connection, as an asset has it: in ASCII, percent-encoded."""
        return uri_of(self.namespace, self.name)

    def size(self) -> int | None:
        """Return the bytes of the file that is there; None if there is none.

        :raises PathTaken: there is something that is no file: a folder, or on a disk a link, a FIFO, a device.
        """
        with _failing(f"{self.path} could not be looked at"):
            if self._on_disk:
                return disk.size_of(self._place.path)
            self._store.invalidate_cache()
            try:
                info = self._store.info(self._place.path)
            except FileNotFoundError:
                return None
        if info.get("type") == "directory":
            raise PathTaken(f"There is a folder at {self.path}.")
        return int(info["size"])

    def is_link(self) -> bool:
        """Return whether there is a symbolic link, which is never followed; publishing replaces the link itself."""
        return self._on_disk and disk.is_link(self._place.path)

    def read(self, most: int) -> bytes:
        """Return the first bytes of the file.

        :raises PathTaken: as :meth:`size`.
        """
        with _failing(f"{self.path} could not be read"), self._opened() as file:
            return bytes(file.read(most))

    def lines(self, longest: int) -> Iterator[bytes]:
        """Yield the lines of the file without their ends, a piece of it in memory at a time.

        :param longest: bytes that one line may have.
        :raises PathTaken: as :meth:`size`.
        """
        with _failing(f"{self.path} could not be read"), self._opened() as file:
            rest = b""
            while piece := file.read(_PIECE_OF_LINES):
                *whole, rest = (rest + piece).split(b"\n")
                yield from whole
                if len(rest) > longest:
                    raise OSError(f"it has a line of more than {longest} bytes")
            if rest:
                yield rest

    def sha256(self, size: int) -> str | None:
        """Return the file's SHA-256 as hex digits; None if it is longer than ``size`` bytes by now.

        It reads all of it, a piece at a time.

        :raises PathTaken: as :meth:`size`.
        """
        with _failing(f"{self.path} could not be read"), self._opened() as file:
            return disk.digest(iter(partial(file.read, disk.PIECE), b""), size)

    def remove(self) -> None:
        """Remove the file, or the link itself."""
        with _failing(f"{self.path} could not be removed"):
            if self._on_disk:
                os.unlink(self._place.path)
            else:
                self._store.rm_file(self._place.path)

    @contextlib.contextmanager
    def stage(self, suffix: str = "") -> Iterator[IO[bytes]]:
        """Return a file on this machine to collect the bytes in, before :meth:`publish`; nothing of it stays.

        On a disk it is beside the place, hidden, so that publishing is a rename; what an attempt left that died in the
        middle goes now. For other stores it has no name, so that nothing is left by whoever dies.

        :param suffix: what the name of a second file has more, which is written beside the first.
        :raises PathInUse: on a disk: another task is at it.
        :raises InvalidInput: the folder takes no name of that length.
        """
        with _failing(f"The file for {self.path} could not be written", OSError):
            if self._on_disk:
                with disk.staged(self._place.path, self._writer, suffix) as file:
                    yield file
            else:
                with tempfile.TemporaryFile(prefix="pika-") as file:
                    yield file

    def publish(self, stage: IO[bytes], content_type: str, sha256: str) -> None:
        """Show the staged file under its name, all of it at once, in place of any file or link that is there.

        :param sha256: of what was staged: nothing else is shown.
        """
        with _failing(f"{self.path} could not be written"):
            stage.flush()
            stage.seek(0)
            if isinstance(stage, disk.Staged):
                disk.show(stage, self._place.path, sha256)
            elif self._shown_whole:
                self._write(stage, self._place.path, self._shown_whole(content_type))
            else:
                self._write_and_move(stage)

    def put(self, content: bytes, content_type: str) -> None:
        """Show these bytes under its name, as :meth:`publish` does."""
        if self._on_disk:
            with _failing(f"{self.path} could not be written"):
                return disk.put(self._place.path, content, self._writer)
        with self.stage() as stage:
            stage.write(content)
            self.publish(stage, content_type, hashlib.sha256(content).hexdigest())

    def _opened(self) -> contextlib.AbstractContextManager[IO[bytes]]:
        if self._on_disk:
            return disk.opened(self._place.path)
        opened: contextlib.AbstractContextManager[IO[bytes]] = self._store.open(
            self._place.path, "rb", block_size=BLOCK
        )
        return opened

    def _write_and_move(self, stage: IO[bytes]) -> None:
        folder, _, name = self._place.path.rpartition("/")
        self._store.makedirs(folder, exist_ok=True)
        ours = f"{folder}/{disk.hidden_name(name, f'-{disk.tag(self._writer)}')}"
        for left in self._store.glob(f"{ours}.*.part"):  # nobody can tell whether another's is alive
            self._store.rm_file(left)
        part = f"{ours}.{uuid.uuid4().hex}.part"
        self._write(stage, part, {})
        self._store.mv(part, self._place.path)
        if self._store.exists(part):  # some do not move onto a file, and do not say so
            self._store.rm_file(self._place.path)
            self._store.mv(part, self._place.path)
        if self._store.exists(part) or self.size() != stage.seek(0, os.SEEK_END):
            raise OSError(f"the store did not move {part} there")

    def _write(self, stage: IO[bytes], path: str, options: Mapping[str, Any]) -> None:
        file = self._store.open(path, "wb", block_size=BLOCK, **options)
        try:
            shutil.copyfileobj(stage, file, BLOCK)
            file.close()
        except BaseException:
            # closing an fsspec file publishes what was written so far, and so does its garbage collection
            with contextlib.suppress(Exception):
                file.discard()
            with contextlib.suppress(Exception):
                file.closed = True
            raise


@contextlib.contextmanager
def _failing(what: str, kind: type[Exception] = Exception) -> Iterator[None]:
    """Say of a store's own errors, of which each library has others, that they are a store's."""
    try:
        yield
    except PikaError:
        raise
    except kind as error:
        if getattr(error, "errno", None) == errno.ENAMETOOLONG:
            raise InvalidInput(f"{what}: the store takes no name of that length.", consequence=NOT_LOST) from error
        words = f"{type(error).__name__}: {error}".rstrip(": ").rstrip(".")
        raise StorageFailed(f"{what}: {words}.") from error
