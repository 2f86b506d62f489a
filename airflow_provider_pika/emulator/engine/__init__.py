"""
The requests behind the API: where they are kept, how they run, and the clips that are drawn for them.

``store`` keeps the ``records`` and tells ``changes``; ``runners`` take them in order; ``generation`` makes an outcome
of the ``inputs`` of an endpoint (``endpoints``), with ``errors`` in fal's words or a ``clip`` from ``rendering``.
"""

from __future__ import annotations
