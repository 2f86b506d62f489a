"""From a video's URL to a file in a team's own storage with its metadata beside it: once, whole, and verified.

The file is shown before its sidecar, and its poster between the two. So where the sidecar is, all is there. A file
without one, which an attempt left that died before it, is compared with what the URL gives, and kept if it is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_pika.exceptions import PathTaken, VideoRejected
from airflow_provider_pika.fal.ids import is_request_id
from airflow_provider_pika.media.download import Download, Fetched, Limits
from airflow_provider_pika.media.url_policy import public_url
from airflow_provider_pika.media.verify import misfit, probe
from airflow_provider_pika.saving.metadata import LONGEST, Metadata, shown_by
from airflow_provider_pika.saving.object_store import Place
from airflow_provider_pika.task import metrics
from airflow_provider_pika.task.paths import POSTER, SIDECAR

if TYPE_CHECKING:
    from airflow_provider_pika.media.decoding import Forks
    from airflow_provider_pika.media.mp4 import Clip
    from airflow_provider_pika.media.url_policy import Trust
    from airflow_provider_pika.saving.poster import Poster

#: What a file is published as where its host did not say that it is a video.
_MP4 = "video/mp4"

#: Characters of a request's id that an error shows.
_ID = 64


@dataclass(frozen=True)
class Save:
    """Where one video is to land, and what is known of it.

    :param video: what the sensor returned: at least ``url`` and ``request_id``.
    :param place: where the file is to be, and ``sidecar`` its metadata.
    :param trust: where it may be fetched from.
    :param limits: what the download may take.
    :param told: the metadata's fields that fal and the submit tell (``metadata.told_by``), for the checks and the file.
    :param overwrite: replace a file of another request.
    :param must_fit: refuse a video that is not of the length and size that were asked for.
    :param tell: takes a line for the task's log.
    :param poster: where its poster is to be; None: there is none.
    :param download: makes the download, where it shares something with others; as :class:`Download`.
    :param forks: makes the decoders' processes, where many clips are saved.
    """

    video: Mapping[str, Any]
    place: Place
    sidecar: Place
    trust: Trust
    limits: Limits
    told: Callable[[], Mapping[str, Any]]
    overwrite: bool
    must_fit: bool
    tell: Callable[[str], object]
    poster: Poster | None = None
    download: Callable[..., Download] | None = None
    forks: Forks | None = None

    def recognised(self) -> Metadata | None:
        """Return the metadata of the file, if this request's is there already.

        :raises PathTaken: another one is, and is not to be replaced.
        """
        size, metadata = self._size_of(self.place), self._kept_metadata()
        if isinstance(metadata, Metadata) and self._is_ours(size, metadata):
            self.tell(f"{self.place.path} was saved before, for the same request. Nothing is downloaded.")
            # it may have been moved with its sidecar
            return metadata.model_copy(update={"path": self.place.path, "poster": self._kept_poster(metadata)})
        if (why := self._why_taken(size, metadata)) and not self.overwrite:
            raise PathTaken(f"{self.place.path} {why}.", request_id=self.video["request_id"])
        return None

    def land(self, saved: Callable[[], Mapping[str, Any]]) -> Metadata:
        """Fetch the video, verify it, and publish it with its metadata.

        :param saved: gives the metadata's fields of the task that saves it.
        :raises PikaError: as :meth:`Download.fetch`; or it is not the video, or cannot be stored.
        """
        with self.place.stage(SIDECAR) as stage:
            download = (self.download or Download)(stage, self.trust, self.limits, self.tell)
            fetched = download.fetch(self.video["url"], self.video.get("file_size") if self.must_fit else None)
            stage.flush()
            told = self.told()  # not before: fal's history shows a request late
            clip = self._verified(stage, fetched, told)
            metadata = self._metadata(fetched, {**shown_by(clip), **told, **saved()})
            metadata.as_sidecar()  # what cannot be told must not be found out when the file is there
            if not self._is_there(fetched):
                self._forget_the_metadata_of_another()
                self.place.publish(stage, metadata.content_type, metadata.sha256)
        if self.poster:
            metadata = metadata.model_copy(update={"poster": self.poster.publish(clip.poster)})
        self.sidecar.put(metadata.as_sidecar(), "application/json")
        metrics.send(metrics.of_queue(metadata.endpoint, metadata.submitted_at, metadata.started_at))
        self.tell(f"Saved {metadata.path}: {metadata.size} bytes, SHA-256 {metadata.sha256}")
        if metadata.poster:
            self.tell(f"Its poster is {metadata.poster}")
        self.tell(f"Its metadata is {self.sidecar.path}")
        return metadata

    def _metadata(self, fetched: Fetched, fields: Mapping[str, Any]) -> Metadata:
        is_said = (fetched.content_type or "").startswith("video/")
        return Metadata(
            path=self.place.path,
            bytes=fetched.size,
            sha256=fetched.sha256,
            content_type=str(fetched.content_type) if is_said else _MP4,
            request_id=self.video["request_id"],
            url=public_url(self.video["url"]),
            endpoint=self.video.get("endpoint"),
            inference_time=self.video.get("inference_time"),
            **fields,
        )

    def _forget_the_metadata_of_another(self) -> None:
        """Remove an earlier file's sidecar before the new one shows: a crash between the two leaves no wrong metadata.

        Its poster goes first: nobody knows it for one without its sidecar. What may not be replaced, ``recognised`` has
        refused.
        """
        if self.sidecar.is_link() or self.sidecar.size() is not None:
            earlier = self._kept_metadata()
            if self.poster and isinstance(earlier, Metadata) and earlier.poster:
                self.poster.remove()
            self.sidecar.remove()

    def _verified(self, stage: IO[bytes], fetched: Fetched, told: Mapping[str, Any]) -> Clip:
        with_poster = self.poster is not None and self.poster.is_wanted
        clip = probe(stage, fetched.size, self.tell, with_poster=with_poster, forks=self.forks)
        asked = told.get("input")
        if not asked:
            self.tell("The request's input is unknown here, so the clip's length and size are not checked.")
        elif self.must_fit and (reason := misfit(clip, asked)):
            raise VideoRejected(reason)
        return clip

    def _is_there(self, fetched: Fetched) -> bool:
        """Return whether this very file is there already: an attempt died after it, or somebody was quicker."""
        if self.overwrite or (size := self.place.size()) is None:
            return False
        if size == fetched.size and self.place.sha256(size) == fetched.sha256:
            self.tell(f"{self.place.path} is there already with the same content. It is kept.")
            return True
        raise PathTaken(f"{self.place.path} has another file.", request_id=self.video["request_id"])

    def _kept_metadata(self) -> Metadata | bool | None:
        """Return the metadata beside the file; None if there is none, False if what is there is none."""
        return None if self._size_of(self.sidecar) is None else (Metadata.read(self.sidecar.read(LONGEST)) or False)

    def _kept_poster(self, metadata: Metadata) -> str | None:
        if metadata.poster is None or (self.poster and not self.poster.is_still_there()):
            return None
        return self.place.path + POSTER

    def _size_of(self, place: Place) -> int | None:
        """Return the bytes of a file; a link that is to be replaced is none, since it is not followed."""
        return None if self.overwrite and place.is_link() else place.size()

    def _is_ours(self, size: int | None, metadata: Metadata) -> bool:
        if size is None or size > self.limits.size:  # it could be read for hours: whoever made it says how long
            return False
        same = metadata.request_id == self.video["request_id"] and metadata.size == size
        return same and self.place.sha256(size) == metadata.sha256

    def _why_taken(self, size: int | None, metadata: Metadata | bool | None) -> str | None:
        """Return what is there that is not this request's; None if there may be nothing of the kind."""
        if metadata is False:
            return f"has a {SIDECAR} file beside it that is no metadata file of this version"
        if size is None:
            return None
        if isinstance(metadata, Metadata):
            return self._why_not_ours(size, metadata)
        if self.must_fit and self.video.get("file_size") not in (None, size):
            return "has a file without metadata, which is not this video by its length"
        return None  # it may be this very video: that is seen when it has been fetched

    def _why_not_ours(self, size: int, metadata: Metadata) -> str:
        if metadata.request_id != self.video["request_id"]:
            known = is_request_id(metadata.request_id) and len(metadata.request_id) <= _ID  # it may be anybody's text
            return f"holds the video of {f'request {metadata.request_id}' if known else 'another request'}"
        if size > self.limits.size:
            return f"has {size} bytes, more than max_bytes={self.limits.size}, so it was not compared"
        return "is not the file that was saved there for this request: its SHA-256 differs"
