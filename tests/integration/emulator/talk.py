"""The protocol by hand: what a test sends to an emulator, without a client library."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx

from tests.support.emulator import RunningEmulator

ENDPOINT = "fal-ai/pika/v2.5/text-to-video"

#: Seconds to wait for a state before a test fails.
PATIENCE = 20.0


class Caller:
    """A caller with a key. Clips are small unless a test asks for another resolution."""

    def __init__(self, emulator: RunningEmulator, key: str = "test-key") -> None:
        self.http = emulator.client(headers={"Authorization": f"Key {key}"})

    def post(
        self,
        prompt: str,
        *,
        endpoint: str = ENDPOINT,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        **given: Any,
    ) -> httpx.Response:
        """Submit, and return the answer, whatever it is."""
        body = {"prompt": prompt, "resolution": "480p", **given}
        return self.http.post(f"/{endpoint}", json=body, headers=headers, params=params)

    def submit(self, prompt: str, **options: Any) -> str:
        """Submit, and return the request id."""
        reply = self.post(prompt, **options)
        assert reply.status_code == 200, reply.text
        request_id: str = reply.json()["request_id"]
        return request_id

    def status(self, request_id: str, **params: str) -> httpx.Response:
        """Ask for the status once."""
        return self.http.get(f"/fal-ai/pika/requests/{request_id}/status", params=params)

    def result(self, request_id: str) -> httpx.Response:
        """Ask for the result once."""
        return self.http.get(f"/fal-ai/pika/requests/{request_id}")

    def cancel(self, request_id: str) -> httpx.Response:
        """Ask to cancel the request."""
        return self.http.put(f"/fal-ai/pika/requests/{request_id}/cancel")

    def until(self, request_id: str, state: str) -> dict[str, Any]:
        """Poll until the request is in this state, and return its status."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            body: dict[str, Any] = self.status(request_id).json()
            if body["status"] == state:
                return body
            time.sleep(0.02)
        raise AssertionError(f"not {state} after {PATIENCE} s: {body}")

    def outcome(self, request_id: str) -> httpx.Response:
        """Wait for the end, and return the result."""
        self.until(request_id, "COMPLETED")
        return self.result(request_id)

    def generate(self, prompt: str, **options: Any) -> httpx.Response:
        """Submit, wait, and return the result."""
        return self.outcome(self.submit(prompt, **options))

    def video(self, prompt: str, **options: Any) -> dict[str, Any]:
        """Submit, wait, and return the video of a result that must be good."""
        reply = self.generate(prompt, **options)
        assert reply.status_code == 200, reply.text
        video: dict[str, Any] = reply.json()["video"]
        return video
