"""The processes that decode: one that is started for a file, or forks of one that has loaded PyAV, for many files.

A start takes a fifth of a second of CPU, a fork ten milliseconds, and another file in a fork three. All have the limits
of ``decoder.py``. A fork that has opened a file may be worn by it. So what it says of the next one counts only if that
is good; else a new fork opens the file, and what that says is the outcome.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from airflow_provider_pika.media import decoder

#: Seconds by the clock for the process to be there. A machine may be busy.
_START = 30.0

#: Seconds for the picture.
_ANSWER = 60.0

#: Seconds for all of a file in a fork that has opened others. Most files take milliseconds, and others have a new fork.
_QUICK_ANSWER = 5.0

#: Seconds for the poster after it, which is no reason to wait long.
_POSTER = 15.0

#: Seconds for the process that forks to end by itself.
_END = 1.0

#: Bytes of the line that says what the file is.
_MOST_OUTPUT = 4096

#: Bytes of the line with the poster, as text of four letters for three bytes.
_MOST_POSTER = decoder.POSTER_BYTES * 4 // 3 + 100


class Unstartable(Exception):
    """There is no process, which says nothing of the file."""


def has_pyav() -> bool:
    """Return whether PyAV is installed."""
    return importlib.util.find_spec("av") is not None


class Forks:
    """A process that forks, and the forks that wait for a file. Use it in a ``with``; for any number of threads."""

    def __init__(self) -> None:
        #: Looked for once: that takes a dozen calls of the disk.
        self.has_pyav = has_pyav()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._idle: list[socket.socket] = []

    def __enter__(self) -> Forks:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._end()

    def said_of(self, told: Mapping[str, Any], descriptor: int) -> tuple[bytes, bytes]:
        """Return as :func:`said_of`."""
        if fork := self._waiting_one():
            answer = self._asked(fork, {**told, "patience": int(_QUICK_ANSWER)}, descriptor, _QUICK_ANSWER + 1)
            if _is_good(told, answer):
                return answer
        return self._asked(self._new(told), told, descriptor, _ANSWER)

    def _asked(
        self, fork: socket.socket, told: Mapping[str, Any], descriptor: int, seconds: float
    ) -> tuple[bytes, bytes]:
        """Have a fork open the file; it stays for the next one if this one was good, and else ends by its limits."""
        answer = b"", b""
        try:
            with contextlib.suppress(OSError):  # it has ended
                socket.send_fds(fork, [json.dumps(told).encode()], [descriptor])
                answer = _heard(told, fork.fileno(), b"", seconds)
        finally:
            if _is_good(told, answer):
                with self._lock:
                    self._idle.append(fork)
            else:
                fork.close()
        return answer

    def _waiting_one(self) -> socket.socket | None:
        """Return a fork that is free, and alive as far as can be seen."""
        with self._lock:
            while self._idle:
                fork = self._idle.pop()
                try:
                    fork.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
                except BlockingIOError:  # nothing comes unasked but its end
                    return fork
                except OSError:
                    pass
                fork.close()
        return None

    def _new(self, told: Mapping[str, Any]) -> socket.socket:
        """Return a new fork.

        :raises Unstartable: there is none.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs, self._lock:
                self._send(json.dumps(told).encode(), theirs.fileno())
            if _line(ours.fileno(), b"", _START) != f"{decoder.READY}\n".encode():
                raise Unstartable("it did not come up")
        except BaseException:
            ours.close()
            raise
        return ours

    def _send(self, message: bytes, descriptor: int) -> None:
        for is_last in (False, True):
            if self._channel is None:
                self._start()
            assert self._channel is not None
            try:
                socket.send_fds(self._channel, [message], [descriptor])
                if self._channel.recv(1):
                    return
            except OSError:  # it takes too long to fork, or has ended
                pass
            self._end_the_process()
            if is_last:
                raise Unstartable("it does not fork")

    def _start(self) -> None:
        self._channel, theirs = socket.socketpair()
        self._channel.settimeout(_START)
        with theirs:
            self._process = _started({"channel": theirs.fileno()}, theirs.fileno(), subprocess.DEVNULL)

    def _end_the_process(self) -> None:
        """End the process that forks, and none of its forks: other threads' files are in them."""
        if self._channel is not None:
            self._channel.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._channel = self._process = None

    def _end(self) -> None:
        while self._idle:
            self._idle.pop().close()
        if self._channel is not None:
            self._channel.close()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END)
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)  # its forks, too
            self._process.wait()
        self._channel = self._process = None


