"""Emulators as forks of one process that has imported it: the imports take a second of CPU for each that is started."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import DupFd
from typing import IO, Any

#: What each fork finds imported.
PRELOADED = ["tests.support.forked", "airflow_provider_pika.emulator.command"]


class Forked:
    """A running ``python -m airflow_provider_pika.emulator``, with what its callers use of `subprocess.Popen`."""

    def __init__(self, options: Sequence[str], stderr: IO[Any]) -> None:
        """Start it; its stdout is a pipe."""
        reading, writing = os.pipe()
        self.stdout = os.fdopen(reading)
        try:
            streams = _Descriptor(writing), _Descriptor(stderr.fileno())
            arguments = (list(options), dict(os.environ), os.getcwd(), *streams)
            self._process: BaseProcess = _context().Process(target=_run, args=arguments, daemon=True)
            self._process.start()
        finally:
            os.close(writing)
        assert self._process.pid
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, or None if it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code once it has ended. Raises `subprocess.TimeoutExpired`."""
        self._process.join(timeout)
        if (code := self._process.exitcode) is None:
            raise subprocess.TimeoutExpired("the emulator", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL, if it runs."""
        self.send_signal(signal.SIGKILL)


def run_to_the_end(options: Sequence[str], within: float = 30.0) -> subprocess.CompletedProcess[str]:
    """Run one that ends by itself, and return what it wrote."""
    with tempfile.TemporaryFile("w+") as stderr:
        emulator = Forked(options, stderr)
        try:
            code = emulator.wait(within)
        finally:
            emulator.kill()
        stderr.seek(0)
        with emulator.stdout:
            return subprocess.CompletedProcess(list(options), code, emulator.stdout.read(), stderr.read())


@functools.cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


class _Descriptor:
    """A descriptor that a fork is given, under another number."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __getstate__(self) -> Any:
        return DupFd(self.number)

    def __setstate__(self, given: Any) -> None:
        self.number = given.detach()


def _run(
    options: Sequence[str], environment: dict[str, str], folder: str, stdout: _Descriptor, stderr: _Descriptor
) -> None:
    """Be the emulator: in the fork, with the environment and the folder of whoever asked for it."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for stream, number in ((stdout, 1), (stderr, 2)):
        os.dup2(stream.number, number)
        os.close(stream.number)
    from airflow_provider_pika.emulator.__main__ import main

    sys.exit(main(options))
