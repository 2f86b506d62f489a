"""Save the clips of a batch, several at a time, each as a single one is saved; memory stays flat for any number.

Lines are read one at a time, and what became of them is kept in a file without a name until the manifest is written.
Threads do the work and are daemons: what hangs in one never holds up the end of the process. All that asks Airflow,
connections above all, is done before they start: Airflow 3.1's own channel takes one caller at a time.
"""

from __future__ import annotations

import contextlib
import json
import queue
import tempfile
import threading
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_pika.exceptions import PikaError, TryLater
from airflow_provider_pika.media.connections import Connections, HostPauses
from airflow_provider_pika.media.decoding import Forks
from airflow_provider_pika.media.download import Download, Limits
from airflow_provider_pika.saving import json_lines, saved_lines
from airflow_provider_pika.saving.lookup import Lookup, Silence, land
from airflow_provider_pika.saving.metadata import Metadata, told_by
from airflow_provider_pika.saving.object_store import Place
from airflow_provider_pika.saving.poster import Poster
from airflow_provider_pika.saving.save import Save
from airflow_provider_pika.saving.saved_lines import Totals
from airflow_provider_pika.task.paths import POSTER, SIDECAR

if TYPE_CHECKING:
    from airflow_provider_pika.fal.account import Account
    from airflow_provider_pika.media.url_policy import Trust
    from airflow_provider_pika.saving.clip_paths import ClipPaths

#: Seconds between two lines on how far it is.
TELL_EVERY = 5.0

#: Failures in a row that may pass, for each thread, after which the rest is not tried: the store, or the host, is gone.
_MOST_IN_A_ROW, _AT_LEAST_IN_A_ROW = 2, 20

#: Seconds that the threads have to stop; Airflow ends a task that is told to stop within 5 s.
_STOP_WITHIN = 3.0

#: Seconds between two looks at whether the task was told to stop.
_CHECK_EVERY = 0.25


class Stopped(Exception):
    """The task ends before the clips are saved."""


@dataclass(frozen=True)
class Terms:
    """What all clips have in common.

    :param conn_id: the store's connection.
    :param writer: of the temporary files (``object_store.writer_of``).
    :param poster: whether each clip gets one.
    :param saved: returns the metadata's fields of the task that saves.
    :param check: is called again and again by the task's own thread; it raises where the task is to end.
    :param noted: is told what became of each line's clip, by any thread.

    The others are those of :class:`Save`, and of the operator.
    """

    conn_id: str | None
    writer: str
    trust: Trust
    account: Account | None
    limits: Limits
    overwrite: bool
    must_fit: bool
    poster: bool
    at_once: int
    saved: Callable[[], Mapping[str, Any]]
    tell: Callable[[str], object]
    warn: Callable[[str], object]
    debug: Callable[[str], object]
    check: Callable[[], object]
    noted: Callable[[Mapping[str, Any], Metadata | PikaError], object] | None = None


