"""The picture in README, ``docs/images/demo.svg``: the log of a real ``make demo``, and a frame of its clip.

Run ``.venv/bin/python -m dev.picture`` when the demo's words change. It needs no key.
"""

from __future__ import annotations

import base64
import html
import os
import re
import subprocess
import sys

from airflow_provider_pika.task.paths import POSTER
from dev.pages import ROOT

PICTURE = ROOT / "docs" / "images" / "demo.svg"

#: Pixels: a line of the log, the frame beside it, and the margin around both.
LINE, FRAME, MARGIN = 19, (416, 234), 20

#: What the log is written in; the first that the reader's machine has.
FONT = 'ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace'

#: Characters of a line at most, and pixels of one.
LONGEST, CHARACTER = 74, 7.2


def main() -> int:
    """Run the demo, and draw it."""
    environment = {name: value for name, value in os.environ.items() if name != "FAL_KEY"}
    command = [sys.executable, "-m", "dev.demo"]
    shown = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    lines = shown.splitlines()
    PICTURE.write_text(drawn(told(lines), (ROOT / f"{lines[-1]}{POSTER}").read_bytes()))
    print(PICTURE.relative_to(ROOT))
    return 0


def told(lines: list[str]) -> list[str]:
    """Return what the demo said of its clip, without the folders of this machine, and in lines that fit."""
    log = [line.strip() for line in lines if re.match(r"\s+\d\d:\d\d:\d\d  ", line)]
    log = [re.sub(r"(?<= )/\S+/", "…/", line) for line in log]
    return [line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…" for line in log]


def drawn(lines: list[str], frame: bytes) -> str:
    """Return the picture: a terminal, which is readable on a light page and on a dark one."""
    left = int(LONGEST * CHARACTER) + 2 * MARGIN
    width, height = left + FRAME[0] + MARGIN, max(LINE * (len(lines) + 1) + 2 * MARGIN, FRAME[1] + 2 * MARGIN)
    rows = ["$ make demo", *lines]
    text = "\n".join(
        f'<text x="{MARGIN}" y="{MARGIN + LINE * (number + 0.7):.0f}">{html.escape(row)}</text>'
        for number, row in enumerate(rows)
    )
    image = f"data:image/jpeg;base64,{base64.b64encode(frame).decode()}"
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">
<title>make demo: the log of a task from its submit to the saved file, and a frame of the clip</title>
<style>text {{ font: 12px {FONT}; fill: #d6deeb; white-space: pre }}</style>
<rect width="{width}" height="{height}" rx="8" fill="#0f1720"/>
{text}
<image x="{left}" y="{(height - FRAME[1]) // 2}" width="{FRAME[0]}" height="{FRAME[1]}" href="{image}"/>
</svg>
"""


if __name__ == "__main__":
    sys.exit(main())
