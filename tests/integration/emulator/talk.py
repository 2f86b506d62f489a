"""The protocol by hand: what a test says to an emulator, without any client library's opinions."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx

from tests.support.emulator import RunningEmulator

ENDPOINT = "fal-ai/pika/v2.5/text-to-video"

PATIENCE = 20.0
"""Seconds to wait for a state before a test fails."""


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
        """Submit, whatever the answer."""
        body = {"prompt": prompt, "resolution": "480p", **given}
        return self.http.post(f"/{endpoint}", json=body, headers=headers, params=params)

    def submit(self, prompt: str, **options: Any) -> str:
        """Submit; the request id."""
        reply = self.post(prompt, **options)
        assert reply.status_code == 200, reply.text
        request_id: str = reply.json()["request_id"]
        return request_id

    def status(self, request_id: str, **params: str) -> httpx.Response:
        """One look."""
        return self.http.get(f"/fal-ai/pika/requests/{request_id}/status", params=params)

    def result(self, request_id: str) -> httpx.Response:
        """One try."""
        return self.http.get(f"/fal-ai/pika/requests/{request_id}")

    def cancel(self, request_id: str) -> httpx.Response:
        """Ask for it."""
        return self.http.put(f"/fal-ai/pika/requests/{request_id}/cancel")

    def until(self, request_id: str, state: str) -> dict[str, Any]:
        """Look until the request is in this state; its status then."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            body: dict[str, Any] = self.status(request_id).json()
            if body["status"] == state:
                return body
            time.sleep(0.02)
        raise AssertionError(f"not {state} after {PATIENCE} s: {body}")

    def outcome(self, request_id: str) -> httpx.Response:
        """Wait for the end; the result."""
        self.until(request_id, "COMPLETED")
        return self.result(request_id)

    def generate(self, prompt: str, **options: Any) -> httpx.Response:
        """Submit and wait; the result."""
        return self.outcome(self.submit(prompt, **options))

    def video(self, prompt: str, **options: Any) -> dict[str, Any]:
        """Submit and wait; the video of a result that must be good."""
        reply = self.generate(prompt, **options)
        assert reply.status_code == 200, reply.text
        video: dict[str, Any] = reply.json()["video"]
        return video
