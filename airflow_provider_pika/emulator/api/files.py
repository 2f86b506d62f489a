"""The result files, as fal's CDN serves them: to anybody who has the URL, in ranges too (fal-protocol.md 7.2)."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response
from starlette.types import Message, Receive, Scope, Send

from airflow_provider_pika.emulator.api.gate import Gate, Tally, refused
from airflow_provider_pika.emulator.engine.records import Job
from airflow_provider_pika.emulator.engine.rendering import STAND_IN
from airflow_provider_pika.emulator.engine.store import Store
from airflow_provider_pika.emulator.faults.downloads import Trickling
from airflow_provider_pika.emulator.faults.registry import Subject
from airflow_provider_pika.emulator.http.transport import Wrapped

#: Exchanges at most: of a batch of ten thousand, all. Older ones are forgotten.
KEPT = 50_000


@dataclass
class FileRequest:
    """One exchange. ``authorization`` tells whether there was such a header; ``status`` is 0 until one was sent."""

    path: str
    method: str
    range: str | None
    if_range: str | None
    authorization: bool
    status: int = 0


class FileLog:
    """The last exchanges about files, in the order in which they came. They are gone with the process."""

    def __init__(self) -> None:
        self._requests: deque[FileRequest] = deque(maxlen=KEPT)

    def add(self, request: Request) -> FileRequest:
        """Note a request. `Noted` fills in its status."""
        headers = request.headers
        noted = FileRequest(
            request.url.path, request.method, headers.get("range"), headers.get("if-range"), "authorization" in headers
        )
        self._requests.append(noted)
        return noted

    def read(self) -> list[dict[str, Any]]:
        """Return all exchanges, oldest first."""
        return [asdict(request) for request in self._requests]

    def reset(self) -> None:
        """Forget all exchanges."""
        self._requests.clear()


class Noted(Wrapped):
    """A reply that notes its status before it is sent."""

    def __init__(self, reply: Response, request: FileRequest) -> None:
        super().__init__(reply)
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the reply, and note the status of its first message."""

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._request.status = message["status"]
            await send(message)

        await self._reply(scope, receive, noted)


class ResultFile(FileResponse):
    """A file in larger pieces than usual: a gigabyte takes 0.7 s in place of 3 s."""

    chunk_size = 2**20


@dataclass(frozen=True)
class FilesApi:
    """The files in ``folder``, which have the same two names as in their URLs, and the one for all requests."""

    store: Store
    gate: Gate
    tally: Tally
    log: FileLog
    folder: Path

    def router(self) -> APIRouter:
        """Return the one route, for GET and HEAD."""
        router = APIRouter()
        router.add_api_route("/files/b/{prefix}/{name}", self.file, methods=["GET", "HEAD"])
        return router

    async def file(self, request: Request, prefix: str, name: str) -> Response:
        """Serve the file. It must be a result that the database knows, so no path leads out of the folder."""
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
