"""The connections of one client on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

#: Calls under way at once; with answers after 0.1 to 0.2 s, hundreds of calls a second.
LANES = 32

#: Seconds that an idle connection is kept; fal's own limit is not established, and a new one costs a TLS handshake.
_IDLE = 30.0


class Lanes:
    """HTTP clients with one connection each, opened as they are needed, the warmest first.

    Not one client with a pool: at every call httpx 0.28 asks each connection of a pool whether it still lives. With 32
    of them a call cost 1.5 ms of CPU; in lanes it costs 0.7.

    :param options: of ``httpx.AsyncClient``; with an SSL context of the caller's, a client costs 0.1 ms.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=_IDLE)
        self._options = {**options, "limits": limits}
        self._free: list[httpx.AsyncClient] = []
        self._all: list[httpx.AsyncClient] = []
        self._slots = asyncio.Semaphore(LANES)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[httpx.AsyncClient]:
        """Have a lane for one call, once there is one."""
        async with self._slots:
            lane = self._free.pop() if self._free else self._open()
            try:
                yield lane
            except BaseException:  # cut off at the wrong moment, httpx takes its one connection for busy for ever
                self._all.remove(lane)
                await lane.aclose()
                raise
            self._free.append(lane)

    def _open(self) -> httpx.AsyncClient:
        lane = httpx.AsyncClient(**self._options)
        self._all.append(lane)
        return lane

    async def aclose(self) -> None:
        """Close all connections."""
        for lane in self._all:
            await lane.aclose()
