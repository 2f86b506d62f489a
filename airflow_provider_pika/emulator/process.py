"""The emulator in a process of its own, and its admin calls: for commands and tests."""

from __future__ import annotations

import contextlib
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

#: Seconds. On a loaded machine, the imports take a few.
READY_WITHIN = 30.0

#: Seconds between SIGTERM and SIGKILL.
STOP_WITHIN = 5.0

#: The exit code for what the user can put right; stderr says how.
USAGE_ERROR = 2


class EmulatorProcess:
    """
    An emulator that listens, with the calls of its admin API. `start` it, use it as a context manager or `stop` it.

    ``queue_url`` and ``run_url`` have no trailing slash; ``ca_file`` is None without TLS. ``add_connection`` is the
    command that it prints for Airflow.
    """

    queue_url: str
    run_url: str
    ca_file: Path | None
    add_connection: str

    def __init__(self, data: Path, options: Sequence[str], *, tls: bool) -> None:
        """Prepare one that is not started. You usually want `start`."""
        self.data = data
        self._options = list(options)
        self._tls = tls
        self._ports = ["--port", "0"]
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  (closed when the process has ended)
        self._process: subprocess.Popen[str] | None = None

    @classmethod
    def start(
        cls,
        data: Path,
        *,
        runners: int = 2,
        generation_time: str = "0.2",
        keys: Sequence[str] = (),
        tls: bool = False,
        extra: Sequence[str] = (),
        port: int = 0,
    ) -> Self:
        """Start one and wait until it listens. Raises `RuntimeError` with its stderr if it does not."""
        options = [
            "--data",
            str(data),
            "--runners",
            str(runners),
            "--generation-time",
            generation_time,
            *extra,
        ]
        for key in keys:
            options += ["--key", key]
        emulator = cls(data, options, tls=tls)
        emulator._ports = ["--port", str(port)]
        emulator._launch()
        return emulator

    def requests(self, prompt: str = "", *, since: float = 0.0) -> list[dict[str, Any]]:
        """Return every request, oldest first, or those with ``prompt`` in their prompt, sent at ``since`` or later."""
        params: dict[str, Any] = {"prompt": prompt, "since": since}
        requests: list[dict[str, Any]] = self._admin("GET", "requests", params=params).json()
        return requests

    def fault(self, name: str, **options: Any) -> None:
        """Ask for a fault. Raises `httpx.HTTPStatusError` if there is no such fault or option."""
        self._admin("POST", "faults", json={"fault": name, **options})

    def clear_faults(self, match: str = "") -> None:
        """Clear the faults that were set, or those set for this ``match``."""
        self._admin("DELETE", "faults", params={"match": match} if match else {})

    def cancel_unfinished(self, *, since: float = 0.0) -> None:
        """Ask every request that waits or runs to stop, so that the runners are free again."""
        named = [value for name, value in pairwise(self._options) if name in {"--key", "--admin-key"}]
        key = named[0] if named else "any:key"
        with self.client(headers={"Authorization": f"Key {key}"}) as client:
            for request in self.requests(since=since):
                if request["state"] != "COMPLETED":
                    app = "/".join(request["endpoint_id"].split("/")[:2])
                    client.put(f"/{app}/requests/{request['request_id']}/cancel")

    def client(self, **options: Any) -> httpx.Client:
        """Return an HTTP client that trusts it. Its base URL is the queue's unless ``base_url`` is given."""
        # Loading the public CAs takes longer than most calls do, and nothing here is signed by them.
        verify = False if self.ca_file is None else ssl.create_default_context(cafile=self.ca_file)
        options = {"base_url": self.queue_url, "timeout": 30.0, "trust_env": False, **options}
        return httpx.Client(verify=verify, **options)

    def _admin(self, method: str, path: str, **options: Any) -> httpx.Response:
        with self.client() as client:
            return client.request(method, f"/_emulator/{path}", **options).raise_for_status()

    @property
    def pid(self) -> int:
        """Return the id of the process."""
        return self._running().pid

    @property
    def stderr(self) -> str:
        """Return what it wrote to stderr so far, all restarts together."""
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send SIGTERM or another signal, then SIGKILL if it goes on, and return the exit code. May be repeated."""
        return self._end(number)

    def kill(self) -> None:
        """Send SIGKILL, which leaves behind what a power cut does."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it if it runs, and start it again with the same data folder and ports."""
        self.stop()
        self._launch()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._stderr.close()

    def _launch(self) -> None:
        options = [*self._ports, *self._options, *(["--tls"] if self._tls else [])]
        self._process = self._started(options)
        lines = self._banner(self._process)
        self.queue_url, self.run_url = lines["queue"], lines["run"]
        self.add_connection = f"airflow {lines['airflow']}"
        self.ca_file = Path(lines["CA"]) if self._tls else None
        ports = [url.rsplit(":", 1)[1] for url in (self.queue_url, self.run_url)]
        self._ports = ["--port", ports[0], "--run-port", ports[1]]

    def _started(self, options: list[str]) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "airflow_provider_pika.emulator", *options]
        return subprocess.Popen(  # noqa: S603 (its own program, with the caller's options)
            command, stdout=subprocess.PIPE, stderr=self._stderr, text=True
        )

    def _banner(self, process: subprocess.Popen[str]) -> dict[str, str]:
        """Return the lines that it prints once it listens, by name."""
        lines: dict[str, str] = {}
        impatient = threading.Timer(READY_WITHIN, process.kill)
        impatient.start()
        try:
            while "airflow" not in lines:  # the command that adds a connection, its last line
                line = process.stdout.readline() if process.stdout else ""
                if not line:
                    raise RuntimeError(_why_it_ended(process.wait(), self.stderr))
                name, _, value = line.strip().partition(" ")
                lines[name] = value.strip()
        finally:
            impatient.cancel()
        return lines

    def _end(self, number: signal.Signals) -> int:
        process = self._running()
        if process.poll() is None:
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_WITHIN)
            process.kill()
        if process.stdout:
            process.stdout.close()
        return process.wait()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError("the emulator was never started")
        return self._process


def _why_it_ended(code: int, stderr: str) -> str:
    return stderr.strip() if code == USAGE_ERROR and stderr.strip() else f"the emulator exited with {code}:\n{stderr}"
