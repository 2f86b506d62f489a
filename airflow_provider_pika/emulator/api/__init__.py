"""
What the emulator answers over HTTP, and the webhooks that it sends.

``queue``, ``run``, ``platform`` and ``files`` are fal's own services, ``admin`` is the emulator's. All of them read a
``submission`` alike, write the shapes of ``wire``, and pass the ``gate``, which counts and lets faults strike.
"""

from __future__ import annotations
