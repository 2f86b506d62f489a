"""The process that is measured: ``python -m tests.benchmarks.saving_measured SHAPE SOURCES TARGET REPORT``."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks import budget
from tests.benchmarks.saving_files import Source

#: Saves a file under a path; gives the most KiB that another process held for it, None where this one did it.
Save = Callable[[Source, str], int | None]

#: Seconds between two polls at another process: the system itself keeps the most that it held.
LOOK_EVERY = 0.005


def _our_operator() -> Save:
    """Return the operator's ``execute``: with its checks, its hash, its fsync, and the metadata beside the file."""
    from tests.support.saving import save

    def run(source: Source, target: str) -> None:
        save(source.video, target)

    return run


def _curl(source: Source, target: str) -> int:
    """Run curl; what it held when it began counts too, as it was started for this only."""
    most = 0
    with subprocess.Popen(["curl", "-sSf", "-o", target, source.video["url"]]) as curl:
        while curl.poll() is None:
            most = max(most, budget.peak(curl.pid))
            time.sleep(LOOK_EVERY)
    if curl.returncode:
        raise RuntimeError(f"curl ended with {curl.returncode}.")
    return most


def _curl_and_fsync(source: Source, target: str) -> int:
    """Have the file on the disk when it is said to be there, as ours is."""
    most = _curl(source, target)
    with open(target, "rb") as file:
        os.fsync(file.fileno())
    return most


def _httpx() -> Save:
    """Return what a user writes in a ``@task``, without any check."""
    import httpx

    def run(source: Source, target: str) -> None:
        with httpx.stream("GET", source.video["url"]) as response, open(target, "wb") as file:
            for piece in response.raise_for_status().iter_bytes():
                file.write(piece)

    return run


def _put_file() -> Save:
    """Return s3fs's own upload, with its defaults, of the copy that is on the disk already."""
    from airflow.sdk import ObjectStoragePath

    def run(source: Source, target: str) -> None:
        place = ObjectStoragePath(target)
        place.fs.put_file(source.local, place.path)

    return run


#: Shape: makes what saves, and imports what that needs.
SHAPES: dict[str, Callable[[], Save]] = {
    "pika operator": _our_operator,
    "curl -o": lambda: _curl,
    "curl -o, then fsync": lambda: _curl_and_fsync,
    "httpx.stream, unchecked": _httpx,
    "s3fs put_file, of a file on disk": _put_file,
}


def main(shape: str, sources: str, target: str, report: str) -> None:
    """Save the small clip, then measure the large one, and write the report."""
    budget.take_the_core()
    files = {name: Source(**source) for name, source in json.loads(Path(sources).read_text()).items()}
    save = SHAPES[shape]()
    save(files["small"], f"{target}-small.mp4")
    before, cpu, begun = budget.peak_from_now(), _cpu(), time.monotonic()
    other = save(files["large"], f"{target}-large.mp4")
    found = {
        "wall_s": round(time.monotonic() - begun, 3),
        "cpu_s": round(_cpu() - cpu, 3),
        "peak_mb": round((budget.peak() - before if other is None else other) / 1024, 1),
    }
    Path(report).write_text(json.dumps(found))


def _cpu() -> float:
    """Return the seconds of CPU of this process and those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main(*sys.argv[1:])
