"""The files that are saved: ``python -m tests.benchmarks.saving_files SIZE FOLDER REPORT`` makes and fetches them."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx


@dataclass(frozen=True)
class Source:
    """A generated video, as the sensor returns it, and where a copy of its file lies on this machine."""

    video: dict[str, Any]
    local: str


def main(size: str, folder: str, report: str) -> None:
    """Generate a clip as it is and one of so many bytes; write down both.

    The copies are fetched from where all will fetch, so that no measurement is the first to read the file.
    """
    from tests.support.saving import generated

    prompts = {"small": "a fox", "large": f"a whale [[large_file bytes={size}]]"}
    sources = {}
    for name, prompt in prompts.items():
        video, _ = generated(prompt)
        local = Path(folder) / f"{name}.mp4"
        with httpx.stream("GET", video["url"]) as response, local.open("wb") as file:
            for piece in response.raise_for_status().iter_bytes():
                file.write(piece)
        sources[name] = asdict(Source(video, str(local)))
    Path(report).write_text(json.dumps(sources))


if __name__ == "__main__":
    main(*sys.argv[1:])
