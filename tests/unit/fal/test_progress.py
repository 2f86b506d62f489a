from __future__ import annotations

import json

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.fal.models import QueueStatus
from airflow_provider_pika.fal.polling import Look, LookAgain, Wait
from airflow_provider_pika.fal.progress import LINE_LENGTH, TAIL_LINES, Progress

AGAIN = LookAgain(5.0, Wait("r", 0.0, 5.0, 60.0))


def queued(position: int) -> Look:
    return Look(QueueStatus(status="IN_QUEUE", queue_position=position))


def running(*lines: tuple[str, str]) -> Look:
    logs = [{"timestamp": timestamp, "message": message} for timestamp, message in lines]
    return Look(QueueStatus.model_validate({"status": "IN_PROGRESS", "logs": logs}))


def test_each_queue_position_is_told_once() -> None:
    progress = Progress()
    told = [line for position in (2, 2, 1, 1, 0) for line in progress.news(queued(position), AGAIN)]
    assert told == ["In the queue, position 2", "In the queue, position 1", "In the queue, position 0"]


def test_a_request_that_goes_back_to_the_queue_is_told_again() -> None:
    progress = Progress()
    told = [line for look in (queued(0), running(), queued(0)) for line in progress.news(look, AGAIN)]
    assert told == ["In the queue, position 0", "In progress", "In the queue, position 0"]


def test_each_log_line_is_told_once_though_the_window_slides() -> None:
    progress = Progress()
    progress.news(running(("1", "a"), ("2", "b")), AGAIN)
    assert progress.news(running(("2", "b"), ("3", "b")), AGAIN) == ["fal: b"]
    assert progress.news(running(("3", "b")), AGAIN) == []


def test_trouble_is_told_with_the_time_of_the_next_look() -> None:
    trouble = errors.ServerUnavailable("busy.")
    lines = Progress().news(Look(outcome=trouble), LookAgain(20.0, Wait("r", 0.0, 5.0, 60.0), trouble))
    assert lines == ["busy. Looking again in 20 s."]


def test_the_tail_is_bounded_in_lines_and_in_length() -> None:
    progress = Progress()
    for number in range(100):
        progress.news(running((str(number), "x" * 10_000)), AGAIN)
    assert len(progress.tail()) == TAIL_LINES
    assert max(map(len, progress.tail())) == LINE_LENGTH


def test_a_long_window_is_told_once_too() -> None:
    progress, window = Progress(), [(str(number), "x") for number in range(3000)]
    assert len(progress.news(running(*window), AGAIN)) == 3001
    assert progress.news(running(*window[1:], ("3000", "y")), AGAIN) == ["fal: y"]


def test_nothing_is_told_twice_by_the_next_process() -> None:
    first = Progress()
    first.news(running(("1", "a")), AGAIN)
    memory = json.loads(json.dumps(first.memory()))
    assert Progress(memory).news(running(("1", "a"), ("2", "b")), AGAIN) == ["fal: b"]


def test_the_memory_is_small_however_long_the_log() -> None:
    progress = Progress()
    progress.news(running(*((str(number), "x" * 1000) for number in range(5000))), AGAIN)
    assert len(json.dumps(progress.memory())) < 60_000  # Airflow's limit is 65,535 bytes
