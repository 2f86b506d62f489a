"""Where Airflow keeps what is known of a batch's items between two workers."""

from __future__ import annotations

import asyncio
from typing import Any

from airflow_provider_pika.exceptions import RecordUnavailable, RecordUnreadable
from airflow_provider_pika.fal.batch import Item
from airflow_provider_pika.fal.record import Record
from airflow_provider_pika.strict_json import for_airflow

#: Items in one value of the task's state, which may have 64 KiB: an item with its video or its error takes 0.6 to 0.9,
#: less what all of its page have in common.
PAGE = 50

#: Seconds that a save waits for what others change meanwhile: each costs Airflow's API some 10 ms.
GATHERED = 0.02

#: The key of a page; 10,000 items have 200 of them.
KEY = "pika_batch_{:04d}"

_COMMON = ("endpoint", "queue_url", "generation", "attempt", "reason", "replaced", "version")


class BatchState:
    """The items of one task, by their place in its inputs, in pages that are read when they are needed.

    :param store: Airflow's ``context["task_state_store"]``.
    """

    def __init__(self, store: Any) -> None:
        #: Where the item of an input is, if not at the input's own place.
        self.slots: list[int] | None = None
        self._store = store
        self._pages: dict[int, dict[int, Item]] = {}
        self._unsaved: set[int] = set()
        self._saving: asyncio.Task[None] | None = None

    def __getitem__(self, index: int) -> Item:
        """Give an item; an empty one if nothing is known of it.

        :raises RecordUnavailable: Airflow does not say.
        :raises RecordUnreadable: this version cannot read what it says.
        """
        slot = self._slot(index)
        return self._page(slot // PAGE).get(slot, Item())

    def __setitem__(self, index: int, item: Item) -> None:
        """Change an item, here; see :meth:`save`."""
        slot = self._slot(index)
        self._page(slot // PAGE)[slot] = item
        self._unsaved.add(slot // PAGE)

    def read_all(self) -> dict[int, Item]:
        """Give all items that there are, by their slot; pages are filled one after the other.

        :raises PikaError: as :meth:`__getitem__`.
        """
        number = 0
        while self._page(number):
            number += 1
        return {slot: item for page in self._pages.values() for slot, item in page.items()}

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
        try:
            self._store.set(KEY.format(number), for_airflow(_pack(self._pages[number])))
        except Exception as error:
            raise RecordUnavailable(f"The task's state could not be written: {error}") from error
        self._unsaved.discard(number)

    def _slot(self, index: int) -> int:
        return index if self.slots is None else self.slots[index]

    def _page(self, number: int) -> dict[int, Item]:
        if number not in self._pages:
            try:
                kept = self._store.get(KEY.format(number))
            except Exception as error:
                raise RecordUnavailable(f"The task's state could not be read: {error}") from error
            self._pages[number] = {} if kept is None else _unpack(kept)
        return self._pages[number]


class ItemRecords:
    """The record of one item's submission, for :class:`~.fal.submission.Submission`."""

    def __init__(self, state: BatchState, index: int) -> None:
        self._state = state
        self._index = index

    def read(self) -> Record | None:
        """Give the record."""
        return self._state[self._index].record

    async def write(self, record: Record) -> None:
        """Keep the record; the outcome of one before it no longer counts."""
        before = self._state[self._index]
        self._state[self._index] = Item(record)
        try:
            await self._state.save()
        except RecordUnavailable:
            if record.state == "intent":  # nothing is posted now: it must not be kept later, with others
                self._state[self._index] = before
            raise


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
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RecordUnreadable(f"The record of a batch cannot be read: {str(value)[:300]}") from error
    return {index: Item.from_json(row) for index, row in whole.items()}
