"""The result files, as fal's CDN serves them: to anybody who has the URL, in ranges too (fal-protocol.md 7.2)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response

from airflow_provider_pika.emulator.downloads import Trickling
from airflow_provider_pika.emulator.drawing import STAND_IN
from airflow_provider_pika.emulator.fault_registry import Subject
from airflow_provider_pika.emulator.file_log import FileLog, Noted
from airflow_provider_pika.emulator.gate import Gate, refused
from airflow_provider_pika.emulator.records import Job
from airflow_provider_pika.emulator.store import Store
from airflow_provider_pika.emulator.tally import Tally


class ResultFile(FileResponse):
    """In larger pieces than usual: a gigabyte takes 0.7 s in place of 3 s."""

    chunk_size = 2**20


@dataclass(frozen=True)
class FilesApi:
    """``folder`` holds the files under the same two names as their URLs, and the one for what was not rendered."""

    store: Store
    gate: Gate
    tally: Tally
    log: FileLog
    folder: Path

    def router(self) -> APIRouter:
        """One route, GET and HEAD."""
        router = APIRouter()
        router.add_api_route("/files/b/{prefix}/{name}", self.file, methods=["GET", "HEAD"])
        return router

    async def file(self, request: Request, prefix: str, name: str) -> Response:
        """The file. Only what the database knows as a result is served, so no path leads out of the folder."""
        self.tally.add("file")
        noted = self.log.add(request)
        job = self.store.by_file(f"{prefix}/{name}")

        async def process() -> Response:
            if job is None or job.file is None:
                return refused(404)
            return self._serve(job, self._path(job.file))

        subjects = [] if job is None else [Subject(job.prompt, f"file:{job.id}")]
        return Noted(await self.gate.exchange("file", subjects, process), noted)

    def _path(self, file: str) -> Path:
        own = self.folder / file
        return own if own.exists() else self.folder / STAND_IN

    def _serve(self, job: Job, path: Path) -> Response:
        if job.fault("expired_file"):
            return refused(404)
        if job.fault("forbidden_file"):
            return refused(403)
        reply = ResultFile(path, media_type="text/html" if job.fault("html_file") else "video/mp4")
        slow = job.fault("slow_download")
        return reply if slow is None else Trickling(reply, slow.bytes_per_second)
