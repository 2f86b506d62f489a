"""From a video's URL to a file in a team's own storage with its story beside it: once, whole, and verified.

The file is shown before its sidecar. So where the sidecar is, the file is whole; and a file without one, which an
attempt left that died between the two, is compared with what the URL gives, and kept if it is the same.
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
from airflow_provider_pika.saving.metadata import LONGEST, Story, shown_by
from airflow_provider_pika.saving.object_store import Place
from airflow_provider_pika.task.paths import SIDECAR

if TYPE_CHECKING:
    from airflow_provider_pika.media.mp4 import Clip
    from airflow_provider_pika.media.url_policy import Trust

#: What a file is published as where its host did not say that it is a video.
_MP4 = "video/mp4"

#: Characters of a request's id that an error shows.
_ID = 64


@dataclass(frozen=True)
class Landing:
    """Where one video is to land, and what is known of it.

    :param video: what the sensor returned: at least ``url`` and ``request_id``.
    :param place: where the file is to be, and ``sidecar`` its story.
    :param trust: where it may be fetched from.
    :param limits: what the download may take.
    :param told: the story's fields that fal and the submit tell (``story.told_by``), for the checks and the sidecar.
    :param overwrite: replace a file of another request.
    :param must_fit: refuse a video that is not of the length and size that were asked for.
    :param tell: takes a line for the task's log.
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

    def recognised(self) -> Story | None:
        """Return the story of the file, if this request's is there already.

        :raises PathTaken: another one is, and is not to be replaced.
        """
        size, story = self._size_of(self.place), self._kept_story()
        if isinstance(story, Story) and self._is_ours(size, story):
            self.tell(f"{self.place.path} has been saved before, for the same request; nothing is fetched.")
            return story.model_copy(update={"path": self.place.path})  # it may have been moved with its sidecar
        if (why := self._why_taken(size, story)) and not self.overwrite:
            raise PathTaken(f"{self.place.path} {why}.", request_id=self.video["request_id"])
        return None

    def land(self, saved: Callable[[], Mapping[str, Any]]) -> Story:
        """Fetch the video, verify it, and publish it with its story.

        :param saved: gives the story's fields of the task that saves it.
        :raises PikaError: as :meth:`Download.fetch`; or it is not the video, or cannot be stored.
        """
        with self.place.stage() as stage:
            download = Download(stage, self.trust, self.limits, self.tell)
            fetched = download.fetch(self.video["url"], self.video.get("file_size") if self.must_fit else None)
            stage.flush()
            told = self.told()  # not before: fal's history shows a request late
            clip = self._verified(stage, fetched, told)
            story = self._story(fetched, {**shown_by(clip), **told, **saved()})
            sidecar = story.as_sidecar()  # what cannot be told must not be found out when the file is there
            if not self._is_there(fetched):
                self._forget_the_story_of_another()
                self.place.publish(stage, story.content_type, story.sha256)
        self.sidecar.put(sidecar, "application/json")
        self.tell(f"Saved {story.path}: {story.size} bytes, SHA-256 {story.sha256}")
        self.tell(f"Its story is {self.sidecar.path}")
        return story

    def _story(self, fetched: Fetched, fields: Mapping[str, Any]) -> Story:
        is_said = (fetched.content_type or "").startswith("video/")
        return Story(
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

    def _forget_the_story_of_another(self) -> None:
        """Remove an earlier file's sidecar before the new one shows: a crash between the two leaves no wrong story.

        What may not be replaced, ``recognised`` has refused.
        """
        if self.sidecar.is_link() or self.sidecar.size() is not None:
            self.sidecar.remove()

    def _verified(self, stage: IO[bytes], fetched: Fetched, told: Mapping[str, Any]) -> Clip:
        clip = probe(stage, fetched.size, self.tell)
        asked = told.get("input")
        if not asked:
            self.tell("What was asked for is not known here, so the video's length and size are not compared with it.")
        elif self.must_fit and (reason := misfit(clip, asked)):
            raise VideoRejected(reason)
        return clip

    def _is_there(self, fetched: Fetched) -> bool:
        """Return whether this very file is there already: an attempt died after it, or somebody was quicker."""
        if self.overwrite or (size := self.place.size()) is None:
            return False
        if size == fetched.size and self.place.sha256(size) == fetched.sha256:
            self.tell(f"{self.place.path} is there already, the same to the byte; it is kept.")
            return True
        raise PathTaken(f"{self.place.path} has another file.", request_id=self.video["request_id"])

    def _kept_story(self) -> Story | bool | None:
        """Return the story beside the file; None if there is none, False if what is there is none."""
        return None if self._size_of(self.sidecar) is None else (Story.read(self.sidecar.read(LONGEST)) or False)

    def _size_of(self, place: Place) -> int | None:
        """Return the bytes of a file; a link that is to be replaced is none, since it is not followed."""
        return None if self.overwrite and place.is_link() else place.size()

    def _is_ours(self, size: int | None, story: Story) -> bool:
        if size is None or size > self.limits.size:  # it could be read for hours: whoever made it says how long
            return False
        same = story.request_id == self.video["request_id"] and story.size == size
        return same and self.place.sha256(size) == story.sha256

    def _why_taken(self, size: int | None, story: Story | bool | None) -> str | None:
        """Return what is there that is not this request's; None if there may be nothing of the kind."""
        if story is False:
            return f"has beside it a {SIDECAR} that is no story of this version"
        if size is None:
            return None
        if isinstance(story, Story):
            return self._why_not_ours(size, story)
        if self.must_fit and self.video.get("file_size") not in (None, size):
            return "has a file without a story, which is not this video by its length"
        return None  # it may be this very video: that is seen when it has been fetched

    def _why_not_ours(self, size: int, story: Story) -> str:
        if story.request_id != self.video["request_id"]:
            known = is_request_id(story.request_id) and len(story.request_id) <= _ID  # it may be anybody's text
            return f"holds the video of {f'request {story.request_id}' if known else 'another request'}"
        if size > self.limits.size:
            return f"has {size} bytes, more than max_bytes={self.limits.size}, so it was not compared"
        return "is not what was saved there for this request, by its SHA-256"
