"""Who is told when a request changes."""

from __future__ import annotations

import asyncio
import time

from airflow_provider_pika.emulator.engine.changes import QUEUE, Changes

SOON, LONG = 0.05, 10.0


def waited(changes: Changes, *, before: set[str], told: str, then: set[str] | None = None) -> bool:
    """Tell whether a watch of ``before``, and then of other names, is woken by ``told``."""

    async def wait() -> bool:
        with changes.watch() as watch:
            watch.follow(before)
            if then is not None:
                watch.follow(then)
            changes.tell(told)
            await watch.wait(SOON)
            return watch.changed.is_set()

    return asyncio.run(wait())


def test_a_watch_is_woken_by_what_it_looks_at_and_by_nothing_else() -> None:
    assert waited(Changes(), before={"one", QUEUE}, told="one")
    assert waited(Changes(), before={"one", QUEUE}, told=QUEUE)
    assert not waited(Changes(), before={"one", QUEUE}, told="two")


def test_a_watch_that_looks_elsewhere_is_not_woken_by_what_it_looked_at() -> None:
    assert not waited(Changes(), before={"one", QUEUE}, told=QUEUE, then={"one"})
    assert waited(Changes(), before={"one", QUEUE}, told="one", then={"one"})


def test_a_change_while_nobody_waits_is_not_missed() -> None:
    async def late() -> float:
        changes = Changes()
        with changes.watch() as watch:
            watch.follow({"one"})
            changes.tell("one")
            began = time.monotonic()
            await watch.wait(LONG)
            return time.monotonic() - began

    assert asyncio.run(late()) < LONG / 2


def test_a_wait_ends_when_its_time_is_over() -> None:
    async def alone() -> None:
        with Changes().watch() as watch:
            watch.follow({"one"})
            await watch.wait(SOON)

    asyncio.run(asyncio.wait_for(alone(), LONG))
