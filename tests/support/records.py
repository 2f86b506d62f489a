"""A record that an earlier attempt left."""

from __future__ import annotations

from airflow_provider_pika.fal.record import Record
from airflow_provider_pika.fal.recovery import Wanted


def submitted_for(wanted: Wanted) -> Record:
    """Return the record of request ``r-1``, which the attempt before submitted, with a seed of ours."""
    return Record(
        state="submitted",
        request_id="r-1",
        endpoint=wanted.endpoint,
        queue_url=wanted.queue_url,
        fingerprint=wanted.fingerprint,
        seed=7,
        generation=wanted.generation,
        attempt=wanted.attempt - 1,
        intended_at=1000.0,
        reason="first submission",
    )
