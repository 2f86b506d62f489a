"""Save a finished video: from fal's URL, which expires, to a file of the team's own that can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from numbers import Integral
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_pika.exceptions import InvalidInput, PikaError
from airflow_provider_pika.fal.ids import is_base_name, is_request_id
from airflow_provider_pika.hooks import DEFAULT_CONNECTION
from airflow_provider_pika.links.pika import OF_A_FILE
from airflow_provider_pika.operators.pika import submits, submitting_before
from airflow_provider_pika.strict_json import for_airflow
from airflow_provider_pika.task.arguments import check_switches, seconds_of
from airflow_provider_pika.task.errors import failing_what_sends_nothing, tells_why_it_fails
from airflow_provider_pika.task.paths import (
    NOT_LOST,
    POSTER,
    SIDECAR,
    as_text,
    check_alias_uri,
    check_known_path,
    checked_path,
)
from airflow_provider_pika.task.rendering import RendersNoData
from airflow_provider_pika.task.templates import known_now, read_text, template_test_of
from airflow_provider_pika.task.xcom import push_clip

if TYPE_CHECKING:
    from os import PathLike

    from airflow.providers.common.compat.sdk import Context
    from airflow.sdk import ObjectStoragePath

    from airflow_provider_pika.fal.prices import Cost
    from airflow_provider_pika.saving.metadata import Metadata
    from airflow_provider_pika.saving.object_store import Place
    from airflow_provider_pika.saving.save import Save
    from airflow_provider_pika.task.templates import Templated

#: Seconds that each of the two calls about the request's metadata may take; where one fails, the metadata has gaps.
METADATA_WITHIN = 15.0


class PikaVideoToObjectStorageOperator(RendersNoData, BaseOperator):
    """Save a clip to any storage that Airflow knows: whole, verified, once, and with its metadata beside it.

    It streams the file to the worker, and continues where a connection broke. It checks the file's length and type,
    and that it is a clip of the length and size that you asked for. Only then the clip appears under ``path``, all at
    once. Then come its poster, ``<path>.jpg``, and its metadata file, ``<path>.json``. A retry, or a clear, finds
    what was saved, and downloads nothing.

    It returns a JSON object: ``path``, ``bytes``, ``sha256``, ``width``, ``height``, ``seconds``, ``poster``,
    ``request_id``, ``sidecar``. Every asset in ``outlets`` gets an event with these, and fal's ``url``, the
    ``prompt`` and ``saved_at``.

    :param video: what the sensor returned, or the operator that waits, or a line of a batch: a JSON object with
        ``url`` and ``request_id``.
    :param path: where to: a URL such as ``s3://bucket/{{ run_id }}.mp4``, or an absolute path. It may be a text, an
        ``ObjectStoragePath`` or a ``pathlib.Path``. In its template, ``{{ task.video.request_id }}`` is the request's
        ID. Missing folders are made.
    :param conn_id: the storage's own connection. None: the one in the path (``s3://conn@bucket/...``), or its default.
    :param overwrite: replace a file of another request at the path. False: refuse to.
    :param must_fit: refuse a clip whose length or size is not what was asked for, within a fifth.
    :param poster: with PyAV, save a picture of the clip that is not black, at most 640 pixels and 100 KB. It never
        fails a save.
    :param max_bytes: the largest file that is accepted, in bytes. The default is 2 GiB.
    :param timeout: seconds that the download may take in all, in one attempt, without the upload. Then a retry begins
        anew.
    :param stall_timeout: seconds without a byte until the download reconnects, and continues where it stopped.
    :param pika_conn_id: the connection whose hosts may be downloaded from (``media_hosts``), and whose key asks fal
        for the metadata. The key never goes to the file's host.
    """

    template_fields: Sequence[str] = ("video", "path", "conn_id", "pika_conn_id")  # the path may need the video
    template_fields_renderers = {"video": "json"}  # noqa: RUF012 (Airflow's own declaration)
    ui_color = "#e3f0fa"
    operator_extra_links = OF_A_FILE

    def __init__(
        self,
        *,
        video: Templated[Mapping[str, Any] | str],
        path: Templated[str | ObjectStoragePath | PathLike[str]],
        conn_id: str | None = None,
        overwrite: bool = False,
        must_fit: bool = True,
        poster: bool = True,
        max_bytes: int = 2 * 1024**3,
        timeout: timedelta | float = 3600.0,
        stall_timeout: timedelta | float = 30.0,
        pika_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.video = video
        self.conn_id = conn_id
        self.overwrite = overwrite
        self.must_fit = must_fit
        self.poster = poster
        self.max_bytes = max_bytes
        self.timeout = seconds_of("timeout", timeout)
        self.stall_timeout = seconds_of("stall_timeout", stall_timeout)
        self.pika_conn_id = pika_conn_id
        with failing_what_sends_nothing():
            self.path = self._path_as_text("path", path)
            self._check_what_is_known()

    @tells_why_it_fails
    def execute(self, context: Context) -> dict[str, Any]:
        """Save the video, unless it has been; give what is there."""
        from airflow_provider_pika.hooks.pika import PikaHook
        from airflow_provider_pika.saving import lineage, lookup
        from airflow_provider_pika.saving.clip_index import entry_of
        from airflow_provider_pika.saving.metadata import saved_by

        with failing_what_sends_nothing(NOT_LOST):
            self._refuse_nothing("video", consequence=NOT_LOST)
            hook = PikaHook(self.pika_conn_id)
            save = self._save(context, hook)
            metadata = save.recognised() or lookup.land(
                save, lambda: self._outcome_now(hook, save.video), lambda: saved_by(context["ti"])
            )
        self._saved = (metadata, save.place)
        push_clip(context, lambda: entry_of(metadata, self.conn_id), self.log)
        lineage.emit_asset_events(context, list(self.outlets), metadata, save.place.uri, self.log.warning)
        try:
            lineage.collect_hook_lineage(hook, metadata, save.place.uri)
        except Exception as error:  # the file is there, and a retry would meet the same
            self.log.warning("Hook lineage did not get %s: %s", metadata.path, error)
        return for_airflow(metadata.in_short())  # type: ignore[no-any-return]

    def _check_what_is_known(self) -> None:
        """Refuse before a clip is generated what would be refused when it is there.

        :raises InvalidInput: naming the argument.
        """
        check_switches(self, "overwrite", "must_fit", "poster")
        if isinstance(self.max_bytes, bool) or not isinstance(self.max_bytes, Integral) or self.max_bytes < 1:
            raise InvalidInput(f"max_bytes={self.max_bytes!r} is not allowed: it takes bytes, more than 0.")
        own = ("video", "path", "conn_id", "pika_conn_id")
        self._check_references({name: getattr(self, name) for name in own})
        is_template = template_test_of(self)
        check_known_path(self.path, suffix=SIDECAR, is_template=is_template)
        if known_now({"path": self.path}, is_template) and any(
            type(each).__name__ == "AssetAlias" for each in self.outlets
        ):
            check_alias_uri(self.path)
        if submitter := _submits_only(self.video):
            raise InvalidInput(
                f"video={submitter}.output is not allowed: that is a request id. Set wait_for_completion=True there, "
                "or put a PikaVideoSensor between."
            )

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return the URL as input and the file as output, for OpenLineage's provider; it asks where it is installed."""
        from airflow_provider_pika.saving.lineage import openlineage_of

        saved: tuple[Metadata, Place] | None = getattr(self, "_saved", None)
        return openlineage_of(*saved) if saved else None

    def _save(self, context: Context, hook: Any) -> Save:
        from airflow_provider_pika.media.download import Limits
        from airflow_provider_pika.saving.object_store import Place, writer_of
        from airflow_provider_pika.saving.poster import Poster, can_be_made
        from airflow_provider_pika.saving.save import Save

        video = video_of(self.video, str(as_text(self.path)))
        self._refuse_nothing(consequence=NOT_LOST)  # after the video, of which the path may be made
        writer = writer_of(context["ti"])
        place = Place(checked_path(self.path, suffix=SIDECAR), self.conn_id, writer)
        return Save(
            video=video,
            place=place,
            sidecar=Place(place.path + SIDECAR, self.conn_id, writer),
            trust=hook.trust(),
            limits=Limits(self.timeout, self.stall_timeout, int(self.max_bytes)),
            told=lambda: self._told(context, hook, video),
            overwrite=self.overwrite,
            must_fit=self.must_fit,
            tell=self.log.info,
            poster=Poster(
                place=Place(place.path + POSTER, self.conn_id, writer),
                is_wanted=self.poster and can_be_made(self.log.info),
                overwrite=self.overwrite,
                tell=self.log.info,
            ),
        )

    def _outcome_now(self, hook: Any, video: Mapping[str, Any]) -> object:
        """Ask fal for the result once more, where its URL brings nothing."""
        try:
            with hook.get_conn(METADATA_WITHIN) as queue:
                return queue.poll(video["endpoint"], video["request_id"]).outcome if video["endpoint"] else None
        except Exception as error:
            self.log.info("fal could not be asked for the result again: %s", type(error).__name__)
            return None

    def _told(self, context: Context, hook: Any, video: Mapping[str, Any]) -> Mapping[str, Any]:
        """Ask the task that submitted, and fal, for the metadata; neither may cost the file."""
        from airflow_provider_pika.fal.lookup import Remembered
        from airflow_provider_pika.saving.metadata import told_by
        from airflow_provider_pika.task.xcom import pull_request

        asked: Mapping[str, Any] = {}
        remembered = Remembered()
        try:
            asked = pull_request(context, submitting_before(self), video["request_id"])
        except Exception as error:
            self.log.info("The request's input could not be read from the tasks before: %s", type(error).__name__)
        try:
            with hook.get_conn(METADATA_WITHIN) as queue:
                if endpoint := video.get("endpoint") or asked.get("endpoint"):
                    remembered = queue.remember(endpoint, video["request_id"])
        except Exception as error:
            why = error.message if isinstance(error, PikaError) else type(error).__name__  # it may quote a password
            self.log.info("The metadata file has gaps: %s", why)
        return told_by(asked, remembered, lambda units: self._cost(hook, video, units))

    def _cost(self, hook: Any, video: Mapping[str, Any], units: float | None) -> Cost:
        """Return what the task said that waited for the video; what it did not know may be known now."""
        from airflow_provider_pika.fal.prices import Cost
        from airflow_provider_pika.hooks.costs import cost_of

        told = Cost.from_json(video.get("cost"))
        return cost_of(hook, video["endpoint"], units) if told.amount is None and video["endpoint"] else told


