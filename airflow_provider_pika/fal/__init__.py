"""The fal queue without Airflow: what may be asked, what may be answered, how to wait. Imports nothing of Airflow."""

from __future__ import annotations

#: The endpoint this provider is made for (pika-v2.5-text-to-video.md).
TEXT_TO_VIDEO = "fal-ai/pika/v2.5/text-to-video"

#: By what the spending can be grouped.
SPENT_BY = ("day", "dag", "task", "endpoint")
