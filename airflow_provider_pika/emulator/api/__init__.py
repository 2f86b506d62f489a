"""What the emulator answers over HTTP, and the webhooks that it sends.

``queue``, ``run``, ``platform``, ``pricing``, ``billing`` and ``files`` are fal's own services, ``admin`` is the
emulator's. They read a ``submission`` in one way, share ``queries``, and write the shapes of ``wire``. Each call goes
through the ``gate``, which counts it and lets faults strike.
"""

from __future__ import annotations
