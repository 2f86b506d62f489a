"""The process that is measured: ``... pipeline_measured SHAPE QUEUE_URL CLIPS BYTES FOLDER MANIFEST REPORT``.

A pipeline submits, waits and saves; a save fetches what the first pipeline has generated and left in the manifest.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.benchmarks import budget
from tests.benchmarks.wait_shapes import arguments

#: Files that are fetched at once, by every peer.
AT_ONCE = 16

#: Seconds between two polls of those that have no own way.
INTERVAL = 1.0

#: Saves the clips of these prompts in a folder; returns the seconds that a worker was held for all.
Pipeline = Callable[[list[str], str, str], float]


def _ours(*, poster: bool) -> Pipeline:
    from airflow_provider_pika.batch import attempt, submitter  # noqa: F401 (imported before the base line)
    from airflow_provider_pika.fal import async_client  # noqa: F401

    save = _our_save(poster=poster)

    def run(prompts: list[str], folder: str, manifest: str) -> float:
        held = _generate(prompts, manifest)
        return held + save(prompts, folder, manifest)

    return run


def _generate(prompts: list[str], manifest: str) -> float:
    """Run the batch operator, and its trigger; return the seconds that were the operator's."""
    from airflow.providers.common.compat.sdk import TaskDeferred

    from airflow_provider_pika.operators.batch import PikaTextToVideoBatchOperator
    from tests.support.airflow import StateStore, TaskInstance, event_of

    Path(manifest).unlink(missing_ok=True)
    inputs = [arguments(prompt) for prompt in prompts]
    task = PikaTextToVideoBatchOperator(task_id="batch", inputs=inputs, max_in_flight=200, manifest_path=manifest)
    here: Any = {"ti": TaskInstance(), "task_state_store": StateStore()}
    held, resume, more = 0.0, task.execute, dict[str, Any]()
    while True:
        began = time.monotonic()
        try:
            resume(here, **more)
            return held + time.monotonic() - began
        except TaskDeferred as deferred:
            held += time.monotonic() - began
            resume = task.execute_complete
            more = {**(deferred.kwargs or {}), "event": event_of(deferred.trigger)}


def _our_save(*, poster: bool) -> Pipeline:
    from airflow_provider_pika.saving import batch  # noqa: F401 (imported before the base line)
    from airflow_provider_pika.transfers.batch_to_object_storage import PikaBatchToObjectStorageOperator
    from tests.support.saving import SavingInstance

    def run(prompts: list[str], folder: str, manifest: str) -> float:
        began = time.monotonic()
        PikaBatchToObjectStorageOperator(
            task_id="save",
            batch={"clips": None, "manifest": manifest},
            path=f"{folder}/{{index}}.mp4",
            at_once=AT_ONCE,
            must_fit=False,  # the emulator has drawn none of them
            poster=poster,
        ).execute({"ti": SavingInstance(), "outlet_events": {}})  # type: ignore[typeddict-item]
        return time.monotonic() - began

    return run


def _subscribe(queue_url: str) -> Pipeline:
    """Return the ten lines that users write, a worker for each clip."""
    import fal_client.client
    import httpx

    fal_client.client.QUEUE_URL_FORMAT = f"{queue_url}/"  # as in wait_shapes.py

    def one(prompt: str, path: Path) -> float:
        began = time.monotonic()
        video = fal_client.subscribe(budget.ENDPOINT, arguments(prompt))["video"]
        path.write_bytes(httpx.get(video["url"]).raise_for_status().content)
        return time.monotonic() - began

    def run(prompts: list[str], folder: str, manifest: str) -> float:
        with ThreadPoolExecutor(AT_ONCE) as workers:
            paths = [Path(folder) / f"{n}.mp4" for n in range(len(prompts))]
            return sum(workers.map(one, prompts, paths))

    return run


def _script(queue_url: str) -> Pipeline:
    """Return a bare script: each request is submitted once, polled every second, and its file is written."""
    import aiohttp

    url, key = f"{queue_url}/{budget.ENDPOINT}", {"Authorization": f"Key {budget.KEY}"}

    async def one(http: aiohttp.ClientSession, prompt: str, path: Path, few: asyncio.Semaphore) -> None:
        async with http.post(url, json=arguments(prompt), headers=key) as answer:
            told = await answer.json()
        status = ""
        while status != "COMPLETED":
            await asyncio.sleep(INTERVAL)
            async with http.get(told["status_url"], headers=key) as answer:
                status = (await answer.json())["status"]
        async with http.get(told["response_url"], headers=key) as answer:
            video = (await answer.json())["video"]
        async with few, http.get(video["url"]) as answer:
            with path.open("wb") as file:
                async for piece in answer.content.iter_chunked(1 << 16):
                    file.write(piece)

    async def all_of_them(prompts: list[str], folder: str) -> None:
        few, limit = asyncio.Semaphore(AT_ONCE), aiohttp.TCPConnector(limit=100)
        async with aiohttp.ClientSession(connector=limit) as http:
            paths = [Path(folder) / f"{n}.mp4" for n in range(len(prompts))]
            await asyncio.gather(*(one(http, *each, few) for each in zip(prompts, paths, strict=True)))

    def run(prompts: list[str], folder: str, manifest: str) -> float:
        began = time.monotonic()
        asyncio.run(all_of_them(prompts, folder))
        return time.monotonic() - began

    return run


#: Shape: makes what generates and saves. The first leaves the manifest that the others read.
PIPELINES: dict[str, Callable[[str], Pipeline]] = {
    "pika batch and save": lambda queue_url: _ours(poster=False),
    "pika batch and save, posters": lambda queue_url: _ours(poster=True),
    "bare asyncio script": _script,
    "mapped fal_client.subscribe": _subscribe,
}

#: Shape: makes what saves what is generated already.
SAVES: dict[str, Callable[[str], Pipeline]] = {
    "pika save": lambda queue_url: _our_save(poster=False),
    "pika save, posters": lambda queue_url: _our_save(poster=True),
}


def main(shape: str, queue_url: str, clips: str, size: str, folder: str, manifest: str, report: str) -> None:
    """Measure, and write the report."""
    budget.take_the_core()
    pipeline = (PIPELINES | SAVES)[shape](queue_url)
    prompts = [f"clip {number} [[large_file bytes={size}]]" for number in range(int(clips))]
    before, cpu, began = budget.peak_from_now(), _cpu(), time.monotonic()
    held = pipeline(prompts, folder, manifest)
    took = time.monotonic() - began
    found = {
        "wall_s": round(took, 2),
        "cpu_ms": round(1000 * (_cpu() - cpu) / len(prompts), 1),
        "worker_s": round(held / len(prompts), 3),
        "peak_mb": round((budget.peak() - before) / 1024, 1),
    }
    if shape in SAVES:
        found["mb_per_s"] = round(len(prompts) * int(size) / 1e6 / took, 1)
    Path(report).write_text(json.dumps(found))


def _cpu() -> float:
    """Return the seconds of CPU of this process and those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main(*sys.argv[1:])
