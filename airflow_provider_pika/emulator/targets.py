"""Where a webhook is sent to: an address of this machine, and not a name that may lead elsewhere a moment later."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field
from typing import Any

import httpx

from airflow_provider_pika.emulator.hosts import address_of


class NotLoopbackError(Exception):
    """The URL leads to another machine; the text says what to do."""


@dataclass(frozen=True)
class Target:
    """A URL to send to, and what the receiver is to be told of the name that it was written with."""

    url: httpx.URL
    headers: dict[str, str] = field(default_factory=dict)
    extensions: dict[str, Any] = field(default_factory=dict)


async def loopback_targets(url: httpx.URL) -> list[Target]:
    """The URL with each of its host's addresses. Raises `NotLoopbackError` if one is another machine's."""
    host, port = url.raw_host.decode("ascii"), url.port or (443 if url.scheme == "https" else 80)
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = dict.fromkeys(str(entry[4][0]) for entry in found)
    for address in addresses:
        if (parsed := address_of(address)) is None or not parsed.is_loopback:
            raise NotLoopbackError(
                f"{host[:100]!r} is {address}, which is not a loopback address: start the emulator with "
                "--webhooks-anywhere to send it."
            )
    named = {"Host": url.netloc.decode("ascii")}
    return [Target(url.copy_with(host=address), named, {"sni_hostname": host}) for address in addresses]
