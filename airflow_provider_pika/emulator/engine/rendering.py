"""How a result gets its file: a clip drawn for the request or, under load, one small clip for all requests."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from airflow_provider_pika.emulator.engine.clip import FRAMES_PER_SECOND, Clip, render

#: How many times a rendering logs its progress.
STEPS = 5

#: The lowest resolution and the shortest length that any endpoint takes.
SMALLEST = Clip("Rendering is off", None, 854, 480, FRAMES_PER_SECOND)


#: The file that is served for every request which has none of its own.
STAND_IN = "stand-in.mp4"


class Drawing(Protocol):
    """What a generator draws with."""

    async def draw(self, request_id: str, clip: Clip, path: Path, seconds: float) -> Path:
        """Return a whole clip, made in ``seconds`` at least, and at ``path`` if it is the request's own."""

    def close(self) -> None:
        """Stop drawing."""


class Renderer:
    """Draws the clip that was asked for, in threads of its own, so that the event loop goes on answering."""

    def __init__(self, log: Callable[[str, str], None], runners: int) -> None:
        self._log = log
        # A cancelled request keeps its thread until it may stop, so there is one thread to spare.
        self._threads = ThreadPoolExecutor(runners + 1, thread_name_prefix="render")

    async def draw(self, request_id: str, clip: Clip, path: Path, seconds: float) -> Path:
        """Write frame by frame, evenly over the time, with a log line now and then."""
        loop, stopped, began = asyncio.get_running_loop(), threading.Event(), time.monotonic()

        def progress(done: int, total: int) -> None:
            if done % (total // STEPS) == 0:
                loop.call_soon_threadsafe(self._log, request_id, f"Rendered {done}/{total} frames")
            if stopped.wait(max(0.0, began + seconds * done / total - time.monotonic())):
                raise _StoppedError

        try:
            await loop.run_in_executor(self._threads, _render_in_place, clip, path, progress)
        except asyncio.CancelledError:
            stopped.set()
            raise
        return path

    def close(self) -> None:
        """Let the threads go. The requests were cancelled, which has stopped the rendering in them."""
        self._threads.shutdown(wait=False)


class StandIn:
    """The same clip for every request, whatever it asks for. It is drawn once and kept in ``folder``."""

    def __init__(self, folder: Path) -> None:
        """Draw the clip unless it is there, in some 0.1 s. Raises `OSError` if it cannot be written."""
        self._path = folder / STAND_IN
        if not self._path.exists():
            _render_in_place(SMALLEST, self._path, lambda done, total: None)

    async def draw(self, request_id: str, clip: Clip, path: Path, seconds: float) -> Path:
        """Wait, and return the clip of all requests."""
        await asyncio.sleep(seconds)
        return self._path

    def close(self) -> None:
        """Do nothing."""


class _StoppedError(Exception):
    """The request was cancelled during its rendering, or the emulator stops."""


def _render_in_place(clip: Clip, path: Path, progress: Callable[[int, int], None]) -> None:
    """Render beside the path and move the file there, so that a file at the path is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{threading.get_ident()}.part")
    try:
        render(clip, draft, progress)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
