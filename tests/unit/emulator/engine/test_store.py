"""The order of requests, their moves, and what is left of them when the process is gone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_pika.emulator.api.gate import Tally
from airflow_provider_pika.emulator.data_folder import Database, DataFolderBusyError
from airflow_provider_pika.emulator.engine import errors
from airflow_provider_pika.emulator.engine.books import Books
from airflow_provider_pika.emulator.engine.prices import Prices
from airflow_provider_pika.emulator.engine.records import Job, Outcome, Submission, new_request_id
from airflow_provider_pika.emulator.engine.store import LOG_WINDOW, Store
from airflow_provider_pika.emulator.faults.catalogue import Fault

ENDPOINT = "fal-ai/pika/v2.5/text-to-video"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database)


def add(store: Store, prompt: str = "a cat", *, low_priority: bool = False, start_after: float | None = None) -> Job:
    body = f'{{"prompt": "{prompt}"}}'.encode()
    origin = "http://127.0.0.1:8188"
    return store.add(Submission(ENDPOINT, origin, body, low_priority=low_priority, start_after=start_after))


def claimed(store: Store) -> Job:
    job = store.claim()
    assert job is not None
    return store.start(job, [])


def test_equal_submissions_are_two_requests(store: Store) -> None:
    assert add(store).id != add(store).id
    assert store.queue_length() == 2


def test_requests_are_served_in_the_order_they_came(store: Store) -> None:
    jobs = [add(store, str(number)) for number in range(3)]
    assert [store.position(job) for job in jobs] == [0, 1, 2]
    assert [claimed(store).id for _ in jobs] == [job.id for job in jobs]
    assert store.claim() is None


def test_low_priority_waits_behind_normal(store: Store) -> None:
    low, normal = add(store, low_priority=True), add(store)
    assert (store.position(low), store.position(normal)) == (1, 0)
    assert claimed(store).id == normal.id


def test_a_requeued_request_keeps_its_id_and_its_place(store: Store) -> None:
    first, second = add(store, "first"), add(store, "second")
    store.requeue(claimed(store), pause=0)
    assert store.position(second) == 1
    again = claimed(store)
    assert (again.id, again.attempts) == (first.id, 2)


def test_a_requeued_request_pauses(store: Store) -> None:
    add(store)
    store.requeue(claimed(store), pause=60)
    assert store.claim() is None


def test_an_outcome_is_written_once(store: Store) -> None:
    add(store)
    job = claimed(store)
    store.finish(job, Outcome(200, {"video": {}}))
    late = store.finish(job, errors.cancelled_while_running())
    assert late.outcome == Outcome(200, {"video": {}})


def test_only_waiting_requests_miss_their_start_deadline(store: Store) -> None:
    add(store, "running", start_after=0.0)
    claimed(store)
    waiting = add(store, "waiting", start_after=0.0)
    add(store, "patient", start_after=60.0)
    assert [job.id for job in store.overdue()] == [waiting.id]


def test_nothing_is_lost_when_the_file_is_opened_again(tmp_path: Path) -> None:
    first = Database(tmp_path)
    job = add(Store(first), "a cat [[requeue]]")
    Store(first).start(job, [Fault(fault="requeue")])
    Tally(first).add("submit.accepted")
    first.close()
    again = Database(tmp_path)
    kept = Store(again).get(job.id)
    assert (kept.state, kept.prompt, kept.faults) == ("IN_PROGRESS", "a cat [[requeue]]", (Fault(fault="requeue"),))
    assert Tally(again).read()["submit"]["accepted"] == 1
    again.close()


def test_a_folder_of_an_earlier_version_is_taken_over(tmp_path: Path) -> None:
    first = Database(tmp_path)
    job = add(Store(first))
    for column in ("no_retry", "tags"):
        first.execute(f"ALTER TABLE requests DROP COLUMN {column}")
    first.execute("DROP TABLE charges")
    first.close()
    for _ in range(2):
        again = Database(tmp_path)
        kept = Store(again).get(job.id).submission
        assert (kept.no_retry, kept.tags) == (False, {})
        assert Books(again, Prices({}), 0).everything() == []
        add(Store(again))
        again.close()


def test_two_emulators_cannot_share_a_folder(tmp_path: Path, database: Database) -> None:
    with pytest.raises(DataFolderBusyError):
        Database(tmp_path)


def test_a_failed_transaction_leaves_nothing(database: Database, store: Store) -> None:
    def fail() -> None:
        with store.transaction():
            add(store)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fail()
    assert store.queue_length() == 0


def test_log_lines_after_a_number_are_the_new_ones(store: Store) -> None:
    job = add(store)
    store.log(job.id, "one")
    (first,) = store.logs(job)
    store.log(job.id, "two")
    assert [row["message"] for row in store.logs(job, after=first["number"])] == ["two"]


def test_log_lines_slide_out_of_sight(database: Database, store: Store) -> None:
    job, now = add(store), time.time()
    for age in (LOG_WINDOW + 1, LOG_WINDOW - 1):
        database.execute("INSERT INTO logs VALUES (?, ?, 'INFO', ?)", job.id, now - age, f"{age:.0f} s old")
    assert [row["message"] for row in store.logs(job)] == ["9 s old"]


def test_the_window_of_logs_stops_when_the_request_ends(database: Database, store: Store) -> None:
    add(store)
    job = claimed(store)
    store.log(job.id, "the last words")
    done = store.finish(job, Outcome(200, {}))
    database.execute("UPDATE logs SET at = at - 3600")
    database.execute("UPDATE requests SET ended_at = ended_at - 3600")
    assert [row["message"] for row in store.logs(store.get(done.id))] == ["the last words"]


@pytest.mark.parametrize("body", [b"", b"nonsense", b'{"prompt": NaN}', b'{"prompt": "\\ud83d"}', b"\xff", b"[]"])
def test_a_body_that_holds_no_prompt_is_kept_all_the_same(store: Store, body: bytes) -> None:
    job = store.add(Submission(ENDPOINT, "http://127.0.0.1:8188", body))
    assert (job.submission.body, job.prompt) == (body, "")


def test_request_ids_are_uuids_that_sort_by_time() -> None:
    early, late = new_request_id(1_700_000_000.0), new_request_id(1_700_000_001.0)
    assert early < late
    assert (len(early), early[14]) == (36, "7")
