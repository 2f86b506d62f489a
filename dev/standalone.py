"""`make standalone`: all of Airflow, with the examples and the emulator, for a person with a browser."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

from airflow_provider_pika.emulator.process import EmulatorProcess
from dev.airflow_home import HOMES, SHORT_AIRFLOW, AirflowHome, pika_connection

FOLDER = HOMES / "standalone"
LOG = FOLDER / "airflow.log"


def main() -> int:
    """Run until interrupted; give the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job inherits SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    FOLDER.mkdir(parents=True, exist_ok=True)
    port = os.environ.get("PORT") or "8080"
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        print(f"standalone: PORT={port!r} is no port: use 1 to 65535", file=sys.stderr)
        return 1
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", int(port)))
        with EmulatorProcess.start(FOLDER / "emulator", generation_time="10-20") as emulator:
            api = {
                "AIRFLOW__API__PORT": port,
                "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://localhost:{port}/execution/",
            }
            home = AirflowHome(FOLDER, settings={**api, **pika_connection(emulator.queue_url)})
            home.migrate(FOLDER / "migrate.log")
            _make_pool(home)
            print(f"Starting Airflow (half a minute). Its output is in {LOG}. Ctrl-C ends it all.", flush=True)
            with LOG.open("wb") as log, home.started(["airflow", "standalone"], log.fileno()) as process:
                if not _is_up(process, port):
                    raise RuntimeError(f"Airflow ended with {process.returncode}; its output is in {LOG}")
                print(f"Clips:    http://localhost:{port}/plugin/pika-clips")
                print(f"Emulator: {emulator.queue_url}", flush=True)
                return process.wait()
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        print(
            f"standalone: port {port} cannot be had ({error.strerror}); name another: PORT=8090 make standalone",
            file=sys.stderr,
        )
        return 1
    except RuntimeError as error:
        print(f"standalone: {error}", file=sys.stderr)
        return 1


def _is_up(process: subprocess.Popen[str], port: str) -> bool:
    """Wait until Airflow answers; False: it has ended."""
    health = f"http://localhost:{port}/api/v2/monitor/health"
    while process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(health, timeout=5):
            return True
        time.sleep(0.5)
    return False


def _make_pool(home: AirflowHome) -> None:
    """Make the pool of `example_pika_pool`, once: without it, Airflow starts none of its tasks."""
    made = FOLDER / "pool-made"
    if not made.exists():
        command = [*SHORT_AIRFLOW, "pools", "set", "pika", "4", "Clips at fal", "--include-deferred"]
        if home.run(command, FOLDER / "pool.log") != 0:
            raise RuntimeError(f"airflow pools set failed; its output is in {FOLDER / 'pool.log'}")
        made.touch()


if __name__ == "__main__":
    sys.exit(main())
