"""What every Python process that a test starts does first: it collects garbage 70 times less often.

Airflow's imports make millions of objects that stay, and to go through them takes a sixth of an Airflow's CPU.
"""

from __future__ import annotations

import gc

gc.set_threshold(50_000, 20, 50)
