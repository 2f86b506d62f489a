"""The requests behind the API: where they are kept, how they run, and the clips that are drawn for them.

``store`` keeps the ``records`` and tells ``changes``. ``runners`` take requests in order. ``generation`` checks a
request's ``inputs`` by its endpoint (``endpoints``), and makes its outcome: an error of ``errors``, or a ``clip`` drawn
in ``rendering``. ``books`` has what was charged for it, by ``prices`` and ``tags``.
"""

from __future__ import annotations
