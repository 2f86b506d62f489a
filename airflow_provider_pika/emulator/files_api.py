"""The result files, as fal's CDN serves them: to anybody who has the URL, in ranges too (fal-protocol.md 7.2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse

from airflow_provider_pika.emulator.drawing import STAND_IN
from airflow_provider_pika.emulator.fault_registry import Subject
from airflow_provider_pika.emulator.gate import Gate
from airflow_provider_pika.emulator.records import Job
from airflow_provider_pika.emulator.store import Store
from airflow_provider_pika.emulator.tally import Tally


@dataclass(frozen=True)
class FilesApi:
    """``folder`` holds the files under the same two names as their URLs, and the one for what was not rendered."""

    store: Store
    gate: Gate
    tally: Tally
    folder: Path

    def router(self) -> APIRouter:
        """One route, GET and HEAD."""
        router = APIRouter()
        router.add_api_route("/files/b/{prefix}/{name}", self.file, methods=["GET", "HEAD"])
        return router

    async def file(self, prefix: str, name: str) -> Response:
        """The file. Only what the database knows as a result is served, so no path leads out of the folder."""
        self.tally.add("file")
        job = self.store.by_file(f"{prefix}/{name}")

        async def process() -> Response:
            if job is None or job.file is None:
                return JSONResponse({"detail": "Not Found"}, 404)
            return self._serve(job, self._path(job.file))

        subjects = [] if job is None else [Subject(job.prompt, f"file:{job.id}")]
        return await self.gate.exchange("file", subjects, process)

    def _path(self, file: str) -> Path:
        own = self.folder / file
        return own if own.exists() else self.folder / STAND_IN

    def _serve(self, job: Job, path: Path) -> Response:
        if (fault := job.fault("slow_download")) is not None:
            headers = {"Content-Length": str(path.stat().st_size)}
            return StreamingResponse(_drip(path, fault.bytes_per_second), media_type="video/mp4", headers=headers)
        return FileResponse(path, media_type="text/html" if job.fault("html_file") else "video/mp4")


async def _drip(path: Path, bytes_per_second: int) -> AsyncIterator[bytes]:
    """The file, ten pieces a second."""
    content, size = await asyncio.to_thread(path.read_bytes), max(bytes_per_second // 10, 1)
    for start in range(0, len(content), size):
        yield content[start : start + size]
        await asyncio.sleep(size / bytes_per_second)
