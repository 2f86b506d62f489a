"""A StatsD server, and an Airflow in this process that sends to it, as it does in a worker."""

from __future__ import annotations

import contextlib
import importlib
import socket
from collections.abc import Iterator

import pytest

#: What our metrics are named, behind Airflow's own prefix.
PREFIX = "airflow.pika."


def statsd_settings(port: int, *, tags: bool = True) -> dict[str, str]:
    """
    Return the environment of an Airflow that sends our metrics to a port, whether or not anybody listens there.

    :param tags: in InfluxDB's format, which has them; False: in StatsD's plain one.
    """
    settings = {"on": "True", "host": "127.0.0.1", "port": str(port), "influxdb_enabled": str(tags)}
    return {
        **{f"AIRFLOW__METRICS__STATSD_{name.upper()}": value for name, value in settings.items()},
        "AIRFLOW__METRICS__METRICS_ALLOW_LIST": r"^pika\.",
    }


class RunningStatsd:
    """Listens on UDP, and keeps what it is sent."""

    def __init__(self, receiver: socket.socket) -> None:
        self._receiver = receiver
        self._received: list[str] = []

    @classmethod
    @contextlib.contextmanager
    def start(cls, port: int = 0) -> Iterator[RunningStatsd]:
        """Listen until the end of the block, on a free port unless one is given."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("127.0.0.1", port))
            receiver.setblocking(False)
            yield cls(receiver)

    def settings(self, *, tags: bool = True) -> dict[str, str]:
        """Return the environment of an Airflow that sends here: `statsd_settings`."""
        return statsd_settings(self._receiver.getsockname()[1], tags=tags)

    def ours(self) -> list[str]:
        """Return all that was received of our metrics so far, without the prefix, in their order."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._received.append(self._receiver.recv(65536).decode())
        return [packet.removeprefix(PREFIX) for packet in self._received if packet.startswith(PREFIX)]

    def taken(self) -> list[str]:
        """Return them, and forget them."""
        ours = self.ours()
        self._received = []
        return ours


@pytest.fixture
def statsd(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningStatsd]:
    """A server to which this process sends its metrics, with their tags."""
    with RunningStatsd.start() as running:
        send_to(running, monkeypatch)
        yield running


def send_to(running: RunningStatsd, monkeypatch: pytest.MonkeyPatch, *, tags: bool = True) -> None:
    """Have the metrics of this process sent to a server."""
    for name, value in running.settings(tags=tags).items():
        monkeypatch.setenv(name, value)
    from airflow.providers.common.compat.sdk import Stats  # a second, which those who only name a port can spare

    try:
        from airflow.sdk._shared.observability.metrics import stats
        from airflow.sdk.observability.metrics.stats_utils import get_stats_factory
    except ImportError:  # Airflow 3.1
        statsd_logger = importlib.import_module("airflow.metrics.statsd_logger")
        monkeypatch.setattr(type(Stats), "factory", statsd_logger.get_statsd_logger, raising=False)
        monkeypatch.setattr(Stats, "instance", None, raising=False)
    else:
        monkeypatch.setattr(stats, "_factory", get_stats_factory())
        monkeypatch.setattr(stats, "_backend", None)
