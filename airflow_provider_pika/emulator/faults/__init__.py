"""
The faults that can be asked for (``catalogue``), and which one comes next (``registry``).

``downloads`` spoils the reply of a result file, ``result_files`` the file itself. ``api.gate`` has the other replies,
``engine.generation`` the failures of a request.
"""

from __future__ import annotations
