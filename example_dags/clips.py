"""What the examples share: a task that saves a video to a file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from airflow.sdk import Param, task

#: Where the examples put their files, unless the run says otherwise.
FOLDER = Param(
    str(Path(tempfile.gettempdir()) / "pika-videos"), type="string", description="The folder for the MP4 files"
)


@task
def save(video: dict[str, Any], folder: str) -> str:
    """Stream the video to ``<folder>/<request id>.mp4``, and return that path; never half a file under that name."""
    import httpx

    path = Path(folder) / f"{video['request_id']}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with httpx.stream("GET", video["url"]) as answer, part.open("wb") as file:
        answer.raise_for_status()
        for chunk in answer.iter_bytes():
            file.write(chunk)
    part.rename(path)
    print(f"Saved {path}")
    return str(path)


@task
def save_all(videos: list[dict[str, Any]], folder: str) -> list[str]:
    """Save every video as :func:`save` does, and return the paths."""
    return [save.function(video, folder) for video in videos]
