"""How long a result is kept, with and without payload storage (fal-protocol.md N6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_pika.emulator.data_folder import Database
from airflow_provider_pika.emulator.engine.records import Job, Outcome, Retention, Submission
from airflow_provider_pika.emulator.engine.store import Store

KEPT = Retention(results=3600, payloads=30 * 86400)
SMALL, LARGE = Outcome(200, {"video": {}}), Outcome(422, {"detail": "x" * 10_000})


def finished(folder: Path, outcome: Outcome, *, keep_io: bool) -> Job:
    database = Database(folder)
    store = Store(database)
    body = b'{"prompt": "a cat"}'
    job = store.finish(store.add(Submission("fal-ai/pika", "http://127.0.0.1", body, keep_io=keep_io)), outcome)
    database.close()
    return job


@pytest.mark.parametrize(
    ("outcome", "keep_io", "seconds"),
    [(SMALL, False, 3600), (LARGE, False, 360), (SMALL, True, 30 * 86400), (LARGE, True, 30 * 86400)],
)
def test_a_result_stays_for_an_hour_or_six_minutes_unless_it_is_stored(
    tmp_path: Path, outcome: Outcome, keep_io: bool, seconds: float
) -> None:
    assert KEPT.of_result(finished(tmp_path, outcome, keep_io=keep_io), outcome) == seconds


@pytest.mark.parametrize(("outcome", "seconds"), [(SMALL, 3600), (LARGE, 360)])
def test_a_webhook_is_tried_only_while_the_queue_has_the_result(outcome: Outcome, seconds: float) -> None:
    assert KEPT.of_queue(outcome) == seconds


def test_a_storage_that_is_shorter_than_the_queue_takes_nothing_away(tmp_path: Path) -> None:
    assert Retention(3600, 60).of_result(finished(tmp_path, SMALL, keep_io=True), SMALL) == 3600
