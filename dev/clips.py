"""`make clips`: the clips that `make demo` has made, in Airflow's UI: its API server alone, on the demo's database.

No scheduler runs beside it, so a demo may run at the same time.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

from dev.airflow_home import HOMES, AirflowHome

FOLDER = HOMES / "demo"

#: Where the server that runs says its URL.
TOLD = "clips-url"

#: Another port than `make standalone` has, so that both may run.
PORT = "8081"


def main() -> int:
    """Run until interrupted; give the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job inherits SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    port = os.environ.get("PORT") or PORT
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        print(f"clips: PORT={port!r} is no port: use 1 to 65535", file=sys.stderr)
        return 1
    try:
        return _serve(port)
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        print(
            f"clips: port {port} cannot be had ({error.strerror}); name another: PORT=8090 make clips", file=sys.stderr
        )
        return 1
    except RuntimeError as error:
        print(f"clips: {error}", file=sys.stderr)
        return 1


def _serve(port: str) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", int(port)))
    FOLDER.mkdir(parents=True, exist_ok=True)
    home = AirflowHome(FOLDER)
    home.migrate(FOLDER / "airflow.log")
    log = FOLDER / "api-server.log"
    print(f"Starting Airflow's API server (10 seconds). Its output is in {log}. Ctrl-C ends it.", flush=True)
    with api_server(home, port, log) as (url, process), _told(url):
        print(f"Clips: {url}/plugin/pika-clips", flush=True)
        return process.wait()


@contextlib.contextmanager
def api_server(home: AirflowHome, port: str, log: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start Airflow's API server, and yield its URL and its process when it answers.

    :raises RuntimeError: it ended; ``log`` says why.
    """
    url = f"http://localhost:{port}"
    command = ["airflow", "api-server", "--port", port, "--workers", "1", "--apps", "core"]
    with log.open("wb") as output, home.started(command, output.fileno()) as process:
        while process.poll() is None and not is_up(url):
            time.sleep(0.3)
        if process.poll() is not None:
            raise RuntimeError(f"Airflow ended with {process.returncode}; its output is in {log}")
        yield url, process


@contextlib.contextmanager
def _told(url: str) -> Iterator[None]:
    """Say where the server is, as long as it runs: the demo reads it."""
    (FOLDER / TOLD).write_text(url)
    try:
        yield
    finally:
        (FOLDER / TOLD).unlink(missing_ok=True)


def is_up(url: str) -> bool:
    """Return whether an API server answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError), opener.open(f"{url}/api/v2/version", timeout=5):
        return True
    return False


def page_of(metadata: Path, folder: Path = FOLDER) -> str:
    """Return a line that leads to a clip's page: its URL where the server runs, or else how to start it.

    :param metadata: the clip's metadata file, which names its task.
    :param folder: the home whose server it is.
    """
    known = json.loads(metadata.read_text())
    names = {name: known[name] for name in ("dag_id", "run_id", "task_id", "map_index")}
    path = f"/pika/clip?{urlencode(names)}"
    with contextlib.suppress(OSError):
        url = (folder / TOLD).read_text()
        if is_up(url):
            return f"See it in Airflow: {url}{path}"
    return f"See it in Airflow: `make clips`, then http://localhost:{PORT}{path}"


if __name__ == "__main__":
    sys.exit(main())
