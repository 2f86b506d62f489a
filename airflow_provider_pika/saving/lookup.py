"""What fal is asked about a clip that is saved: its metadata, and its URL again, where the known one is dead."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_pika.exceptions import DownloadRefused, PikaError, VideoExpired
from airflow_provider_pika.fal.client import FalQueue
from airflow_provider_pika.fal.lookup import Remembered
from airflow_provider_pika.fal.models import Video

if TYPE_CHECKING:
    from airflow_provider_pika.fal.account import Account
    from airflow_provider_pika.saving.metadata import Metadata
    from airflow_provider_pika.saving.save import Save

#: Seconds that each call may take; where one fails, the metadata has gaps.
WITHIN = 15.0

#: Clips in a row that fal says nothing about, after which it is asked about no further one.
MOST_SILENT = 8


class Silence:
    """Counts, over all threads, the clips in a row of which fal has told nothing: old ones, or fal is out of reach."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._in_a_row = 0
        self._lock = threading.Lock()

    @property
    def is_long(self) -> bool:
        """Whether asking is a waste of time."""
        return self._in_a_row >= MOST_SILENT

    def note(self, remembered: Remembered) -> None:
        """Count a clip."""
        with self._lock:
            self._in_a_row = self._in_a_row + 1 if remembered == Remembered() else 0
            if self._in_a_row == MOST_SILENT:
                self._tell(
                    f"fal keeps nothing of {MOST_SILENT} requests in a row, or does not say. It is asked no more, so "
                    "the metadata files have what the manifest says, without fal's times and units."
                )


class Lookup:
    """Asks fal about requests, on one connection that stays open; one for each thread.

    :param account: None: there is no key, so fal is not asked.
    :param silence: is shared by all threads.
    """

    def __init__(self, account: Account | None, silence: Silence) -> None:
        self._account = account and replace(account, timeout=min(account.timeout, WITHIN))
        self._silence = silence
        self._queue: FalQueue | None = None

    def remember(self, endpoint: str | None, request_id: str, units: float | None) -> Remembered:
        """Return what fal keeps of a request; nothing where it cannot be asked. Never raises ``PikaError``.

        :param units: the billable units, if they are known: one call less.
        """
        queue = self._client()
        if queue is None or endpoint is None or self._silence.is_long:
            return Remembered(billable_units=units)
        remembered = queue.remember(endpoint, request_id, units)
        self._silence.note(remembered if units is None else Remembered(remembered.row))
        return remembered

    def outcome(self, endpoint: str | None, request_id: str) -> object:
        """Return the video of a request, or why there is none; None where fal cannot be asked."""
        queue = self._client()
        return None if queue is None or endpoint is None else queue.poll(endpoint, request_id).outcome

    def close(self) -> None:
        """Close the connections."""
        if self._queue:
            self._queue.close()

    def _client(self) -> FalQueue | None:
        if self._queue is None and self._account is not None:
            try:
                self._queue = FalQueue(self._account)
            except PikaError:  # a proxy that cannot be used, which the download says itself
                self._account = None
        return self._queue


def land(save: Save, ask: Callable[[], object], saved: Callable[[], Mapping[str, Any]]) -> Metadata:
    """Land a video; where its URL brings nothing, ask fal for the result once more, and fetch what that names.

    :param ask: returns the request's outcome as fal tells it now (:meth:`Lookup.outcome`).
    :raises PikaError: as :meth:`Save.land`.
    """
    try:
        return save.land(saved)
    except (VideoExpired, DownloadRefused) as error:
        outcome = ask()
        if not isinstance(outcome, Video) or outcome.url == save.video["url"]:
            raise _given_up(error, save.video["request_id"], outcome) from error
        save.tell(f"{error.message} fal's result names another URL now, which is fetched.")
        video = {**save.video, "url": outcome.url, "file_size": outcome.file_size}
        return replace(save, video=video).land(saved)


def _given_up(error: PikaError, request_id: str, outcome: object) -> PikaError:
    if isinstance(outcome, Video):
        told = "fal's result of the request, asked for again, names the same URL."
    elif isinstance(outcome, PikaError):
        told = f"fal was asked for the request's result once more, and said: {outcome.message}"
    else:
        told = "fal could not be asked for the request's result once more."
    return type(error)(f"{error.message} {told}", request_id=request_id, status_code=error.status_code)
