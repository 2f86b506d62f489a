"""
A local stand-in for fal's queue that renders real MP4 files.

Start it with ``python -m airflow_provider_pika.emulator``. It speaks the queue protocol over real HTTP, keeps its
state in a folder, and misbehaves only when it is asked to. Its page is docs/emulator.md.
"""

from __future__ import annotations
