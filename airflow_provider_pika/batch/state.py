"""Where Airflow keeps what is known of a batch's items between two workers."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from airflow_provider_pika.batch.item import Item
from airflow_provider_pika.exceptions import RecordUnavailable, RecordUnreadable
from airflow_provider_pika.fal.record import Record
from airflow_provider_pika.strict_json import for_airflow, shown

#: Items in one value of the task's state: an item with its video or its error takes 0.6 to 0.9 KiB, less what all of
#: its page have in common. Airflow 3.3 keeps a value of more than 64 KiB, and warns of it (max_value_storage_bytes).
PAGE = 50

#: Seconds that a save waits for what others change meanwhile: each costs Airflow's API some 10 ms.
GATHERED = 0.02

#: The key of a page; 10,000 items have 200 of them. And the key of their number.
KEY, PAGES = "pika_batch_{:04d}", "pika_batch_pages"

#: The key of the last attempt that has told monitoring what clips cost.
COUNTED = "pika_batch_counted"

#: Pages in a row that may be missing where their number is not on record: earlier versions wrote none, and left as many
#: out as their lists had, 20,000 inputs by default.
MOST_MISSING = 20_000 // PAGE

#: What the records of a batch have in common: kept once, not for each item.
_COMMON = ("endpoint", "queue_url", "generation", "attempt", "reason", "replaced", "version")


class BatchState:
    """The items of one task, by their slots, in pages that are read when they are needed.

    An item keeps its slot, whatever becomes of the list of inputs.

    :param store: Airflow's ``context["task_state_store"]``.
    """

    def __init__(self, store: Any) -> None:
        self._store = store
        self._pages: dict[int, dict[int, Item]] = {}
        self._whole = False  # whether all pages that there are have been read
        self._unsaved: set[int] = set()
        self._saving: asyncio.Task[None] | None = None

    def __getitem__(self, slot: int) -> Item:
        """Return an item; an empty one if nothing is known of it.

        :raises RecordUnavailable: Airflow does not say.
        :raises RecordUnreadable: this version cannot read what it says.
        """
        return self._page(slot // PAGE).get(slot, Item())

    def __setitem__(self, slot: int, item: Item) -> None:
        """Change an item, here; see :meth:`save`."""
        self._page(slot // PAGE)[slot] = item
        self._unsaved.add(slot // PAGE)

    def read_all(self, expected: int = 0) -> dict[int, Item]:
        """Return all items that there are, by their slot.

        :param expected: the inputs that there are now.
        :raises PikaError: as :meth:`__getitem__`.
        """
        if not self._whole:
            end, number = self._number_of_pages(), 0
            certain = end is not None
            end = max(1, _pages_of(expected)) if end is None else end
            while number < end:
                if self._page(number) and not certain:
                    end = max(end, number + 1 + MOST_MISSING)
                number += 1
            self._whole = True
        return {slot: item for page in self._pages.values() for slot, item in page.items()}

    def make_room(self, slots: int) -> None:
        """Write down the number of pages, before there is anything in them; call it once all are read.

        :raises RecordUnavailable: it was not kept.
        """
        needed = max([_pages_of(slots), *(number + 1 for number, page in self._pages.items() if page)])
        if needed > (self._number_of_pages() or 0):
            self._set(PAGES, needed)

    def _number_of_pages(self) -> int | None:
        kept = self._get(PAGES)
        if kept is None or (isinstance(kept, int) and kept >= 0):
            return kept
        raise RecordUnreadable(f"The number of a batch's records cannot be read: {shown(kept)}")

    def counted(self) -> int:
        """Return the last attempt that has told monitoring what clips cost; -1: none, or nobody knows."""
        with suppress(RecordUnavailable):
            kept = self._get(COUNTED)
            return kept if isinstance(kept, int) else -1
        return -1

    def note_counted(self, attempt: int) -> None:
        """Keep that an attempt has; where that fails, its clips may be counted again."""
        with suppress(RecordUnavailable):
            self._set(COUNTED, attempt)

    def in_flight(self, request_ids: Collection[str], near: int) -> list[int]:
        """Return the slots of the items that wait for these requests. Pages are read until all are found.

        :param near: a slot before which most of them are.
        :raises PikaError: as :meth:`__getitem__`.
        """
        missing, slots = set(request_ids), list[int]()
        for number in range(near // PAGE, -1, -1):
            if not missing:
                return slots
            slots += self._of_page(number, missing)
        if missing:
            return [slot for slot, item in self.read_all().items() if item.request_id in set(request_ids)]
        return slots

    def _of_page(self, number: int, missing: set[str]) -> list[int]:
        found = [(slot, item.request_id) for slot, item in self._page(number).items() if item.request_id in missing]
        missing.difference_update(str(request_id) for _, request_id in found)
        return [slot for slot, _ in found]

    async def save(self) -> None:
        """Have Airflow keep all that was changed, together with what others change at the same moment.

        :raises RecordUnavailable: it was not kept, or not all.
        """
        if self._saving is None:
            self._saving = asyncio.create_task(self._save_soon())
        await asyncio.shield(self._saving)

    async def _save_soon(self) -> None:
        await asyncio.sleep(GATHERED)
        self._saving = None  # what changes from now on is for the next
        self.save_now()

    def save_now(self) -> None:
        """Do as :meth:`save` does, outside of an event loop."""
        for number in sorted(self._unsaved):
            self._put(number)

    def _put(self, number: int) -> None:
        self._set(KEY.format(number), _pack(self._pages[number]))
        self._unsaved.discard(number)

    def _page(self, number: int) -> dict[int, Item]:
        if number not in self._pages:
            kept = None if self._whole else self._get(KEY.format(number))
            self._pages[number] = {} if kept is None else _unpack(kept)
        return self._pages[number]

    def _get(self, key: str) -> Any:
        try:
            return self._store.get(key)
        except Exception as error:
            raise RecordUnavailable(f"The task's state could not be read: {error}") from error

    def _set(self, key: str, value: Any) -> None:
        try:
            self._store.set(key, for_airflow(value))
        except Exception as error:
            raise RecordUnavailable(f"The task's state could not be written: {error}") from error


class ItemRecords:
    """The record of one item's submission, for :class:`~.fal.submission.Submission`."""

    def __init__(self, state: BatchState, slot: int) -> None:
        self._state = state
        self._slot = slot

    def read(self) -> Record | None:
        """Return the record."""
        return self._state[self._slot].record

    async def write(self, record: Record) -> None:
        """Keep the record; the outcome of one before it no longer counts."""
        before = self._state[self._slot]
        self._state[self._slot] = Item(record)
        try:
            await self._state.save()
        except RecordUnavailable:
            if record.state == "intent":  # nothing is posted now: it must not be kept later, with others
                self._state[self._slot] = before
            raise


def _pages_of(slots: int) -> int:
    return -(-slots // PAGE)


def _pack(items: dict[int, Item]) -> dict[str, Any]:
    """Make a JSON object of items; what their records have in common stands there once."""
    rows = {str(index): item.as_json() for index, item in items.items()}
    records = [row["record"] for row in rows.values() if "record" in row]
    common = {name: records[-1][name] for name in _COMMON} if records else {}
    for record in records:
        for name in [name for name in common if record[name] == common[name]]:
            del record[name]
    return {"common": common, "items": rows}


def _unpack(value: Any) -> dict[int, Item]:
    try:
        common, rows = value["common"], value["items"]
        whole = {
            int(index): {**row, **({"record": {**common, **row["record"]}} if "record" in row else {})}
            for index, row in rows.items()
        }
    except Exception as error:  # whatever stands there, it may be of a request that was paid for
        raise RecordUnreadable(f"The record of a batch cannot be read: {str(value)[:300]}") from error
    return {index: Item.from_json(row) for index, row in whole.items()}
