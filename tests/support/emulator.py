"""A real emulator in a process of its own, for tests that talk to fal."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Collection
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import httpx

from airflow_provider_pika.emulator.process import EmulatorProcess
from tests.support.forked import Forked
from tests.support.waiting import until


class RunningEmulator(EmulatorProcess):
    """An emulator that listens, with what only our own tests ask of it."""

    _for_admin: httpx.Client | None = None

    @classmethod
    def attached(cls, queue_url: str) -> RunningEmulator:
        """Return the one that another process has started, for its admin calls; it has no TLS."""
        emulator = cls(Path(), [], tls=False)
        emulator.queue_url, emulator.ca_file = queue_url, None
        return emulator

    def _started(self, options: list[str]) -> subprocess.Popen[str]:
        return cast("subprocess.Popen[str]", Forked(options, self._stderr))

    def _admin(self, method: str, path: str, **options: Any) -> httpx.Response:
        if self._for_admin is None:  # to make a client takes longer than a call
            # it gives a connection up before the emulator does, which a call could cross
            self._for_admin = self.client(limits=httpx.Limits(keepalive_expiry=1.0))
        return self._for_admin.request(method, f"/_emulator/{path}", **options).raise_for_status()

    def _end(self, number: signal.Signals) -> int:
        if self._for_admin is not None:
            self._for_admin.close()
        self._for_admin = None
        return super()._end(number)

    def counts(self) -> dict[str, Any]:
        """Return how often each operation was called, since the data folder was made or `reset_counts`."""
        counts: dict[str, Any] = self._admin("GET", "counts").json()
        return counts

    def reset_counts(self) -> None:
        """Set all counters to zero."""
        self._admin("DELETE", "counts")

    def until_idle(self, within: float = 60.0) -> None:
        """Cancel what a test before this one has left, and wait until no request waits or runs."""
        self.cancel_unfinished()
        until(lambda: all(request["state"] == "COMPLETED" for request in self.requests()), "idle runners", within, 0.1)
        self.reset_counts()

    def file_requests(self) -> list[dict[str, Any]]:
        """Return the last exchanges of result files, oldest first: path, method, range, authorization, status."""
        requests: list[dict[str, Any]] = self._admin("GET", "file_requests").json()
        return requests

    def reset_file_requests(self) -> None:
        """Forget the exchanges of result files."""
        self._admin("DELETE", "file_requests")

    def books(self, since: float = 0.0, **tags: str) -> list[dict[str, Any]]:
        """Return what was charged, oldest first, or those charges whose request has these tags.

        Each has ``request_id``, ``endpoint_id``, ``units``, ``unit``, ``unit_price``, ``cost`` and ``tags``, numbers as
        decimal strings. The lag of fal's books does not hold here.
        """
        charges: list[dict[str, Any]] = self._admin("GET", "books", params={"since": since}).json()
        return [charge for charge in charges if tags.items() <= charge["tags"].items()]

    def billed(self, since: float = 0.0, **tags: str) -> Decimal:
        """Return what the requests with these tags were charged in all, in US dollars."""
        return sum((Decimal(charge["cost"]) for charge in self.books(since, **tags)), Decimal(0))

    def billed_by(self, key: str, since: float = 0.0) -> dict[str | None, Decimal]:
        """Return the sum by the value of a tag, or by ``"endpoint_id"``; None is for requests without the tag."""
        sums: dict[str | None, Decimal] = {}
        for charge in self.books(since):
            value = charge["endpoint_id"] if key == "endpoint_id" else charge["tags"].get(key)
            sums[value] = sums.get(value, Decimal(0)) + Decimal(charge["cost"])
        return sums

    def set_price(self, endpoint: str, unit: str, price: str) -> None:
        """Set the account's own price of an endpoint: so many US dollars per ``"videos"`` or ``"seconds"``."""
        self._admin("POST", "prices", json={"endpoint_id": endpoint, "unit": unit, "unit_price": price})

    def reset_prices(self) -> None:
        """Go back to the prices that it was started with."""
        self._admin("DELETE", "prices")

    def most_at_once(self, *prompts: str, among: Collection[str] = ()) -> int:
        """
        Return how many requests with one of these in their prompt were unfinished at the same time, at most.

        :param among: the IDs of the requests that count; all, if there are none.
        """
        found = [request for prompt in prompts for request in self.requests(prompt)]
        requests = [request for request in found if not among or request["request_id"] in among]
        unfinished: list[int] = [
            sum(other["sent_at"] <= one["sent_at"] < (other["ended_at"] or float("inf")) for other in requests)
            for one in requests
        ]
        return max(unfinished)


def accepted(emulator: RunningEmulator) -> int:
    """Return how many submits were accepted since the counts were reset."""
    return int(emulator.counts()["submit"]["accepted"])
