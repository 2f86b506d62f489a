"""What a runner does with one request: check the input, draw the clip at a believable pace, and say what came of it."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from airflow_provider_pika.emulator import errors
from airflow_provider_pika.emulator.endpoints import ENDPOINTS, TextToVideoInput
from airflow_provider_pika.emulator.records import Job, Outcome
from airflow_provider_pika.emulator.render import Clip, render

HTML_PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><h1>Sign in</h1></body></html>\n"

STEPS = 5
"""How many times a generation logs its progress."""


class RequeueError(Exception):
    """The attempt came to nothing and the queue is to try again: fal's own retry, with the same id (3)."""


class _StoppedError(Exception):
    """The request was cancelled, or the emulator is stopping, in the middle of a rendering."""


@dataclass(frozen=True)
class Pace:
    """How long a generation takes at least, in seconds; where in the range follows from the request's body."""

    shortest: float
    longest: float

    def seconds(self, job: Job) -> float:
        """The same body always takes the same time."""
        share = hashlib.sha256(job.submission.body).digest()[0] / 255
        return self.shortest + share * (self.longest - self.shortest)


@dataclass(frozen=True)
class Made:
    """An outcome and, if there is one, the result file's path below the folder of files."""

    outcome: Outcome
    file: str | None = None


class Generator:
    """Makes the outcome of a request. Renders in threads of its own, so that the event loop goes on answering."""

    def __init__(self, files: Path, pace: Pace, log: Callable[[str, str], None], runners: int) -> None:
        self._files = files
        self._pace = pace
        self._log = log
        # A request that is cancelled holds its thread for one more frame: hence one thread to spare.
        self._threads = ThreadPoolExecutor(runners + 1, thread_name_prefix="render")

    async def make(self, job: Job) -> Made:
        """One attempt. Raises `RequeueError`; is cancelled like any coroutine."""
        schema = ENDPOINTS.get(job.submission.endpoint)
        if schema is None:
            return Made(errors.unknown_path("/".join(job.submission.endpoint.split("/")[2:])))
        if not isinstance(job.submission.input, dict):
            return Made(errors.invalid_json())
        try:
            asked = schema.model_validate(job.submission.input)
        except ValidationError as error:
            return Made(errors.invalid_input(error))
        self._log(job.id, "Starting generation")
        if job.fault("never_finish"):
            await asyncio.Event().wait()
        if (failure := _failure(job)) is not None:
            await asyncio.sleep(self._pace.seconds(job))
            return Made(failure)
        if job.fault("requeue") and job.attempts == 1:
            await asyncio.sleep(self._pace.seconds(job))
            raise RequeueError
        return await self._draw(job, asked)

    def close(self) -> None:
        """Let the threads go; the renderings in them were stopped by their requests' cancellation."""
        self._threads.shutdown(wait=False)

    async def _draw(self, job: Job, asked: TextToVideoInput) -> Made:
        clip = asked.clip()
        if job.fault("wrong_length"):
            clip = replace(clip, frames=clip.frames // 2)
        name = f"{hashlib.sha256(job.id.encode()).hexdigest()[:8]}/pika_{job.id.replace('-', '')[-12:]}.mp4"
        path = self._files / name
        await self._render(job, clip, path)
        size = path.stat().st_size
        _spoil(job, path)
        self._log(job.id, f"Generation finished, {size} bytes")
        video = {
            "url": f"{job.submission.origin}/files/b/{name}",
            "content_type": "video/mp4",
            "file_name": path.name,
            "file_size": size,
        }
        # Seconds of video are an inference from the model's price list; for v2.5 the unit is not established.
        return Made(Outcome(200, {"video": video}, {"X-Fal-Billable-Units": str(asked.duration)}), name)

    async def _render(self, job: Job, clip: Clip, path: Path) -> None:
        loop, stopped = asyncio.get_running_loop(), threading.Event()
        began, seconds = time.monotonic(), self._pace.seconds(job)

        def progress(done: int, total: int) -> None:
            if done % (total // STEPS) == 0:
                loop.call_soon_threadsafe(self._log, job.id, f"Rendered {done}/{total} frames")
            if stopped.wait(max(0.0, began + seconds * done / total - time.monotonic())):
                raise _StoppedError

        try:
            await loop.run_in_executor(self._threads, _render_in_place, clip, path, progress)
        except asyncio.CancelledError:
            stopped.set()
            raise


def _render_in_place(clip: Clip, path: Path, progress: Callable[[int, int], None]) -> None:
    """Render beside the path and move it there, so that a file that is there is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{threading.get_ident()}.part")
    try:
        render(clip, draft, progress)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _failure(job: Job) -> Outcome | None:
    """The failure that the request was asked to end with, if any."""
    if job.fault("content_policy_violation"):
        return errors.content_policy_violation(job.prompt)
    if fault := job.fault("generation_error"):
        return errors.generation_error(retryable=fault.retryable)
    if fault := job.fault("downstream_error"):
        return errors.downstream_error(retryable=fault.retryable)
    return errors.runner_disconnected() if job.fault("runner_error") else None


def _spoil(job: Job, path: Path) -> None:
    """Put in the file's place what a file fault asks for. The result goes on naming the good file's size."""
    size = path.stat().st_size
    if job.fault("truncated_file"):
        path.write_bytes(path.read_bytes()[: size // 2])
    if job.fault("broken_file"):
        path.write_bytes(hashlib.shake_256(job.id.encode()).digest(size))
    if job.fault("html_file"):
        path.write_bytes(HTML_PAGE)
