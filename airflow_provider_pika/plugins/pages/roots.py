"""Which files may be shown: those under the folders that the deployment lists in ``[pika] clip_roots``. Pure.

A path comes from an XCom, which anybody who writes a Dag may write. So it is compared part by part with each root, and
what a store could read in two ways is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from airflow_provider_pika.exceptions import InvalidInput
from airflow_provider_pika.task.paths import DISK, checked_path

#: A URL of a store.
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)

#: What separates two roots in the setting.
_BETWEEN = re.compile(r"[,\n]")

#: What stands for this machine's disk.
LOCAL = "file"

#: What a store, or a URL, may read as something else than a part of a name.
_STRANGE = re.compile(r"[\\?#]|::")


@dataclass(frozen=True)
class Spot:
    """A file's place, or a folder's, in its parts.

    :param scheme: ``file``, or the store's, as it was written: ``s3a`` is not ``s3``.
    :param conn_id: the store's connection; None: its default.
    :param bucket: "" on a disk.
    :param parts: of the path, or of the key.
    """

    scheme: str
    conn_id: str | None
    bucket: str
    parts: tuple[str, ...]

    @classmethod
    def read(cls, text: str, conn_id: str | None = None) -> Spot | None:
        """Read a path or a URL; None: it is none, or it could be read in two ways.

        :param conn_id: the connection that a task names beside the path; it counts before the one in the path.
        """
        scheme, rest = _split(text)
        if scheme in DISK:
            return cls._on_disk(rest)
        if scheme.lower() != scheme or _STRANGE.search(rest):
            return None
        bucket, _, key = rest.partition("/")
        named, mark, bucket = bucket.rpartition("@")
        if not bucket or "@" in named or (mark and not named):
            return None
        parts = tuple(key.rstrip("/").split("/")) if key else ()
        if any(part in ("", ".", "..") for part in parts):
            return None
        return cls(scheme, conn_id or named or None, bucket, parts)

    @classmethod
    def _on_disk(cls, rest: str) -> Spot | None:
        if not rest.startswith("/"):
            return None
        parts = tuple(part for part in rest.split("/") if part)
        if "\0" in rest or any(part in (".", "..") for part in parts):
            return None
        return cls(LOCAL, None, "", parts)

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine's disk."""
        return self.scheme == LOCAL

    @property
    def path(self) -> str:
        """The path on the disk, or the bucket and the key as a store's own library takes it."""
        return "/".join(("", *self.parts)) if self.is_local else "/".join((self.bucket, *self.parts))

    @property
    def url(self) -> str:
        """The path as Airflow's ``ObjectStoragePath`` takes it, with its connection."""
        if self.is_local:
            return self.path
        return f"{self.scheme}://{f'{self.conn_id}@' if self.conn_id else ''}{self.path}"

    def covers(self, other: Spot) -> bool:
        """Return whether a file is under this folder; the disk's links are resolved when it is opened."""
        same = (self.scheme, self.conn_id, self.bucket) == (other.scheme, other.conn_id, other.bucket)
        return same and len(other.parts) > len(self.parts) and other.parts[: len(self.parts)] == self.parts


@dataclass(frozen=True)
class Roots:
    """The folders that the deployment lists.

    :param spots: of them.
    :param refused: what is listed, and is no folder to show files of.
    """

    spots: tuple[Spot, ...] = ()
    refused: tuple[str, ...] = ()

    @classmethod
    def read(cls, setting: str) -> Roots:
        """Read the setting: paths and URLs, with commas or line ends between them."""
        texts = [text for each in _BETWEEN.split(setting) if (text := each.strip())]
        spots = {text: spot for text in texts if (spot := Spot.read(text)) and (spot.parts or not spot.is_local)}
        return cls(tuple(spots.values()), tuple(text for text in texts if text not in spots))

    def __bool__(self) -> bool:
        return bool(self.spots)

    def find(self, path: str, conn_id: str | None = None) -> tuple[Spot, Spot] | None:
        """Return a root and the file's place under it; None: it is under none."""
        try:
            spot = Spot.read(checked_path(path), conn_id)
        except InvalidInput:
            return None
        root = next((root for root in self.spots if spot and root.covers(spot)), None)
        return (root, spot) if root and spot else None


def names_of(roots: Iterable[Spot]) -> str:
    """Return the roots as a sentence names them."""
    return ", ".join(root.url for root in roots)


def _split(text: str) -> tuple[str, str]:
    found = _SCHEME.match(text)
    return (found[1], text[found.end() :]) if found else ("", text)
