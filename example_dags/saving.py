"""A task that saves a video to a file, for the examples: streamed, and never half a file under the final name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import task


@task
def save(video: dict[str, Any], folder: str) -> str:
    """Stream the video to ``folder`` as ``<request id>.mp4``, and return the path."""
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
