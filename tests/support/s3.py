"""A real S3 server on loopback, in a process of its own, for the tests that save to a bucket."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any, Self

import boto3
import httpx

READY_WITHIN = 30.0
"""Seconds: an import of everything on a loaded machine takes a few."""


class RunningS3:
    """moto's server; ``url`` is its address. Use it as a context manager."""

    bucket = "clips"

    def __init__(self) -> None:
        """Start it, wait until it listens, and make a bucket."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.pid = self._process.pid
        try:
            self._wait()
            self.client.create_bucket(Bucket=self.bucket)
        except BaseException:
            self.stop()
            raise

    @classmethod
    def attached(cls, url: str, pid: int) -> Self:
        """Return the one that another process has started."""
        running = cls.__new__(cls)
        running.url, running.pid = url, pid
        return running

    @functools.cached_property
    def client(self) -> Any:
        """boto3's client, to look at it without our code; to make one takes a tenth of a second."""
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    @property
    def connection(self) -> dict[str, str]:
        """The environment variable of Airflow's connection ``clips_store`` to it."""
        extra = {"endpoint_url": self.url, "region_name": "us-east-1"}
        connection = {"conn_type": "aws", "login": "testing", "password": "testing", "extra": extra}
        return {"AIRFLOW_CONN_CLIPS_STORE": json.dumps(connection)}

    def objects(self) -> list[str]:
        """The names of all objects that a reader sees."""
        listed = self.client.list_objects_v2(Bucket=self.bucket)
        return sorted(entry["Key"] for entry in listed.get("Contents", []))

    def read(self, key: str) -> bytes:
        """An object's content."""
        content: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return content

    def uploads(self) -> int:
        """How many uploads in parts are under way."""
        return len(self.client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", []))

    @contextlib.contextmanager
    def stopped(self) -> Any:
        """Hold it: calls to it hang until the end of the block."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _wait(self) -> None:
        until = time.monotonic() + READY_WITHIN
        while True:
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(self.url, trust_env=False)
                return
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("moto's server does not listen")
            time.sleep(0.1)
