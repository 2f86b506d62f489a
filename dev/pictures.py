"""The pictures of ``docs/seeing-clips.md``: a real Airflow, clips that its Dags have made, and a real browser.

Run ``.venv/bin/python -m dev.pictures`` when the pages change. It needs Chromium and no key, and takes a few minutes.
"""

from __future__ import annotations

import io
import json
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from airflow_provider_pika.emulator.process import EmulatorProcess
from dev.airflow_home import ROOT, SHORT_AIRFLOW, AirflowHome, pika_connection
from dev.clips import api_server

FOLDER = ROOT / "docs" / "images"

#: A window, and a telephone's; in pixels.
WIDE, NARROW = (1280, 800), (390, 780)

#: Bytes of a picture at most.
MOST = 120_000

#: Milliseconds that a page may take.
WITHIN = 600_000

SINGLE, MAPPED, BATCH = "example_pika_text_to_video", "example_pika_many_prompts", "example_pika_batch"

#: The Dags that are run, in their order, and with what.
RUNS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("example_pika_refused_prompt", {}),
    (MAPPED, {}),
    (BATCH, {"number": 12}),
    (SINGLE, {}),
)


def main() -> int:
    """Make the clips, and take the pictures."""
    price = ["--price", "fal-ai/pika/v2.5/text-to-video=videos:0.20"]
    with (
        tempfile.TemporaryDirectory(prefix="pictures-", ignore_cleanup_errors=True) as name,
        EmulatorProcess.start(Path(name) / "emulator", runners=4, generation_time="1", extra=price) as emulator,
    ):
        patient = {"AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300"}
        home = AirflowHome(Path(name), settings={**patient, **pika_connection(emulator.queue_url)})
        log = Path(name) / "airflow.log"
        home.migrate(log)
        for dag_id, conf in RUNS:
            print(f"Running {dag_id} ...", flush=True)
            if home.run([*SHORT_AIRFLOW, "dags", "test", dag_id, "--conf", json.dumps(conf)], log) != 0:
                raise RuntimeError(f"{dag_id} failed:\n{log.read_text()[-4000:]}")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        with api_server(home, port, Path(name) / "api-server.log") as (url, _):
            _take(url)
    return 0


def _last_run(url: str, dag_id: str) -> str:
    with httpx.Client(base_url=url, trust_env=False, timeout=WITHIN / 1000) as http:
        token = http.get("/auth/token").raise_for_status().json()["access_token"]
        path, headers = f"/api/v2/dags/{dag_id}/dagRuns", {"Authorization": f"Bearer {token}"}
        return str(http.get(path, headers=headers).raise_for_status().json()["dag_runs"][-1]["dag_run_id"])


def _take(url: str) -> None:
    runs = {dag_id: _last_run(url, dag_id) for dag_id in (SINGLE, MAPPED, BATCH)}
    clip = {"dag_id": MAPPED, "run_id": runs[MAPPED], "task_id": "save", "map_index": 3}
    batch = {"dag_id": BATCH, "run_id": runs[BATCH], "task_id": "save", "map_index": -1}
    tab = f"dags/{SINGLE}/runs/{quote(runs[SINGLE])}/tasks/save/plugin/pika-clip"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, path, size, theme in (
            ("clips-light", "plugin/pika-clips", WIDE, "light"),
            ("clips-dark", "plugin/pika-clips", WIDE, "dark"),
            ("clips-clip", tab, WIDE, "light"),
            ("clips-batch", f"pika/batch?{urlencode(batch)}", WIDE, "light"),
            ("clips-narrow", f"pika/clip?{urlencode(clip)}", NARROW, "dark"),
        ):
            context = browser.new_context(viewport={"width": size[0], "height": size[1]})
            context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
            page = context.new_page()
            page.set_default_timeout(WITHIN)
            page.goto(url)  # which signs in
            page.get_by_role("link", name="Dags").first.wait_for()
            page.goto(f"{url}/{path}")
            if not path.startswith("pika/"):
                page.frame_locator("iframe").locator("main").wait_for()
            page.wait_for_load_state("networkidle")
            _play(page)
            _save(name, page.screenshot())
            context.close()
        browser.close()


def _play(page: Page) -> None:
    """Play the clip of a page a little, if it has one."""
    for frame in page.frames:
        if frame.query_selector("video"):
            frame.evaluate(
                "async () => { const v = document.querySelector('video'); v.muted = true; await v.play();"
                " await new Promise(done => setTimeout(done, 1500)); v.pause() }"
            )


def _save(name: str, shot: bytes) -> None:
    """Write a picture in as few bytes as it may have."""
    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    path = FOLDER / f"{name}.webp"
    for quality in (85, 75, 60, 45):
        picture.save(path, "WEBP", quality=quality, method=6)
        if path.stat().st_size <= MOST:
            break
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    sys.exit(main())
