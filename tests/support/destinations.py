"""Where a batch's clips are saved, seen from outside: a folder, or a bucket; and whether anything half ever shows."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, Self

from tests.support.s3 import RunningS3

#: What tells the whole of a file: its bytes, and a digest of them.
Seen = tuple[int, str]


class Destination(Protocol):
    """What both are."""

    #: As the Dag is told of it.
    folder: str

    def names(self) -> list[str]:
        """Return the name of all that is there, hidden files too."""

    def read(self, name: str) -> bytes:
        """Return the content of a file."""

    def seen(self) -> Iterator[tuple[str, Seen]]:
        """Yield each clip that shows now, with what tells it as it is now."""

    def digest(self, content: bytes) -> str:
        """Return the digest that ``seen`` has of this content."""


class Folder:
    """A folder of this machine."""

    def __init__(self, path: Path) -> None:
        self.folder = str(path)
        self._path = path
        self._known: set[str] = set()

    def names(self) -> list[str]:
        """Return the name of all that is there, hidden files too."""
        return [path.name for path in self._path.iterdir()] if self._path.exists() else []

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        return (self._path / name).read_bytes()

    def seen(self) -> Iterator[tuple[str, Seen]]:
        """Yield each clip at its first sight."""
        for name in self.names():
            if name.endswith(".mp4") and not name.startswith(".") and name not in self._known:
                self._known.add(name)
                content = self.read(name)
                yield name, (len(content), self.digest(content))

    def digest(self, content: bytes) -> str:
        """Return its SHA-256."""
        return hashlib.sha256(content).hexdigest()


class Bucket:
    """A folder of a bucket."""

    def __init__(self, s3: RunningS3, prefix: str) -> None:
        self.folder = f"s3://clips_store@{s3.bucket}/{prefix}"
        self._bucket = s3.bucket
        self._client = s3.client  # one for all: it takes longer to make than to use
        self._prefix = f"{prefix}/"

    def names(self) -> list[str]:
        """Return the name of all that is there."""
        return [name for name, _ in self._listed()]

    def read(self, name: str) -> bytes:
        """Return the content of an object."""
        content: bytes = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)["Body"].read()
        return content

    def seen(self) -> Iterator[tuple[str, Seen]]:
        """Yield each clip with the digest that the store has made of it: that costs no download."""
        return ((name, seen) for name, seen in self._listed() if name.endswith(".mp4"))

    def digest(self, content: bytes) -> str:
        """Return the ETag of an object that was put in one piece."""
        return hashlib.md5(content, usedforsecurity=False).hexdigest()

    def _listed(self) -> Iterator[tuple[str, Seen]]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
        for page in pages:
            for entry in page.get("Contents", []):
                yield entry["Key"].removeprefix(self._prefix), (entry["Size"], entry["ETag"].strip('"'))


class Watcher:
    """Looks at a destination again and again while it is entered; ``seen`` has all that ever showed under a name."""

    def __init__(self, destination: Destination) -> None:
        self.seen: dict[str, set[Seen]] = {}
        self._destination = destination
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            for name, seen in self._destination.seen():
                self.seen.setdefault(name, set()).add(seen)
            self._over.wait(max(0.05, 5 * (time.monotonic() - began)))  # a listing of thousands has its price
