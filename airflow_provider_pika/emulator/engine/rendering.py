"""How the file of a result comes to be: drawn for its request, or, under load, one small file for all."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from airflow_provider_pika.emulator.engine.clip import FRAMES_PER_SECOND, Clip, render

STEPS = 5
"""How many times a rendering logs its progress."""

SMALLEST = Clip("Rendering is off", None, 854, 480, FRAMES_PER_SECOND)
"""The lowest resolution and the shortest length that any endpoint takes."""


STAND_IN = "stand-in.mp4"
"""The file that is served for every request which has none of its own."""


class Drawing(Protocol):
    """What a generator needs."""

    async def draw(self, request_id: str, clip: Clip, path: Path, seconds: float) -> Path:
        """A whole video, made in ``seconds`` at least; at ``path`` if it is the request's own. May be cancelled."""

    def close(self) -> None:
        """No more of it."""


class Renderer:
    """The clip that was asked for. Renders in threads of its own, so that the event loop goes on answering."""

    def __init__(self, log: Callable[[str, str], None], runners: int) -> None:
        self._log = log
        # A request that is cancelled holds its thread for one more frame: hence one thread to spare.
        self._threads = ThreadPoolExecutor(runners + 1, thread_name_prefix="render")

    async def draw(self, request_id: str, clip: Clip, path: Path, seconds: float) -> Path:
        """Frame by frame, evenly over the time, with a log line now and then."""
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
        """Let the threads go; the renderings in them were stopped by their requests' cancellation."""
        self._threads.shutdown(wait=False)


class StandIn:
    """The same video for every request, whatever it asks for: drawn once, and kept in ``folder``."""

    def __init__(self, folder: Path) -> None:
        """Draw it unless it is there. Takes some 0.1 s; `OSError` if it cannot be written."""
        self._path = folder / STAND_IN
        if not self._path.exists():
            _render_in_place(SMALLEST, self._path, lambda done, total: None)

    async def draw(self, request_id: str, clip: Clip, path: Path, seconds: float) -> Path:
        """Only wait."""
        await asyncio.sleep(seconds)
        return self._path

    def close(self) -> None:
        """Nothing to let go."""


class _StoppedError(Exception):
    """The request was cancelled, or the emulator is stopping, in the middle of a rendering."""


def _render_in_place(clip: Clip, path: Path, progress: Callable[[int, int], None]) -> None:
    """Render beside the path and move it there, so that a file that is there is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{threading.get_ident()}.part")
    try:
        render(clip, draft, progress)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
