"""Save all clips of a batch: thousands of files in one task."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_pika.exceptions import InvalidInput, PathTaken, PikaError, RecordUnavailable, TryLater
from airflow_provider_pika.hooks import DEFAULT_CONNECTION
from airflow_provider_pika.links.pika import OF_A_BATCH
from airflow_provider_pika.operators._saving import AT_ONCE, MAX_BYTES, STALL_TIMEOUT, TIMEOUT, saving_terms_of
from airflow_provider_pika.saving.clip_paths import ClipPaths, check_known_paths
from airflow_provider_pika.strict_json import for_airflow, shown
from airflow_provider_pika.task.arguments import check_fail_on, check_switches, number_of, seconds_of
from airflow_provider_pika.task.errors import failing_what_sends_nothing, tells_why_it_fails
from airflow_provider_pika.task.paths import NOT_LOST, check_known_path, checked_path
from airflow_provider_pika.task.rendering import RendersNoData
from airflow_provider_pika.task.templates import read_text, template_test_of
from airflow_provider_pika.task.xcom import push_clip

if TYPE_CHECKING:
    from os import PathLike

    from airflow.providers.common.compat.sdk import Context
    from airflow.sdk import ObjectStoragePath

    from airflow_provider_pika.fal.prices import Total
    from airflow_provider_pika.saving.batch import BatchSave
    from airflow_provider_pika.task.templates import Templated

#: Clips that are saved at once: each has a thread, a connection, and for a bucket up to 32 MB of memory.
MOST_AT_ONCE = 64

#: What a manifest that cannot be written means, once the clips are saved.
_SAVED = "The saved clips stay. A retry finds them, downloads none again, and writes the manifest."

#: What a manifest may replace, in words.
_KIND = "manifest of saved clips"

#: Characters of a task's and a run's id in the name of a manifest.
_NAME = 100


class PikaBatchToObjectStorageOperator(RendersNoData, BaseOperator):
    """Save every clip of a batch, as ``PikaVideoToObjectStorageOperator`` saves one, several at a time.

    A clip that cannot be saved does not stop the others. A retry, or a clear, saves what is missing, and downloads
    nothing twice. Memory stays flat for any number of clips.

    It returns ``{"total", "saved", "failed", "unsaved", "bytes", "cost", "clips", "manifest"}``. ``clips`` has a line
    for each input of the batch, and is None above 100. ``manifest`` is the path of the file with the same lines, which
    ``read_manifest`` reads. A task that fails pushes the same object as XCom ``manifest``.

    :param batch: what ``PikaTextToVideoBatchOperator`` returned, or its XCom ``manifest``.
    :param path: where to, with fields for each clip: ``{index}``, ``{name}``, ``{request_id}`` and ``{seed}``, with
        Python's formats. For example ``s3://clips/{{ run_id }}/{index:05d}.mp4``.
    :param conn_id: the storage's own connection. None: the one in the path (``s3://conn@bucket/...``), or its default.
    :param at_once: clips that are saved at the same time, 1 to 64. Each may take 32 MB of memory on its way to a
        bucket.
    :param fail_on: when clips that could not be saved fail the task, at the end: ``"any"``, ``"all"``, or more than a
        share, such as 0.05. Clips that failed at fal do not count, since the batch has judged them.
    :param overwrite: replace files of other requests. False: refuse to.
    :param must_fit: refuse a clip whose length or size is not what was asked for, within a fifth.
    :param poster: with PyAV, save a picture of each clip as ``<path>.jpg``, at most 640 pixels and 100 KB.
    :param max_bytes: the largest file that is accepted, in bytes. The default is 2 GiB.
    :param timeout: seconds that the download of one clip may take in all.
    :param stall_timeout: seconds without a byte until a download reconnects, and continues where it stopped.
    :param manifest_path: a file for the lines. None: above 100 lines, a file in the folder of the clips.
    :param pika_conn_id: the connection whose hosts may be downloaded from, and whose key asks fal for the metadata.
    """

    template_fields: Sequence[str] = ("batch", "path", "conn_id", "manifest_path", "pika_conn_id")
    template_fields_renderers = {"batch": "json"}  # noqa: RUF012 (Airflow's own declaration)
    ui_color = "#e3f0fa"
    operator_extra_links = OF_A_BATCH

    def __init__(
        self,
        *,
        batch: Templated[Mapping[str, Any] | str],
        path: Templated[str | ObjectStoragePath | PathLike[str]],
        conn_id: str | None = None,
        at_once: int = AT_ONCE,
        fail_on: str | float = "any",
        overwrite: bool = False,
        must_fit: bool = True,
        poster: bool = True,
        max_bytes: int = MAX_BYTES,
        timeout: timedelta | float = TIMEOUT,
        stall_timeout: timedelta | float = STALL_TIMEOUT,
        manifest_path: str | ObjectStoragePath | PathLike[str] | None = None,
        pika_conn_id: str = DEFAULT_CONNECTION,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.batch = batch
        self.conn_id = conn_id
        self.at_once = number_of(at_once)
        self.fail_on = number_of(fail_on)
        self.overwrite = overwrite
        self.must_fit = must_fit
        self.poster = poster
        self.max_bytes = number_of(max_bytes)
        self.timeout = seconds_of("timeout", timeout)
        self.stall_timeout = seconds_of("stall_timeout", stall_timeout)
        self.pika_conn_id = pika_conn_id
        with failing_what_sends_nothing():
            self.path = self._path_as_text("path", path)
            self.manifest_path = self._path_as_text("manifest_path", manifest_path)
            self._check_what_is_known()

    @tells_why_it_fails
    def execute(self, context: Context) -> dict[str, Any]:
        """Save what is missing, and return what there is."""
        from airflow_provider_pika.saving.batch import BatchSave

        self._killed = False
        with failing_what_sends_nothing(NOT_LOST):
            self._refuse_nothing("batch", consequence=NOT_LOST)
            self._refuse_nothing(consequence=NOT_LOST)
            batch = batch_of(self.batch)
            paths = ClipPaths(str(self.path))
            named = self._named_manifest()
            manifest_path = named or paths.folder + self._own_name(context)
            paths.reserve(manifest_path)
            terms = saving_terms_of(
                context,
                self.pika_conn_id,
                conn_id=self.conn_id,
                limits=(self.timeout, self.stall_timeout, self.max_bytes),
                overwrite=self.overwrite,
                must_fit=self.must_fit,
                poster=self.poster,
                at_once=self.at_once,
                tell=self.log.info,
                warn=self.log.warning,
                debug=self.log.debug,
                check=self._stop_if_killed,
            )
            with BatchSave(terms, paths) as saving:
                saving.plan(_lines_of(batch))
                wanted = manifest_path if named or saving.totals.total > _inline() else None
                if wanted:
                    self._check_manifest(wanted)
                totals = saving.totals
                self.log.info("Saving %s clips of %s lines to %s", totals.clips, totals.total, paths.template)
                saving.run()
                return self._conclude(context, saving, wanted)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Return the manifest as output, and what the clips cost, for OpenLineage's provider; it asks where it is."""
        from airflow_provider_pika.saving.lineage import openlineage_of_batch
        from airflow_provider_pika.saving.object_store import Place

        saved: tuple[Total, str | None] | None = getattr(self, "_saved", None)
        if saved is None:
            return None
        cost, manifest = saved
        return openlineage_of_batch(cost, Place(manifest, self.conn_id) if manifest else None)

    def on_kill(self) -> None:
        """Save no more; the task's own thread ends the others. Airflow calls this in a signal handler."""
        self._killed = True  # and nothing else: what the signal has interrupted may hold a lock

    def _stop_if_killed(self) -> None:
        if self._killed:
            raise TryLater("The task was told to stop. What is saved stays, and a retry saves the rest.")

    def _conclude(self, context: Context, saving: BatchSave, manifest_path: str | None) -> dict[str, Any]:
        from airflow_provider_pika.batch.item import is_failure
        from airflow_provider_pika.saving import saved_lines
        from airflow_provider_pika.saving.clip_index import batch_entry_of

        totals = saving.totals
        self.log.info("Saved: %s", saving.in_words())
        unwritten = self._write_manifest(manifest_path, saving) if manifest_path else None
        lines = list(saving.inline_lines()) if totals.total <= _inline() else None
        manifest = None if unwritten else manifest_path
        cost = saved_lines.total_of(saving.lines())
        value = for_airflow({**totals.as_json(), "cost": cost.as_json(), "clips": lines, "manifest": manifest})
        push_clip(context, lambda: batch_entry_of(value, saving.lines(), self.conn_id), self.log)
        failed = saving.hindrance or is_failure(totals.unsaved, totals.clips, self.fail_on)
        if error := totals.failure(saving.hindrance) if failed else unwritten:
            context["ti"].xcom_push(key="manifest", value=value)
            raise error
        self._emit(context, value)
        self._saved = cost, manifest
        return value  # type: ignore[no-any-return]

    def _write_manifest(self, path: str, saving: BatchSave) -> PikaError | None:
        """Return what stood against it: that must not hide how the saving ended."""
        from airflow_provider_pika.saving import json_lines
        from airflow_provider_pika.saving.saved_lines import is_ours

        try:
            json_lines.replace(path, saving.lines(), is_ours, _KIND, _SAVED, self.conn_id)
        except (PathTaken, RecordUnavailable) as error:
            self.log.warning("%s", error)
            return error
        return None

    def _emit(self, context: Context, value: Mapping[str, Any]) -> None:
        from airflow_provider_pika.saving.lineage import emit_totals
        from airflow_provider_pika.saving.object_store import Place

        extra = {name: each for name, each in value.items() if name != "clips"}
        uri = Place(value["manifest"], self.conn_id).uri if value["manifest"] else None
        emit_totals(context, list(self.outlets), extra, uri, self.log.warning)

    def _named_manifest(self) -> str | None:
        if self.manifest_path is None:
            return None
        return checked_path(self.manifest_path, "manifest_path")

    def _own_name(self, context: Context) -> str:
        """Return a name that no other run's manifest has, and this one's at every try."""
        ti = context["ti"]
        whole = f"{ti.dag_id}/{ti.task_id}/{ti.run_id}/{ti.map_index}"
        readable = re.sub(r"[^A-Za-z0-9_.-]", "-", f"{ti.task_id}-{ti.run_id}")[:_NAME]
        return f"{readable}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}.jsonl"

    def _check_manifest(self, path: str) -> None:
        """Refuse what cannot be replaced, before anything is fetched."""
        from airflow_provider_pika.saving import json_lines
        from airflow_provider_pika.saving.object_store import Place
        from airflow_provider_pika.saving.saved_lines import is_ours

        try:
            json_lines.check_replaceable(Place(path, self.conn_id), is_ours, _KIND)
        except PathTaken as error:
            raise PathTaken(error.message, consequence=NOT_LOST) from error

    def _check_what_is_known(self) -> None:
        """Refuse before a clip is generated what would be refused when all are there.

        :raises InvalidInput: naming the argument.
        """
        check_switches(self, "overwrite", "must_fit", "poster")
        check_fail_on(self.fail_on)
        if type(self.max_bytes) is not int or self.max_bytes < 1:
            raise InvalidInput(f"max_bytes={self.max_bytes!r} is not allowed: it takes bytes, more than 0.")
        if type(self.at_once) is not int or not 1 <= self.at_once <= MOST_AT_ONCE:
            raise InvalidInput(f"at_once={self.at_once!r} is not allowed: it takes 1 to {MOST_AT_ONCE}.")
        self._check_references({name: getattr(self, name) for name in PikaBatchToObjectStorageOperator.template_fields})
        is_template = template_test_of(self)
        check_known_paths(self.path, is_template)
        if self.manifest_path is not None:
            check_known_path(self.manifest_path, "manifest_path", is_template=is_template)


def batch_of(value: Any) -> Mapping[str, Any]:
    """Return what a batch returned.

    :raises InvalidInput: it is none of that.
    """
    batch = read_text(value)
    if isinstance(batch, Mapping):
        clips, manifest = batch.get("clips"), batch.get("manifest")
        if (isinstance(clips, Sequence) and not isinstance(clips, str)) or isinstance(manifest, str):
            return batch
    raise InvalidInput(
        f"batch={shown(batch)[:200]} is not allowed: it takes what PikaTextToVideoBatchOperator returns, a JSON object "
        "with clips or a manifest: batch.output.",
        consequence=NOT_LOST,
    )


def _lines_of(batch: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    from airflow_provider_pika.batch.manifest import read_manifest

    clips = batch.get("clips")
    if clips is None:
        return read_manifest(batch["manifest"])
    if not all(isinstance(line, Mapping) for line in clips):
        raise InvalidInput("batch has clips that are no JSON objects.", consequence=NOT_LOST)
    return clips  # type: ignore[no-any-return]


def _inline() -> int:
    from airflow_provider_pika.saving.saved_lines import INLINE

    return INLINE