def video_of(value: Any, path: str = "") -> Mapping[str, Any]:
    """Return the video, as the sensor returned it; None for what is said in another type than the sensor's.

    :param path: its template was rendered before, and may have used any of the video.
    :raises InvalidInput: it is none: no JSON object, without ``url``, or with a ``request_id`` or a ``file_name`` that
        is none.
    """
    video = read_text(value)
    if reason := _why_no_video(video):
        raise InvalidInput(f"video={str(value)[:200]!r} is not allowed: {reason}.", consequence=NOT_LOST)
    if not (isinstance(video, Mapping) and all(isinstance(video.get(name), str) for name in ("url", "request_id"))):
        raise InvalidInput(
            f"video={str(value)[:200]!r} is not allowed: it takes what PikaVideoSensor returns, or "
            "PikaTextToVideoOperator with wait_for_completion=True: a JSON object with url and request_id.",
            consequence=NOT_LOST,
        )
    kinds = {"endpoint": str, "file_name": str, "file_size": int, "inference_time": int | float}
    known = {name: video.get(name) if isinstance(video.get(name), kind) else None for name, kind in kinds.items()}
    name = known["file_name"]
    if not is_request_id(video["request_id"]):
        raise _no_name("request_id", video["request_id"], "the id that the submit returned")
    if name is not None and not is_base_name(name) and name.strip(". ") and name in path:
        raise _no_name("file_name", name, "a file's name without a folder, or null, where a path uses it")
    return {**video, **known}


