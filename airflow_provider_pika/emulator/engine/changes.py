"""Who is told when a request changes: so that an open stream costs nothing while nothing happens."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator

QUEUE = "the queue"
"""The name of what changes whenever a request comes into the queue or leaves it: the positions of all that wait."""


class Changes:
    """By name: a request's id, or `QUEUE`. Used from the event loop's thread only."""

    def __init__(self) -> None:
        self._watches: defaultdict[str, set[Watch]] = defaultdict(set)

    def tell(self, *names: str) -> None:
        """These have changed."""
        for name in names:
            for watch in self._watches.get(name, ()):
                watch.changed.set()

    @contextlib.contextmanager
    def watch(self) -> Iterator[Watch]:
        """A watch that looks at nothing yet, and at nothing any more once the context is left."""
        watch = Watch(self)
        try:
            yield watch
        finally:
            watch.look_at(set())

    def move(self, watch: Watch, old: set[str], new: set[str]) -> None:
        """The watch looks at other names from now on."""
        for name in new - old:
            self._watches[name].add(watch)
        for name in old - new:
            self._watches[name].discard(watch)
            if not self._watches[name]:
                del self._watches[name]


class Watch:
    """Notices what happens from one `look_at` on, also while nobody waits."""

    def __init__(self, changes: Changes) -> None:
        self.changed = asyncio.Event()
        self._changes = changes
        self._names: set[str] = set()

    def look_at(self, names: set[str]) -> None:
        """From now on these names, and what has happened until now is known."""
        self.changed.clear()
        self._changes.move(self, self._names, names)
        self._names = names

    async def wait(self, seconds: float) -> None:
        """Until something has happened, or for so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.changed.wait()
