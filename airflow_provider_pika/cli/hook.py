"""The hook as the commands use it: it reads the connection as a task does, and is silent."""

from __future__ import annotations

import logging

from airflow_provider_pika.hooks.pika import PikaHook


class QuietHook(PikaHook):
    """A hook without log lines: outside of a task, Airflow writes them to stdout, which has results only."""

    log = logging.getLogger(__name__)  # type: ignore[assignment]
