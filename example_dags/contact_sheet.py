"""A picture of many clips: one frame of each, with its prompt. It needs PyAV and Pillow."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from typing import Any

#: Pixels: a clip's cell, and the lines below its frame.
CELL, LINES = 320, 54


def draw(saved: Sequence[dict[str, Any]], path: str, columns: int = 3) -> str:
    """Draw the clips that were saved into a PNG, three in a row; give its path."""
    from airflow.sdk import ObjectStoragePath
    from PIL import Image

    cells = [_cell(clip) for clip in saved]
    height = max(cell.height for cell in cells)
    sheet = Image.new("RGB", (CELL * min(columns, len(cells)), height * -(-len(cells) // columns)), "white")
    for number, cell in enumerate(cells):
        sheet.paste(cell, (CELL * (number % columns), height * (number // columns)))
    with ObjectStoragePath(path).open("wb") as file:
        sheet.save(file, "PNG")
    return path


def _cell(clip: dict[str, Any]) -> Any:
    import av
    from airflow.sdk import ObjectStoragePath
    from PIL import Image, ImageDraw

    prompt = json.loads(ObjectStoragePath(clip["sidecar"]).read_text())["prompt"]
    with ObjectStoragePath(clip["path"]).open("rb") as file, av.open(file) as container:
        container.seek(int(clip["seconds"] / 2 * av.time_base))
        frame = next(container.decode(video=0)).to_image()
    frame = frame.resize((CELL, CELL * frame.height // frame.width))
    cell = Image.new("RGB", (CELL, frame.height + LINES), "white")
    cell.paste(frame)
    ImageDraw.Draw(cell).text((6, frame.height + 4), textwrap.fill(prompt, 50), "black")
    return cell