class BatchSave:
    """All clips of a batch. Use it in a ``with``.

    :param paths: where each is to land.
    """

    def __init__(self, terms: Terms, paths: ClipPaths) -> None:
        self.terms = terms
        self.totals = Totals()
        #: Why the rest is not tried any more.
        self.hindrance: PikaError | None = None
        self.silence = Silence(terms.tell)
        self.pauses = HostPauses()
        self._paths = paths
        self._files = contextlib.ExitStack()
        self.forks = self._files.enter_context(Forks())
        self._plan: IO[bytes] = self._files.enter_context(tempfile.TemporaryFile(prefix="pika-"))  # noqa: SIM115 (closed by the stack)
        self._results: IO[bytes] = self._files.enter_context(tempfile.TemporaryFile(prefix="pika-"))  # noqa: SIM115 (closed by the stack)
        self._results_at = array("q")  # where each line's result begins; -1: there is none
        self._next = 0
        self._in_a_row = 0
        self._began = 0.0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._workers: list[_Worker] = []

    def __enter__(self) -> BatchSave:
        return self

    def __exit__(self, *_: object) -> None:
        if not any(worker.is_alive() for worker in self._workers):  # one that hangs may still write
            self._files.close()

    def plan(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Read all lines, and find each clip's path, before anything is fetched.

        :raises InvalidInput: a line cannot be used, a path cannot be used, or two clips would have the same.
        """
        for line in lines:
            self.terms.check()
            path = None
            self.totals = self.totals.with_line(saved_lines.checked_line(line))
            if saved_lines.is_done(line):
                path = Place(self._paths.of(line), self.terms.conn_id).path
            self._plan.write(json.dumps([line, path]).encode() + b"\n")
            self._results_at.append(-1)
        self._plan.seek(0)

    def run(self) -> None:
        """Save what is not saved yet; a clip that cannot be is noted, and stops none of the others.

        :raises BaseException: what ``check`` raises, or a signal's handler. The threads have stopped by then, or do so
            as soon as they can.
        """
        self._began = time.monotonic()
        number = min(self.terms.at_once, self.totals.clips)
        self._workers = [_Worker(self) for _ in range(number)]
        for worker in self._workers:
            worker.start()
        told = self._began
        try:
            while number:
                with contextlib.suppress(queue.Empty):
                    broken = self._ended.get(timeout=_CHECK_EVERY)
                    number -= 1
                    if broken:
                        raise broken
                self.terms.check()
                if time.monotonic() - told >= TELL_EVERY:
                    told = time.monotonic()
                    self.terms.tell(f"Saving: {self.in_words()}")
        finally:
            self._end_the_workers()

    def in_words(self) -> str:
        """Say how far it is."""
        return self.totals.in_words(time.monotonic() - self._began)

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of the manifest, in the order of the batch."""
        self._plan.seek(0)
        for text, at in zip(self._plan, self._results_at, strict=True):
            line, path = json.loads(text)
            if at >= 0:
                self._results.seek(at)
                yield json.loads(self._results.readline())
            elif path is None:
                yield saved_lines.line_of(line, None)
            else:
                error = TryLater(f"It was not tried: {self.hindrance.message if self.hindrance else 'the task ended'}")
                yield saved_lines.line_of(line, error, path)

    def inline_lines(self) -> Iterator[dict[str, Any]]:
        """Yield the lines for a return value, which goes into Airflow's database."""
        return (json_lines.fitted(line, json_lines.INLINE_BYTES) for line in self.lines())

    def take(self) -> tuple[int, Mapping[str, Any], str] | None:
        """Return the next clip for a thread: its place, its line and its path; None: there is nothing more to do."""
        with self._lock:
            while not (self._stop.is_set() or self.hindrance):
                text = self._plan.readline()
                if not text:
                    return None
                place, self._next = self._next, self._next + 1
                line, path = json.loads(text)
                if path is not None:
                    return place, line, path
        return None

    def note(
        self, place: int, line: Mapping[str, Any], path: str, outcome: Metadata | PikaError, fetched: bool
    ) -> None:
        """Keep what became of a clip."""
        text = json.dumps(json_lines.fitted(saved_lines.line_of(line, outcome, path), json_lines.LONGEST_LINE))
        failed = isinstance(outcome, PikaError)
        if failed:
            self.terms.warn(f"{saved_lines.label(line)} is not saved: {outcome}")
        with self._lock:
            self._results_at[place] = self._results.seek(0, 2)
            self._results.write(text.encode() + b"\n")
            if isinstance(outcome, PikaError):
                self.totals = self.totals.with_unsaved(saved_lines.label(line), outcome)
                self._count(outcome)
            else:
                self.totals = self.totals.with_saved(outcome.size, fetched)
                self._in_a_row = 0
        if self.terms.noted:
            self.terms.noted(line, outcome)

    def _count(self, error: PikaError) -> None:
        if not error.retry_helps:  # a clip's own
            return
        self._in_a_row += 1
        if self._in_a_row >= max(_AT_LEAST_IN_A_ROW, _MOST_IN_A_ROW * self.terms.at_once):
            self.hindrance = self.hindrance or error

    def stop_if_asked(self) -> None:
        """Raise where the task ends."""
        if self._stop.is_set():
            raise Stopped

    def sleep(self, seconds: float) -> None:
        """Make a pause of a download, which the task's end breaks off."""
        self._stop.wait(seconds)
        self.stop_if_asked()

    def worker_ended(self, error: BaseException | None) -> None:
        """Take note of a thread that has ended."""
        self._ended.put(error)

    def _end_the_workers(self) -> None:
        self._stop.set()
        until = time.monotonic() + _STOP_WITHIN
        for worker in self._workers:
            worker.cut()
        for worker in self._workers:
            worker.join(max(0.0, until - time.monotonic()))


class _Worker(threading.Thread):
    """Saves one clip after the other."""

    def __init__(self, batch: BatchSave) -> None:
        super().__init__(daemon=True, name="pika-save")
        self._batch = batch
        self._connections = Connections()
        self._lookup = Lookup(batch.terms.account, batch.silence)
        self._download: Download | None = None

    def run(self) -> None:
        """Go on until there is nothing more to do."""
        broken: BaseException | None = None
        try:
            while task := self._batch.take():
                self._save(*task)
        except Stopped:
            pass
        except BaseException as error:
            broken = error
        finally:
            self._connections.close()
            self._lookup.close()
            self._batch.worker_ended(broken)

    def cut(self) -> None:
        """Break off what is being fetched."""
        if self._download:
            self._download.cut()

    def _save(self, place: int, line: Mapping[str, Any], path: str) -> None:
        outcome: Metadata | PikaError
        fetched = False
        try:
            save = self._save_of(line, path)
            recognised = save.recognised()
            fetched = recognised is None
            ask = partial(self._lookup.outcome, save.video["endpoint"], save.video["request_id"])
            outcome = recognised or land(save, ask, self._batch.terms.saved)
        except Stopped:
            raise
        except PikaError as error:
            outcome = error
        except Exception as error:  # of this clip only: the others are still to be had
            outcome = TryLater(f"{type(error).__name__}: {error}")
        if isinstance(outcome, PikaError):  # the end may be its cause; what is saved counts
            self._batch.stop_if_asked()
        self._batch.note(place, line, path, outcome, fetched)

    def _save_of(self, line: Mapping[str, Any], path: str) -> Save:
        terms = self._batch.terms
        named = saved_lines.label(line)

        def tell(said: str) -> None:
            terms.debug(f"{named}: {said}")

        return Save(
            video=saved_lines.video_of(line),
            place=Place(path, terms.conn_id, terms.writer),
            sidecar=Place(path + SIDECAR, terms.conn_id, terms.writer),
            trust=terms.trust,
            limits=terms.limits,
            told=partial(self._told, line),
            overwrite=terms.overwrite,
            must_fit=terms.must_fit,
            tell=tell,
            poster=Poster(Place(path + POSTER, terms.conn_id, terms.writer), terms.poster, terms.overwrite, tell),
            download=self._downloading,
            forks=self._batch.forks,
        )

    def _downloading(self, sink: IO[bytes], trust: Trust, limits: Limits, tell: Callable[[str], object]) -> Download:
        self._batch.stop_if_asked()
        batch = self._batch
        self._download = Download(sink, trust, limits, tell, batch.sleep, self._connections, batch.pauses)
        return self._download

    def _told(self, line: Mapping[str, Any]) -> Mapping[str, Any]:
        self._batch.stop_if_asked()
        endpoint = line.get("endpoint") if isinstance(line.get("endpoint"), str) else None
        asked = line.get("input") if isinstance(line.get("input"), Mapping) else None
        units = saved_lines.units_of(line)
        remembered = self._lookup.remember(endpoint, line["request_id"], units)
        cost = saved_lines.cost_of(line)
        return told_by({"input": asked}, remembered, None if cost is None else lambda _: cost)
