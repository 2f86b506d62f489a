"""A file in a team's own storage: it is there whole, or not at all, whatever dies in the middle."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_pika.exceptions import InvalidInput, PathTaken, PikaError, StorageFailed

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

#: Bytes that are written at a time. A smaller file is one PUT in a bucket, a larger one an upload in parts, of which
#: one is in memory.
BLOCK = 16 << 20

_DISK = ("", "file", "local")

#: What a wrong value means for a clip that is there.
NOT_LOST = "No clip is lost: correct it, and clear this task, which fetches from the URL, and pays for nothing."

#: What an attempt puts into the name of a file that is not shown yet, as a pattern.
_RANDOM = "[0-9a-f]" * 8

#: Stores that show an object once all of it is there (a PUT, or the end of an upload in parts), with what their files
#: are told the type of the content by; read in s3fs, gcsfs and adlfs of autumn 2026. ossfs is none: it appends to what
#: is shown. On any other store the file is written under another name, and moved.
_SHOWN_WHOLE: dict[str, Callable[[str], dict[str, Any]]] = {
    **{scheme: lambda kind: {"ContentType": kind} for scheme in ("s3", "s3a", "s3n")},
    **{scheme: lambda kind: {"content_type": kind} for scheme in ("gs", "gcs")},
    **{scheme: lambda kind: {"content_settings": {"content_type": kind}} for scheme in ("abfs", "abfss", "adl")},
}


class Place:
    """A file's place in any storage that Airflow knows, by its ``ObjectStoragePath``.

    Every method raises :class:`StorageFailed` where the store refuses, or cannot be reached.

    :param path: a URL, ``s3://bucket/key.mp4`` say, or an absolute path of this machine.
    :param conn_id: the store's Airflow connection; None: the URL's own (``s3://conn@bucket/...``), or the store's
        default.
    :raises InvalidInput: the path is none of a file.
    """

    def __init__(self, path: str, conn_id: str | None = None) -> None:
        from airflow.sdk import ObjectStoragePath

        path = checked_path(path)
        self.path = path
        with _failing(f"{path} cannot be used"):
            # 3.1 takes conn_id=None for a word against the one in the path
            self._place: ObjectStoragePath = ObjectStoragePath(path, **({"conn_id": conn_id} if conn_id else {}))
            self._store = self._place.fs
        self._bucket = urlsplit(path).netloc.rpartition("@")[2]  # 3.1's own has the connection in it
        self._on_disk = self._place.protocol in _DISK
        self._shown_whole = _SHOWN_WHOLE.get(self._place.protocol)
        if not self._on_disk and not self._shown_whole and glob.has_magic(path):
            raise InvalidInput(f"path={path!r} is not allowed: moving a file there takes *, ? and [ for a pattern.")

    @property
    def namespace(self) -> str:
        """Give the store, as lineage names it: ``s3://bucket``, ``file``."""
        return "file" if self._on_disk else f"{self._place.protocol}://{self._bucket}"

    @property
    def name(self) -> str:
        """Give the file's name in the namespace."""
        path = str(self._place.path)
        return path if self._on_disk else path.removeprefix(f"{self._bucket}/")

    @property
    def uri(self) -> str:
        """Give the URL without a connection."""
        return f"file://{self.name}" if self._on_disk else f"{self.namespace}/{self.name}"

    def size(self) -> int | None:
        """Give the bytes of the file that is there; None if there is none.

        :raises PathTaken: there is a folder.
        """
        with _failing(f"{self.path} could not be looked at"):
            self._store.invalidate_cache()
            try:
                info = self._store.info(self._place.path)
            except FileNotFoundError:
                return None
        if info.get("type") == "directory":
            raise PathTaken(f"There is a folder at {self.path}.")
        return int(info["size"])

    def read(self, most: int) -> bytes:
        """Give the first bytes of the file."""
        with _failing(f"{self.path} could not be read"), self._store.open(self._place.path, "rb") as file:
            return bytes(file.read(most))

    def sha256(self) -> str:
        """Give the file's SHA-256 as hex digits; reads all of it, a piece at a time."""
        found = hashlib.sha256()
        with (
            _failing(f"{self.path} could not be read"),
            self._store.open(self._place.path, "rb", block_size=BLOCK) as file,
        ):
            while piece := file.read(1 << 20):
                found.update(piece)
        return found.hexdigest()

    def remove(self) -> None:
        """Remove the file."""
        with _failing(f"{self.path} could not be removed"):
            self._store.rm_file(self._place.path)

    @contextlib.contextmanager
    def stage(self) -> Iterator[IO[bytes]]:
        """Give a file on this machine to collect the bytes in, before :meth:`publish`; nothing of it stays.

        On a disk it is beside the place, hidden, so that publishing is a rename; what an attempt left that died in the
        middle goes now. For other stores it has no name, so that nothing is left by whoever dies.
        """
        with _failing(f"The file for {self.path} could not be written", OSError):
            if not self._on_disk:
                with tempfile.TemporaryFile(prefix="pika-") as file:
                    yield file
                return
            part = self._fresh_part()
            try:
                with part.open("x+b") as file:
                    yield file
            finally:
                part.unlink(missing_ok=True)

    def publish(self, stage: IO[bytes], content_type: str) -> None:
        """Show the staged file under its name, all of it at once, in place of any that is there."""
        with _failing(f"{self.path} could not be written"):
            stage.flush()
            stage.seek(0)
            if self._on_disk:
                os.fsync(stage.fileno())
                os.replace(stage.name, self._place.path)
            elif self._shown_whole:
                self._write(stage, self._place.path, self._shown_whole(content_type))
            else:
                self._write_and_move(stage)

    def put(self, content: bytes, content_type: str) -> None:
        """Show these bytes under its name, as :meth:`publish` does."""
        with self.stage() as stage:
            stage.write(content)
            self.publish(stage, content_type)

    def _fresh_part(self) -> Path:
        final = Path(self._place.path)
        final.parent.mkdir(parents=True, exist_ok=True)
        # also those of a task that writes to this path right now, which is then refused, or retried
        for left in final.parent.glob(f".{glob.escape(final.name)}.{_RANDOM}.part"):
            left.unlink(missing_ok=True)
        return final.with_name(f".{final.name}.{uuid.uuid4().hex[:8]}.part")

    def _write_and_move(self, stage: IO[bytes]) -> None:
        folder, _, name = self._place.path.rpartition("/")
        self._store.makedirs(folder, exist_ok=True)
        for left in self._store.glob(f"{folder}/.{name}.{_RANDOM}.part"):
            self._store.rm_file(left)
        part = f"{folder}/.{name}.{uuid.uuid4().hex[:8]}.part"
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


def checked_path(path: Any) -> str:
    """Give the path without blanks around it.

    :raises InvalidInput: it is none of a file: no text, empty, a folder's, or relative.
    """
    stripped = path.strip() if isinstance(path, str) else ""
    scheme, _, rest = stripped.rpartition("://")
    if not stripped or stripped.endswith("/"):
        raise InvalidInput(f"path={path!r} is not allowed: it takes the path of a file.", consequence=NOT_LOST)
    if scheme in _DISK and not os.path.isabs(rest):
        raise InvalidInput(f"path={path!r} is not allowed: it takes a URL, or an absolute path.", consequence=NOT_LOST)
    return stripped


@contextlib.contextmanager
def _failing(what: str, kind: type[Exception] = Exception) -> Iterator[None]:
    """Say of a store's own errors, of which each library has others, that they are a store's."""
    try:
        yield
    except PikaError:
        raise
    except kind as error:
        words = f"{type(error).__name__}: {error}".rstrip(": ").rstrip(".")
        raise StorageFailed(f"{what}: {words}.") from error
