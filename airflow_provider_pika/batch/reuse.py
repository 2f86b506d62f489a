"""Earlier clips in place of new ones: what an attempt takes of them before it submits anything."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from airflow_provider_pika.batch.item import Item
from airflow_provider_pika.batch.metrics import send_endings
from airflow_provider_pika.exceptions import GenerationFailed, PikaError
from airflow_provider_pika.fal.reuse import PastClip, Reuse, name_of, past_clips
from airflow_provider_pika.fal.submission import reused

if TYPE_CHECKING:
    from airflow_provider_pika.batch.attempt import BatchRun

#: Files that are asked for at once.
AT_ONCE = 16


def take_past_clips(run: BatchRun, reuse: Reuse) -> None:
    """Take an earlier clip for each item that would be submitted, where there is one; no two items take the same.

    :raises RecordUnavailable: it was not kept.
    """
    due = {index: name_of(run.inputs[index]) for index in _places_due(run)}
    if not due:
        return
    clips = _find(run, reuse, list(due.values()))
    taken: list[int] = []
    for index, name in due.items():
        if clip := next(clips[name], None):
            wanted, slot = run.wants(index), run.slots[index]
            run.state[slot] = Item(reused(wanted, run.state[slot].record, clip), clip.video, wanted.attempt)
            taken.append(slot)
    run.state.save_now()
    send_endings(run.state[slot] for slot in taken)
    run.tell(f"{len(taken)} of {len(run.inputs)} clips are reused, of earlier requests with the same input.")


def may_be_replaced(item: Item) -> bool:
    """Return whether a new submission would follow: no request of the item's own can still bring its clip."""
    if item.record is None or item.record.state == "refused":
        return True
    return isinstance(item.outcome, GenerationFailed) and item.outcome.retry_helps


def _places_due(run: BatchRun) -> Iterable[int]:
    for index, slot in enumerate(run.slots):
        item = run.state[slot]
        if may_be_replaced(item) and item.is_to_be_dealt_with(run.wants(index)):
            yield index


def _find(run: BatchRun, reuse: Reuse, names: Sequence[str]) -> defaultdict[str, Iterator[PastClip]]:
    """Return clips whose file is there, by their input's name."""
    from airflow_provider_pika.fal.client import FalQueue

    found: dict[str, list[PastClip]] = {}
    try:
        with FalQueue(run.account) as queue:
            search = past_clips(run.account.platform_url, run.wanted.endpoint, reuse, set(names), run.tell)
            found = queue.hold(search)
    except PikaError as error:
        run.tell(f"No earlier clip is reused: {error.message}")
    needed = Counter(names)

    def there(name: str) -> list[PastClip]:
        clips: list[PastClip] = []
        for clip in found[name]:
            if len(clips) < needed[name] and reuse.answers(clip.video.url):
                clips.append(clip)
        return clips

    with ThreadPoolExecutor(AT_ONCE) as pool:
        living = zip(found, pool.map(there, found), strict=True)
        return defaultdict(lambda: iter(()), {name: iter(clips) for name, clips in living})
