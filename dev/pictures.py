"""The pictures of ``docs/seeing-clips.md``: a real Airflow, clips that its Dags have made, and a real browser.

Run ``.venv/bin/python -m dev.pictures`` when the pages change. It needs Chromium and no key, and takes a few minutes.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from airflow_provider_pika.emulator.process import EmulatorProcess
from dev.airflow_home import ROOT, AirflowHome, pika_connection

FOLDER = ROOT / "docs" / "images"

#: What the clips are of.
PROMPTS = (
    "A red fox runs through fresh snow at dawn, the camera follows low",
    "A paper boat crosses a puddle in the rain",
    "A lighthouse at night, its beam sweeps over the waves",
    "Steam rises from a copper kettle, slowly turning",
    "A street market in the morning, seen from a bicycle",
)

#: A window, and a telephone's; in pixels.
WIDE, NARROW = (1280, 800), (390, 780)

#: Bytes of a picture at most.
MOST = 120_000

#: Seconds in which Airflow is up, and in which a run ends.
WITHIN = 900.0

SINGLE, BATCH, REFUSED = "example_pika_text_to_video", "example_pika_batch", "example_pika_refused_prompt"


def main() -> int:
    """Make the clips, and take the pictures."""
    price = ["--price", "fal-ai/pika/v2.5/text-to-video=videos:0.20"]
    with (
        tempfile.TemporaryDirectory(prefix="pictures-", ignore_cleanup_errors=True) as name,
        EmulatorProcess.start(Path(name) / "emulator", runners=4, generation_time="3", extra=price) as emulator,
    ):
        port = "8098"
        api = {
            "AIRFLOW__API__PORT": port,
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://localhost:{port}/execution/",
        }
        home = AirflowHome(Path(name) / "airflow", settings={**api, **pika_connection(emulator.queue_url)})
        home.migrate(Path(name) / "migrate.log")
        log = Path(name) / "airflow.log"
        with log.open("wb") as output, home.started(["airflow", "standalone"], output.fileno()):
            _take(f"http://localhost:{port}", _made(f"http://localhost:{port}"))
    return 0


def _made(url: str) -> dict[str, str]:
    """Have Airflow make clips, and return the last run of each Dag."""
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as http:

        def call(method: str, path: str, **more: Any) -> Any:
            return http.request(method, f"/api/v2/{path}", **more).raise_for_status().json()

        def sign_in() -> bool:
            http.headers["Authorization"] = f"Bearer {http.get('/auth/token').json()['access_token']}"
            return all(http.get(f"/api/v2/dags/{dag_id}").is_success for dag_id in (SINGLE, BATCH, REFUSED))

        _until(sign_in)
        runs = list[tuple[str, str]]()
        for dag_id, conf in [
            (REFUSED, {}),
            *((SINGLE, {"prompt": prompt}) for prompt in PROMPTS),
            (BATCH, {"number": 12}),
        ]:
            run = call("POST", f"dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})["dag_run_id"]
            runs.append((dag_id, run))
        for dag_id, run in runs:
            _until(lambda dag_id=dag_id, run=run: call("GET", f"dags/{dag_id}/dagRuns/{run}")["state"] != "running")  # type: ignore[misc]
            print(dag_id, call("GET", f"dags/{dag_id}/dagRuns/{run}")["state"], flush=True)
        return dict(runs)


def _take(url: str, runs: dict[str, str]) -> None:
    clip = {"dag_id": SINGLE, "run_id": runs[SINGLE], "task_id": "save", "map_index": -1}
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
            page.goto(url)  # which signs in
            page.wait_for_timeout(3000)
            page.goto(f"{url}/{path}")
            page.wait_for_timeout(3000)
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


def _until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + WITHIN
    while True:
        try:
            if done():
                return
        except (httpx.HTTPError, KeyError, ValueError):
            pass  # Airflow starts
        if time.monotonic() > end:
            raise TimeoutError("Airflow takes too long")
        time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
