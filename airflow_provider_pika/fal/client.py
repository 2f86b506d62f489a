"""The fal queue's client that blocks: submit, status, result, cancel. The one for an event loop is its twin.

Not fal_client's own submit: it repeats the POST up to ten times when a reply is lost, and each may be charged; nor its
request handles: they repeat a read for up to 20 minutes out of our sight, and break on a key that an answer lacks
(fal-protocol.md, 8.2 and 8.3). What is sent stands in ``requests.py``, what an answer means in ``responses.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import httpx

from airflow_provider_pika.exceptions import PikaError
from airflow_provider_pika.fal import requests
from airflow_provider_pika.fal.account import Account
from airflow_provider_pika.fal.http_answer import most_bytes
from airflow_provider_pika.fal.inputs import SubmitControls
from airflow_provider_pika.fal.lookup import Remembered, poll, remember
from airflow_provider_pika.fal.models import QueueStatus, Video
from airflow_provider_pika.fal.network import Watchdog, httpx_transport, never_sent, trusted
from airflow_provider_pika.fal.polling import Poll
from airflow_provider_pika.fal.prices import Told
from airflow_provider_pika.fal.pricing import ask
from airflow_provider_pika.fal.requests import Call
from airflow_provider_pika.fal.sansio import Conversation, hold
from airflow_provider_pika.fal.submission import submit

T = TypeVar("T")


class FalQueue:
    """A blocking client of the queue; close it, or use it in a ``with``. Every method may raise ``PikaError``.

    Building one reads the environment's proxies and certificates, and raises ``PikaError`` if they cannot be used.

    :param transport: what sends the requests, in place of httpx's own.
    :param sleep: what a conversation's pauses are made with.
    """

    def __init__(
        self,
        account: Account,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.account = account
        self._http = httpx.Client(
            transport=transport,
            trust_env=False,
            verify=trusted(),
            mounts=None if transport else _transports(account),
            base_url=account.queue_url,
            headers=account.headers,
            timeout=account.timeout,
            follow_redirects=False,  # they could carry the key to another host
        )
        self._sleep = sleep
        self._watchdog = Watchdog()

    def __enter__(self) -> FalQueue:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def hold(self, conversation: Conversation[T]) -> T:
        """Carry out an exchange of several calls (``sansio.py``), and return what it returns."""
        return hold(conversation, self._send, self._sleep)

    def submit(self, endpoint: str, arguments: Mapping[str, Any], controls: SubmitControls | None = None) -> str:
        """Submit and return the request id; only what fal certainly did not accept is posted again, twice at most.

        :raises SubmitUnknown: the reply is lost; fal may have accepted it.
        """
        return self.hold(submit(endpoint, arguments, (controls or SubmitControls()).headers()))

    def status(self, endpoint: str, request_id: str, *, logs: bool = False) -> QueueStatus:
        """Tell where a request stands."""
        return self._send(requests.status(endpoint, request_id, logs))

    def result(self, endpoint: str, request_id: str) -> Video:
        """Return the video of a completed request, or raise the way it failed."""
        return self._send(requests.result(endpoint, request_id))

    def cancel(self, endpoint: str, request_id: str) -> bool:
        """Ask fal to cancel; False if the request had completed before."""
        return self._send(requests.cancel(endpoint, request_id))

    def poll(self, endpoint: str, request_id: str) -> Poll:
        """Poll a request once, and how it ended if it did. Never raises ``PikaError``."""
        return self.hold(poll(self.account.platform_url, endpoint, request_id))

    def remember(self, endpoint: str, request_id: str, units: float | None = None) -> Remembered:
        """Tell what fal keeps of a completed request. Never raises ``PikaError``.

        :param units: as :func:`~.lookup.remember` takes it.
        """
        return self.hold(remember(self.account.platform_url, endpoint, request_id, units))

    def told_prices(self, endpoints: Iterable[str], *, average: bool = True) -> dict[str, Told]:
        """Tell what fal says that these endpoints cost this account. Never raises ``PikaError``: it may be unknown.

        :param average: False: fal is not asked what a call has cost on average, which only estimates.
        """
        return self.hold(ask(self.account, endpoints, average=average))

    def _send(self, call: Call[T]) -> T:
        options = {"extensions": {"trace": self._watchdog.trace}, **call.options}
        try:
            with (
                self._watchdog.within(self.account.timeout + 1),
                self._http.stream(call.method, call.path, **options) as response,
            ):
                content = _read(response, most_bytes(response.status_code, call.most))
            return call.understand(self.account.answer(response.status_code, response.headers, content, call.most))
        except PikaError:
            raise
        except Exception as error:  # whatever it was, a submit may have been accepted
            raise call.lost(error, never_sent(error) or self._watchdog.cut_while_connecting) from None


def _transports(account: Account) -> dict[str, httpx.BaseTransport | None]:
    """Return what sends the calls, by the origins that they go to."""
    return {origin: httpx_transport(origin) for origin in account.origins}


def _read(response: httpx.Response, most: int) -> bytes:
    """Read the first bytes of the body, as they were sent: decompressed, they could be a thousand times as many."""
    content = bytearray()
    for piece in response.iter_raw():
        content += piece
        if len(content) >= most:
            break
    return bytes(content[:most])
