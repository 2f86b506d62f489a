from __future__ import annotations

from airflow_provider_pika.fal.models import QueueStatus


def test_a_status_is_read_leniently_but_for_the_status_itself() -> None:
    odd = {"status": "IN_PROGRESS", "logs": [{"message": "a"}, "odd", {"no": 1}], "metrics": None, "new": 1}
    assert [line.message for line in QueueStatus.model_validate(odd).logs] == ["a"]
    assert QueueStatus.model_validate({"status": "IN_QUEUE", "logs": None}).logs == ()
