"""From an Airflow connection to fal's queue. What Dag files need of it stands here, so that they import no hook."""

from __future__ import annotations

#: The connection that is used where none is named.
DEFAULT_CONNECTION = "pika_default"

#: The type of the connections that hold fal's key.
CONNECTION_TYPE = "pika"

#: Seconds that a connection may allow for one call: a wait that is deferred stands behind its last poll only so long.
LONGEST_CALL = 120.0
