"""A clip's poster: a small picture of it, beside it. It is a help, so nothing about it ever fails a save."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_pika.exceptions import PathTaken, PikaError
from airflow_provider_pika.media.decoding import has_pyav

if TYPE_CHECKING:
    from airflow_provider_pika.saving.object_store import Place


def can_be_made(tell: Callable[[str], object]) -> bool:
    """Return whether posters can be made here, and say it if not: a task asks once, however many clips it saves.

    :param tell: takes a line for the task's log.
    """
    if has_pyav():
        return True
    tell("There are no posters without PyAV. Install it (pip install av), or set poster=False.")
    return False


@dataclass(frozen=True)
class Poster:
    """Where a clip's poster is to be.

    :param place: beside the clip.
    :param is_wanted: make one; if not, an earlier clip's is only removed together with its metadata.
    :param overwrite: replace any file that is there.
    :param tell: takes a line for the task's log.
    """

    place: Place
    is_wanted: bool
    overwrite: bool
    tell: Callable[[str], object]

    def publish(self, content: bytes | None) -> str | None:
        """Show the poster, all of it at once, and return its path; None if there is none.

        :param content: a JPEG; None if none was made.
        """
        if content is None:
            return None
        try:
            if not self._is_there(content):
                self.place.put(content, "image/jpeg")
        except PikaError as error:
            self.tell(f"There is no poster: {error.message}")
            return None
        return self.place.path

    def is_still_there(self) -> bool:
        """Return whether there is a file, of which the metadata says that it is the poster."""
        try:
            if self.place.size() is not None:
                return True
            self.tell(f"The poster {self.place.path} is not there any more.")
        except PikaError as error:
            self.tell(f"There is no poster: {error.message}")
        return False

    def remove(self) -> None:
        """Remove an earlier clip's poster, if it is there."""
        try:
            if self.place.is_link() or self.place.size() is not None:
                self.place.remove()
        except PikaError as error:
            self.tell(f"The poster of an earlier clip was not removed: {error.message}")

    def _is_there(self, content: bytes) -> bool:
        """Return whether this very poster is there already: an attempt died after it.

        :raises PathTaken: there is something else, which is not to be replaced.
        """
        if self.overwrite and self.place.is_link():
            return False
        if (size := self.place.size()) is None or self.overwrite:
            return False
        if size == len(content) and self.place.sha256(size) == hashlib.sha256(content).hexdigest():
            return True
        raise PathTaken(f"{self.place.path} has another file, which is left as it is.")
