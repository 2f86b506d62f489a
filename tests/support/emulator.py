"""A real emulator in a process of its own, for tests that talk to fal."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import httpx

from dev.emulator_process import EmulatorProcess
from tests.support.waiting import until


class RunningEmulator(EmulatorProcess):
    """An emulator that listens, with the calls of its admin API."""

    @classmethod
    def attached(cls, queue_url: str) -> RunningEmulator:
        """Return the one that another process has started, for its admin calls; it has no TLS."""
        emulator = cls(Path(), [], tls=False)
        emulator.queue_url, emulator.ca_file = queue_url, None
        return emulator

    def counts(self) -> dict[str, Any]:
        """Return how often each operation was called, since the data folder was made or `reset_counts`."""
        counts: dict[str, Any] = self._admin("GET", "counts").json()
        return counts

    def reset_counts(self) -> None:
        """Set all counters to zero."""
        self._admin("DELETE", "counts")

    def requests(self, prompt: str | None = None) -> list[dict[str, Any]]:
        """Return every request, oldest first, or those whose prompt contains ``prompt``."""
        params = {} if prompt is None else {"prompt": prompt}
        requests: list[dict[str, Any]] = self._admin("GET", "requests", params=params).json()
        return requests

    def until_idle(self, within: float = 60.0) -> None:
        """Cancel what a test before this one has left, and wait until no request waits or runs."""
        key = self._options[self._options.index("--key") + 1] if "--key" in self._options else "any:key"
        with self.client(headers={"Authorization": f"Key {key}"}) as client:
            for request in self.requests():
                if request["state"] != "COMPLETED":
                    app = "/".join(request["endpoint_id"].split("/")[:2])
                    client.put(f"/{app}/requests/{request['request_id']}/cancel")
        until(lambda: all(request["state"] == "COMPLETED" for request in self.requests()), "idle runners", within, 0.1)
        self.reset_counts()

    def file_requests(self) -> list[dict[str, Any]]:
        """Return the last exchanges of result files, oldest first: path, method, range, authorization, status."""
        requests: list[dict[str, Any]] = self._admin("GET", "file_requests").json()
        return requests

    def reset_file_requests(self) -> None:
        """Forget the exchanges of result files."""
        self._admin("DELETE", "file_requests")

    def most_at_once(self, prompt: str) -> int:
        """Return how many requests with this in their prompt were unfinished at the same time, at most."""
        requests = self.requests(prompt)
        unfinished: list[int] = [
            sum(other["sent_at"] <= one["sent_at"] < (other["ended_at"] or float("inf")) for other in requests)
            for one in requests
        ]
        return max(unfinished)

    def fault(self, name: str, **options: Any) -> None:
        """Ask for a fault. Raises `httpx.HTTPStatusError` if there is no such fault or option."""
        self._admin("POST", "faults", json={"fault": name, **options})

    def clear_faults(self, match: str = "") -> None:
        """Clear the faults that were set, or those set for this ``match``."""
        self._admin("DELETE", "faults", params={"match": match} if match else {})

    def client(self, **options: Any) -> httpx.Client:
        """Return an HTTP client that trusts it. Its base URL is the queue's unless ``base_url`` is given."""
        # Loading the public CAs takes longer than most tests do, and nothing here is signed by them.
        verify = False if self.ca_file is None else ssl.create_default_context(cafile=self.ca_file)
        options = {"base_url": self.queue_url, "timeout": 30.0, "trust_env": False, **options}
        return httpx.Client(verify=verify, **options)

    def _admin(self, method: str, path: str, **options: Any) -> httpx.Response:
        with self.client() as client:
            return client.request(method, f"/_emulator/{path}", **options).raise_for_status()


def accepted(emulator: RunningEmulator) -> int:
    """Return how many submits were accepted since the counts were reset."""
    return int(emulator.counts()["submit"]["accepted"])
