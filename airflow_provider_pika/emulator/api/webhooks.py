"""Webhooks: one signed POST per finished request, repeated until acknowledged or pointless (fal-protocol.md 5).

fal refuses private and loopback targets. The emulator sends to loopback addresses, since its users are there. It sends
to no other address unless it is told to, since whoever submits can name any.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import sqlite3
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi import APIRouter

from airflow_provider_pika.emulator.api.webhook_signing import Signer
from airflow_provider_pika.emulator.data_folder import Database
from airflow_provider_pika.emulator.engine.records import Job, Retention
from airflow_provider_pika.emulator.http.hosts import address_of

logger = logging.getLogger(__name__)

#: Seconds that a receiver has to answer.
FIRST_TIMEOUT, RETRY_TIMEOUT = 15.0, 120.0

#: Deliveries after the first one.
MAX_RETRIES = 31

#: Seconds between two attempts at most. The pause doubles from one second; fal's is not established.
LONGEST_PAUSE = 300.0

#: Seconds between two checks for deliveries that have become due.
CHECK_EVERY = 0.2


class NotLoopbackError(Exception):
    """The URL leads to another machine; the text says what to do."""


@dataclass(frozen=True)
class Target:
    """A URL to send to. Headers and extensions tell the receiver the name that the URL was written with."""

    url: httpx.URL
    headers: dict[str, str] = field(default_factory=dict)
    extensions: dict[str, Any] = field(default_factory=dict)


async def loopback_targets(url: httpx.URL) -> list[Target]:
    """Return the URL with each address of its host. Raises `NotLoopbackError` if one is another machine's."""
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


class Webhooks:
    """The deliveries still to be made. They are in the database, so a restart continues them."""

    def __init__(self, database: Database, signer: Signer, kept: Retention, *, anywhere: bool = False) -> None:
        self._db = database
        self._signer = signer
        self._kept = kept
        self._anywhere = anywhere
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def router(self) -> APIRouter:
        """Return the route of the public key, which fal has on ``rest.fal.ai``."""
        router = APIRouter()

        async def jwks() -> dict[str, Any]:
            return self._signer.jwks()

        router.add_api_route("/.well-known/jwks.json", jwks, methods=["GET"])
        return router

    def announce(self, job: Job) -> None:
        """Queue the delivery of a finished request, if it asked for one. It is tried while the queue has its result."""
        if job.submission.webhook is None or job.ended_at is None or job.outcome is None:
            return
        self._db.execute(
            "INSERT OR IGNORE INTO deliveries VALUES (?, ?, ?, 0, ?, ?)",
            job.id,
            job.submission.webhook,
            webhook_body(job),
            job.ended_at,
            job.ended_at + self._kept.of_queue(job.outcome),
        )

    async def serve(self) -> None:
        """Deliver what is due until cancelled. Receivers are local, so there are no redirects and no proxies."""
        async with httpx.AsyncClient(follow_redirects=False, trust_env=False) as client:
            try:
                while True:
                    for row in self._db.rows("SELECT * FROM deliveries WHERE due <= ?", time.time()):
                        self._send(client, row)
                    await asyncio.sleep(CHECK_EVERY)
            finally:
                tasks = list(self._under_way.values())
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _send(self, client: httpx.AsyncClient, row: sqlite3.Row) -> None:
        request_id = row["request_id"]
        if request_id not in self._under_way:
            task = asyncio.create_task(self._deliver(client, row))
            self._under_way[request_id] = task
            task.add_done_callback(lambda _: self._under_way.pop(request_id))

    async def _deliver(self, client: httpx.AsyncClient, row: sqlite3.Row) -> None:
        """Try once. Only 2xx acknowledges. A redirect fails for good, and so does an address of another machine."""
        timeout = RETRY_TIMEOUT if row["attempts"] else FIRST_TIMEOUT
        status = 0
        with contextlib.suppress(httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError, TimeoutError):
            async with asyncio.timeout(timeout):
                try:
                    status = await self._post(client, row)
                except NotLoopbackError as error:
                    logger.warning("request %s: its webhook is not sent. %s", row["request_id"], error)
                    self._drop(row)
                    return
        if 200 <= status < 400:
            self._drop(row)
        else:
            self._postpone(row)

    async def _post(self, client: httpx.AsyncClient, row: sqlite3.Row) -> int:
        """Send it to the first of its addresses that takes a connection, and return the status."""
        url, body = httpx.URL(row["url"]), row["body"]
        headers = self._signer.headers(row["request_id"], body, int(time.time())) | {"Content-Type": "application/json"}
        targets = [Target(url)] if self._anywhere else await loopback_targets(url)
        for target in targets:
            with contextlib.suppress(httpx.ConnectError):
                reply = await client.post(
                    target.url,
                    content=body,
                    headers=headers | target.headers,
                    extensions=target.extensions,
                    timeout=None,
                )
                return reply.status_code
        return 0

    def _drop(self, row: sqlite3.Row) -> None:
        self._db.execute("DELETE FROM deliveries WHERE request_id = ?", row["request_id"])

    def _postpone(self, row: sqlite3.Row) -> None:
        attempts = row["attempts"] + 1
        due = time.time() + min(2.0 ** (attempts - 1), LONGEST_PAUSE)
        if attempts > MAX_RETRIES or due > row["expires"]:
            self._drop(row)
            return
        self._db.execute(
            "UPDATE deliveries SET attempts = ?, due = ? WHERE request_id = ?",
            attempts,
            due,
            row["request_id"],
        )


def webhook_body(job: Job) -> bytes:
    """Return the payload in Python's JSON style with sorted keys, as captured: receivers verify the raw bytes."""
    if job.outcome is None:
        raise ValueError(f"request {job.id} is not finished")
    error = None if job.outcome.ok else f"Invalid status code: {job.outcome.status_code}"
    body = {
        "request_id": job.id,
        "gateway_request_id": job.id,
        "status": "OK" if job.outcome.ok else "ERROR",
        "error": error,
        "payload": job.outcome.body,
    }
    if job.fault("webhook_payload_error"):
        body |= {"payload": None, "payload_error": PAYLOAD_ERROR}
    return json.dumps(body, sort_keys=True).encode()


#: What fal writes instead of a payload that is no JSON.
PAYLOAD_ERROR = (
    "Response payload is not JSON serializable. Either return a JSON serializable object or use the queue endpoint to"
    " retrieve the response."
)