def _why_no_video(video: Any) -> str | None:
    """Return what a list is that stands for a video; None for what is none."""
    mapping = "PikaVideoToObjectStorageOperator.partial(...).expand(video=...)"
    if type(video) is tuple and len(video) == 2 and isinstance(video[0], str):
        return (
            "that is one entry of a video, since .expand(video=...) was given one video, and maps over its entries. "
            "Hand it over with video=..., or map over a list of videos"
        )
    if isinstance(video, Sequence) and not isinstance(video, str | bytes):
        return f"that is a list of {len(video)}, and it takes one video. Map over it: {mapping}"
    return None


def _no_name(field: str, value: str, kind: str) -> InvalidInput:
    return InvalidInput(f"video's {field}={value[:200]!r} is not allowed: it takes {kind}.", consequence=NOT_LOST)


def _submits_only(video: Any) -> str | None:
    """Return the task whose output a video is, if that does not wait for it, and so gives no video."""
    source = getattr(video, "operator", None)
    if source is None or getattr(video, "key", None) != "return_value" or not submits(source):
        return None
    waits = getattr(source, "wait_for_completion", None)  # a mapped task's output is a list, which is refused as one
    text = waits.strip().lower() if isinstance(waits, str) else None
    return str(source.task_id) if waits is False or text == "false" else None  # a template may render either
