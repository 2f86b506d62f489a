"""Generated video as a dependable step of a data pipeline: Pika text-to-video on fal's queue, in Apache Airflow."""

from __future__ import annotations

__version__ = "0.1.0"
