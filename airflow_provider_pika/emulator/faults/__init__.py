"""The faults that can be asked for (``catalogue``), and which one comes next (``registry``).

``downloads`` spoils the reply of a result file, ``result_files`` the file itself. Other replies are spoiled in
``api.gate``, and ``engine.generation`` has the failures of a request.
"""

from __future__ import annotations
