"""Who is told when a request changes. An open stream costs nothing while nothing happens."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator

#: The name that changes when a request enters or leaves the queue, and with it the positions of all that wait.
QUEUE = "the queue"


class Changes:
    """Watches by name: a request's id, or `QUEUE`. Used from the event loop's thread only."""

    def __init__(self) -> None:
        self._watches: defaultdict[str, set[Watch]] = defaultdict(set)

    def tell(self, *names: str) -> None:
        """Wake the watches of these names: they have changed."""
        for name in names:
            for watch in self._watches.get(name, ()):
                watch.changed.set()

    @contextlib.contextmanager
    def watch(self) -> Iterator[Watch]:
        """Open a watch that has no names yet. It loses its names when the context ends."""
        watch = Watch(self)
        try:
            yield watch
        finally:
            watch.follow(set())

    def move(self, watch: Watch, old: set[str], new: set[str]) -> None:
        """Set the names that are watched from now on."""
        for name in new - old:
            self._watches[name].add(watch)
        for name in old - new:
            self._watches[name].discard(watch)
            if not self._watches[name]:
                del self._watches[name]


class Watch:
    """A watch that notices changes of its names from `follow` on, even while nobody waits."""

    def __init__(self, changes: Changes) -> None:
        self.changed = asyncio.Event()
        self._changes = changes
        self._names: set[str] = set()

    def follow(self, names: set[str]) -> None:
        """Watch these names from now on, and forget what has happened until now."""
        self.changed.clear()
        self._changes.move(self, self._names, names)
        self._names = names

    async def wait(self, seconds: float) -> None:
        """Wait until something happens, or for so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.changed.wait()
