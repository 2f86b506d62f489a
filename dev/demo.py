"""`make demo`: the example Dag through real Airflow, told in a few lines; Airflow's own words go to a log file."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from airflow_provider_pika.emulator.process import EmulatorProcess
from airflow_provider_pika.exceptions import PikaError
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.account import Account
from airflow_provider_pika.fal.client import FalQueue
from airflow_provider_pika.task.paths import SIDECAR
from dev.airflow_home import SHORT_AIRFLOW, AirflowHome, pika_connection
from dev.clips import FOLDER, page_of

DAG = "example_pika_text_to_video"

#: A line of Airflow's console log: time, level, message, and the logger that wrote it.
_LOGGED = re.compile(r"^\S+ \[(?P<level>\w+)\s*\] (?P<message>.*?)\s+\[(?P<logger>[\w.]+)\]")
_SAVED = re.compile(r"Saved (?P<path>\S.*\.mp4): \d+ bytes")


def main() -> int:
    """Run the demo; give the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job inherits SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        with contextlib.ExitStack() as stack:
            return _run(stack.enter_context(_queue()))
    except KeyboardInterrupt:
        print("\nInterrupted; nothing is left running here.", file=sys.stderr)
        return 130
    except RuntimeError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


@dataclass(frozen=True)
class Queue:
    """The queue that the demo talks to: what Airflow must know of it, and what to do once the Dag has submitted."""

    settings: dict[str, str]
    after_submit: Callable[[], object]


@contextlib.contextmanager
def _queue() -> Iterator[Queue]:
    """Choose the queue: fal itself if there is a key for it, the emulator if not."""
    if os.environ.get("FAL_KEY", "").strip():
        print("FAL_KEY is set: this runs at fal itself, and fal may charge for it.")
        yield Queue({}, lambda: None)
        return
    shutil.rmtree(FOLDER / "emulator", ignore_errors=True)  # an interrupted demo's requests would still be in its queue
    with EmulatorProcess.start(FOLDER / "emulator", runners=1, generation_time="5") as emulator:
        print(f"No FAL_KEY is set: this runs at the emulator, {emulator.queue_url}, and costs nothing.")
        with FalQueue(Account("Key somebody:else", emulator.queue_url)) as others:
            # other people's requests, so that there is a queue to see: one that runs until we are in it, and a next
            running = others.submit(TEXT_TO_VIDEO, {"prompt": "Somebody else's clip [[never_finish]]"})
            others.submit(TEXT_TO_VIDEO, {"prompt": "And another one", "resolution": "480p"})
            end = threading.Timer(3.0, _cancel, (others, running))
            try:
                yield Queue(pika_connection(emulator.queue_url), end.start)
            finally:
                end.cancel()


def _cancel(queue: FalQueue, request_id: str) -> None:
    with contextlib.suppress(PikaError, RuntimeError):  # Ctrl-C may have ended the emulator, and closed the client
        queue.cancel(TEXT_TO_VIDEO, request_id)


def _run(queue: Queue) -> int:
    home = AirflowHome(FOLDER, settings=queue.settings)
    log = FOLDER / "airflow.log"
    log.write_bytes(b"")
    print(f"Airflow's own log: {_shown(log)}", flush=True)
    home.migrate(log)
    conf = {"folder": str(FOLDER / "videos")}
    if prompt := os.environ.get("PROMPT"):
        conf["prompt"] = prompt
    command = [*SHORT_AIRFLOW, "dags", "test", DAG, "--conf", json.dumps(conf)]
    print("Starting Airflow with the example Dag (about 10 seconds) ...", flush=True)
    with log.open("a") as output, home.started(command, subprocess.PIPE, grace=1.0) as process:
        path = _tell(process, output.write, queue.after_submit)
        failed = process.wait() != 0
    if failed or path is None:
        print(f"The Dag run failed; {_shown(log)} says why.", file=sys.stderr)
        return 1
    metadata = path.with_name(path.name + SIDECAR)
    print(page_of(metadata))
    print(_shown(metadata))
    print(_shown(path))
    return 0


def _tell(
    process: subprocess.Popen[str], keep: Callable[[str], object], after_submit: Callable[[], object]
) -> Path | None:
    """Show what our own code logs, as it happens; give the file that the Dag saved."""
    path = None
    for line in process.stdout or ():
        keep(line)
        if saved := _SAVED.search(line):
            path = Path(saved["path"])
        if (told := _LOGGED.match(line)) and "airflow_provider_pika" in told["logger"]:
            if not told["message"].startswith("While deferred: "):  # seen already, as it happened
                print(f"  {time.strftime('%H:%M:%S')}  {told['message']}", flush=True)
            if told["message"].startswith("Submitted "):
                after_submit()
    return path


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    sys.exit(main())
