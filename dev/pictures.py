"""The pictures of the pages about clips and their approval: a real Airflow, clips of its Dags, and a real browser.

Run ``.venv/bin/python -m dev.pictures`` when the pages change. It needs Chromium and no key, and takes a few minutes.
"""

from __future__ import annotations

import io
import json
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from airflow_provider_pika.emulator.process import EmulatorProcess
from dev.airflow_home import ROOT, SHORT_AIRFLOW, AirflowHome, pika_connection
from dev.clips import api_server

#: The second is what `.ci/run` installs. None: there is none on this machine.
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-headless-shell")

FOLDER = ROOT / "docs" / "images"

#: A window, and a telephone's; in pixels.
WIDE, NARROW = (1280, 800), (390, 780)

#: Bytes of a picture at most.
MOST = 120_000

#: Milliseconds that a page may take.
WITHIN = 600_000

SINGLE, MAPPED, BATCH = "example_pika_text_to_video", "example_pika_many_prompts", "example_pika_batch"

#: The Dag that asks, and its task.
BEST_OF, REVIEW = "example_pika_best_of", "round_1.review"

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
            if home.run(_test(dag_id, conf), log) != 0:
                raise RuntimeError(f"{dag_id} failed:\n{log.read_text()[-4000:]}")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        with (
            api_server(home, port, Path(name) / "api-server.log") as (url, _),
            sync_playwright() as playwright,
            playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]) as browser,
        ):
            _take_clips(browser, url)
            print(f"Running {BEST_OF} ...", flush=True)
            with log.open("ab") as output, home.started(_test(BEST_OF, {}), output.fileno()) as waits:
                _take_review(browser, url)
                if waits.wait(WITHIN / 1000) != 0:
                    raise RuntimeError(f"{BEST_OF} failed:\n{log.read_text()[-4000:]}")
    return 0


def _test(dag_id: str, conf: dict[str, Any]) -> list[str]:
    return [*SHORT_AIRFLOW, "dags", "test", dag_id, "--conf", json.dumps(conf)]


def _get(url: str, path: str) -> Any:
    with httpx.Client(base_url=url, trust_env=False, timeout=WITHIN / 1000) as http:
        token = http.get("/auth/token").raise_for_status().json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        return http.get(f"/api/v2/dags/{path}", headers=headers).raise_for_status().json()


def _last_run(url: str, dag_id: str) -> str:
    return str(_get(url, f"{dag_id}/dagRuns")["dag_runs"][-1]["dag_run_id"])


def _take_clips(browser: Browser, url: str) -> None:
    """Take those of ``docs/seeing-clips.md``."""
    runs = {dag_id: _last_run(url, dag_id) for dag_id in (SINGLE, MAPPED, BATCH)}
    clip = {"dag_id": MAPPED, "run_id": runs[MAPPED], "task_id": "save", "map_index": 3}
    batch = {"dag_id": BATCH, "run_id": runs[BATCH], "task_id": "save", "map_index": -1}
    tab = f"dags/{SINGLE}/runs/{quote(runs[SINGLE])}/tasks/save/plugin/pika-clip"
    for name, path, size, theme in (
        ("clips-light", "plugin/pika-clips", WIDE, "light"),
        ("clips-dark", "plugin/pika-clips", WIDE, "dark"),
        ("clips-clip", tab, WIDE, "light"),
        ("clips-batch", f"pika/batch?{urlencode(batch)}", WIDE, "light"),
        ("clips-narrow", f"pika/clip?{urlencode(clip)}", NARROW, "dark"),
    ):
        page = _open(browser, url, path, size, theme)
        if not path.startswith("pika/"):
            page.frame_locator("iframe").locator("main").wait_for()
        page.wait_for_load_state("networkidle")
        _play(page)
        _save(name, page)


def _take_review(browser: Browser, url: str) -> None:
    """Take those of ``docs/approving-clips.md``, and decide, so that the Dag ends."""
    at = {"dag_id": BEST_OF, "run_id": _until_asked(url), "task_id": REVIEW, "map_index": -1}
    task = f"dags/{BEST_OF}/runs/{quote(str(at['run_id']))}/tasks/{REVIEW}"
    own = _open(browser, url, f"{task}/required_actions", WIDE, "light")
    own.get_by_role("button", name="Keep").wait_for()
    own.wait_for_load_state("networkidle")
    _save("review-required-actions", own)
    page = _open(browser, url, f"pika/review?{urlencode(at)}", WIDE, "light")
    _play(page)
    page.get_by_role("radio", name="Keep this one: clip 2").check()
    page.get_by_label("Note on clip 2").fill("The light on the water")
    page.get_by_role("button", name="Send the decision").wait_for()
    _save("review-asked", page, close=False)
    page.get_by_role("button", name="Send the decision").click()
    page.get_by_text("Decided: 1 of 3 clips kept.").first.wait_for()
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_load_state("networkidle")
    _save("review-decided", page)


def _until_asked(url: str) -> str:
    """Wait until the task asks, and return the ID of its run."""
    until = time.monotonic() + WITHIN / 1000
    while time.monotonic() < until:
        asked = _get(url, f"{BEST_OF}/dagRuns/~/hitlDetails")["hitl_details"]
        if asked:
            return str(asked[0]["task_instance"]["dag_run_id"])
        time.sleep(1)
    raise RuntimeError(f"{BEST_OF} did not ask")


def _open(browser: Browser, url: str, path: str, size: tuple[int, int], theme: str) -> Page:
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    context.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    page = context.new_page()
    page.set_default_timeout(WITHIN)
    page.goto(url)  # which signs in
    page.get_by_role("link", name="Dags").first.wait_for()
    page.goto(f"{url}/{path}")
    return page


def _play(page: Page) -> None:
    """Play the clips of a page a little."""
    for frame in page.frames:
        for number in range(frame.locator("video").count()):
            frame.evaluate(
                "async number => { const video = document.querySelectorAll('video')[number]; video.muted = true;"
                " await video.play(); await new Promise(done => setTimeout(done, 1500)); video.pause() }",
                number,
            )


def _save(name: str, page: Page, close: bool = True) -> None:
    """Write a picture of a page in as few bytes as it may have."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    path = FOLDER / f"{name}.webp"
    for quality in (85, 75, 60, 45):
        picture.save(path, "WEBP", quality=quality, method=6)
        if path.stat().st_size <= MOST:
            break
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes", flush=True)
    if close:
        page.context.close()


if __name__ == "__main__":
    sys.exit(main())
