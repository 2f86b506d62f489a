"""How pytest-xdist shares the tests of a folder out among its processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling


class Distribution(LoadScopeScheduling):  # type: ignore[misc]
    """
    Gives each process the next tests in their order; tests of one group run in one process.

    The marks of pytest-xdist's own groups do not reach it (3.8 with pytest 9.2), and it would begin with the group that
    has most tests.

    :param group_of: returns the name of a test's group, of its node ID.
    """

    def __init__(self, config: pytest.Config, log: Any, group_of: Callable[[str], str]) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False
        self._group_of = group_of

    def _split_scope(self, nodeid: str) -> str:
        return self._group_of(nodeid)


def put_first(items: list[pytest.Item], longest: tuple[str, ...]) -> None:
    """Sort tests by the first of these words in their node ID; those that have none keep their order, at the end."""

    def place(item: pytest.Item) -> int:
        return next((number for number, word in enumerate(longest) if word in item.nodeid), len(longest))

    items.sort(key=place)


def file_of(nodeid: str) -> str:
    """Return the file of a test, which is its group where the tests of a file share what takes long to make."""
    return nodeid.partition("::")[0]