def said_of(told: Mapping[str, Any], descriptor: int, forks: Forks | None) -> tuple[bytes, bytes]:
    """Return what a decoder says of a file, empty where it crashed or took too long, and the line with the poster.

    :param told: what the process is told, but for the descriptor.
    :param forks: makes the process; None: one is started.
    :raises Unstartable: there is no process.
    """
    return forks.said_of(told, descriptor) if forks else _said_of_one(told, descriptor)


def _said_of_one(told: Mapping[str, Any], descriptor: int) -> tuple[bytes, bytes]:
    with _one_decoding(told, descriptor) as pipe:
        first, _, rest = _line(pipe, b"", _START).partition(b"\n")
        if first != decoder.READY.encode():
            raise Unstartable("it did not come up")
        return _heard(told, pipe, rest, _ANSWER)


def _heard(told: Mapping[str, Any], pipe: int, output: bytes, seconds: float) -> tuple[bytes, bytes]:
    line, end, rest = _line(pipe, output, seconds).partition(b"\n")
    if not (end and told["poster"]) or _is_error(line):
        return (line if end else b""), b""
    poster, end, _ = _line(pipe, rest, _POSTER, _MOST_POSTER).partition(b"\n")
    return line, poster if end else b""


def _is_good(told: Mapping[str, Any], answer: tuple[bytes, bytes]) -> bool:
    """Return whether a decoder has said all that was asked for, and no error."""
    asked = answer[: 1 + bool(told["poster"])]
    return all(line and not _is_error(line) for line in asked)


def _is_error(line: bytes) -> bool:
    return line.startswith(b'{"error"')


@contextlib.contextmanager
def descriptor_of(file: IO[bytes]) -> Iterator[int]:
    """Return a descriptor of the file, to read it only where the system gives one: it may have no name."""
    try:
        file.flush()
        descriptor = file.fileno()
    except (AttributeError, io.UnsupportedOperation):
        with tempfile.TemporaryFile(prefix="pika-") as copy:
            file.seek(0)
            shutil.copyfileobj(file, copy)
            copy.flush()
            yield copy.fileno()
    else:
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):  # there is no such folder, or the file was opened for writing only
                descriptor = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
                stack.callback(os.close, descriptor)
            yield descriptor


@contextlib.contextmanager
def _one_decoding(told: Mapping[str, Any], descriptor: int) -> Iterator[int]:
    process = _started({**told, "descriptor": descriptor}, descriptor, subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield process.stdout.fileno()
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def _started(told: Mapping[str, Any], descriptor: int, stdout: int) -> subprocess.Popen[bytes]:
    """Start a decoder, and leave it the descriptor.

    :raises Unstartable: the system does not.
    """
    # of the environment, it needs no more than where Python's packages are; a key is no business of a decoder's
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME") if name in os.environ}
    command = [sys.executable, "-P", str(Path(decoder.__file__)), json.dumps(told)]
    try:
        return subprocess.Popen(  # noqa: S603 - this interpreter, and our own script
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
            pass_fds=(descriptor,),
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        raise Unstartable(os.strerror(error.errno or 0)) from None
    except (ValueError, TypeError, subprocess.SubprocessError) as error:  # no sys.executable, where Python is embedded
        raise Unstartable(type(error).__name__) from None


def _line(pipe: int, output: bytes, seconds: float, most: int = _MOST_OUTPUT) -> bytes:
    """Return what a process writes, up to a line's end or its own, a deadline or the most that it may say."""
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while b"\n" not in output and len(output) < most and (left := deadline - time.monotonic()) > 0:
            if not selector.select(left) or not (piece := os.read(pipe, most)):
                break
            output += piece
    return output
