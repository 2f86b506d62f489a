"""What a runner does with one request: check its input, draw its clip at a believable pace, return its outcome."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from airflow_provider_pika.emulator.engine import errors
from airflow_provider_pika.emulator.engine.endpoints import ENDPOINTS
from airflow_provider_pika.emulator.engine.inputs import VideoInput
from airflow_provider_pika.emulator.engine.prices import Prices, plain
from airflow_provider_pika.emulator.engine.records import Job, Outcome
from airflow_provider_pika.emulator.engine.rendering import Drawing
from airflow_provider_pika.emulator.faults.result_files import finish_file
from airflow_provider_pika.emulator.http.hosts import media_origin

#: The faults that end a generation with an error.
FAILURES = ("content_policy_violation", "generation_error", "downstream_error", "runner_error")


class RequeueError(Exception):
    """The attempt failed and the queue tries again: fal's own retry, with the same id (3)."""


@dataclass(frozen=True)
class Pace:
    """How long a generation takes at least, in seconds. The request's body decides where in the range."""

    shortest: float
    longest: float

    def seconds(self, job: Job) -> float:
        """Return the time of a request. The same body always takes the same time."""
        share = hashlib.sha256(job.submission.body).digest()[0] / 255
        return self.shortest + share * (self.longest - self.shortest)


@dataclass(frozen=True)
class Made:
    """An outcome and, if there is one, the result file's path below the folder of files."""

    outcome: Outcome
    file: str | None = None


class Generator:
    """What makes the outcome of a request."""

    def __init__(
        self, files: Path, pace: Pace, log: Callable[[str, str], None], drawing: Drawing, prices: Prices
    ) -> None:
        self._files = files
        self._pace = pace
        self._log = log
        self._drawing = drawing
        self._prices = prices

    async def make(self, job: Job) -> Made:
        """Make one attempt. Raises `RequeueError`, and can be cancelled like any coroutine."""
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
        if any(job.fault(name) for name in FAILURES):
            await asyncio.sleep(self._pace.seconds(job))
            return Made(_failure(job, self._units(job, asked)))
        if job.fault("requeue") and job.attempts == 1:
            await asyncio.sleep(self._pace.seconds(job))
            raise RequeueError
        return await self._draw(job, asked)

    def close(self) -> None:
        """Stop drawing. Whoever calls this has cancelled the attempts under way."""
        self._drawing.close()

    async def _draw(self, job: Job, asked: VideoInput) -> Made:
        clip = asked.clip()
        if job.fault("wrong_length"):
            clip = replace(clip, frames=clip.frames // 2)
        name = f"{hashlib.sha256(job.id.encode()).hexdigest()[:8]}/pika_{job.id.replace('-', '')[-12:]}.mp4"
        own = self._files / name
        drawn = await self._drawing.draw(job.id, clip, own, self._pace.seconds(job))
        size = finish_file(job.faults, drawn, own)
        self._log(job.id, f"Generation finished, {size} bytes")
        video = {
            "url": f"{media_origin(job.submission.origin)}/files/b/{name}",
            "content_type": "video/mp4",
            "file_name": own.name,
            "file_size": size,
        }
        return Made(Outcome(200, {"video": video}, {errors.BILLABLE_UNITS: self._units(job, asked)}), name)

    def _units(self, job: Job, asked: VideoInput) -> str:
        """Return the billable units by the price of now, at which the books charge the outcome in the same moment."""
        price = self._prices.of(job.submission.endpoint)
        return "0" if price is None else plain(asked.billable_units(price.unit))


def _failure(job: Job, units: str) -> Outcome:
    """Return the failure that was asked for. A refused prompt may be charged ``units``."""
    if fault := job.fault("content_policy_violation"):
        return errors.content_policy_violation(job.prompt, units if fault.billed else None)
    if fault := job.fault("generation_error"):
        return errors.generation_error(retryable=fault.retryable)
    if fault := job.fault("downstream_error"):
        return errors.downstream_error(retryable=fault.retryable)
    return errors.runner_disconnected()
