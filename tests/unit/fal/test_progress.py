from __future__ import annotations

import json
import logging

import pytest

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.fal.models import QueueStatus, Video
from airflow_provider_pika.fal.polling import Done, Poll, PollAgain, Wait
from airflow_provider_pika.fal.progress import LINE_LENGTH, LINES_A_LOOK, LINES_A_WAIT, TAIL_LINES, Progress, Trouble

VIDEO = Video(url="https://v3.fal.media/x.mp4", request_id="r", endpoint="fal-ai/pika/v2.5/text-to-video")

AGAIN = PollAgain(5.0, Wait("r", 0.0, 5.0, 60.0))


def queued(position: int) -> Poll:
    return Poll(QueueStatus(status="IN_QUEUE", queue_position=position))


def running(*lines: tuple[str, str]) -> Poll:
    logs = [{"timestamp": timestamp, "message": message} for timestamp, message in lines]
    return Poll(QueueStatus.model_validate({"status": "IN_PROGRESS", "logs": logs}))


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
    lines = Progress().news(Poll(outcome=trouble), PollAgain(20.0, Wait("r", 0.0, 5.0, 60.0), trouble))
    assert lines == ["busy. Polling again in 20 s."]


def test_the_tail_is_bounded_in_lines_and_in_length() -> None:
    progress = Progress()
    for number in range(100):
        progress.news(running((str(number), "x" * 10_000)), AGAIN)
    assert len(progress.tail()) == TAIL_LINES
    assert max(map(len, progress.tail())) == LINE_LENGTH


def test_a_long_window_is_told_once_too() -> None:
    progress, window = Progress(), [(str(number), f"line {number}") for number in range(3000)]
    told = progress.news(running(*window), AGAIN)
    assert told[:2] == ["In progress", f"fal: ({3000 - LINES_A_LOOK} log lines were left out)"]
    assert told[2:] == [f"fal: line {number}" for number in range(3000 - LINES_A_LOOK, 3000)]  # the newest
    assert progress.news(running(*window[1:], ("3000", "y")), AGAIN) == ["fal: y"]


def test_a_log_that_never_ends_is_told_up_to_a_limit_and_then_counted() -> None:
    progress, told = Progress(), []
    for look in range(100):
        memory = json.loads(json.dumps(progress.memory()))  # in whichever process
        progress = Progress(memory)
        told += progress.news(running(*((f"{look}-{line}", "x") for line in range(60))), AGAIN)
    assert sum(line == "fal: x" for line in told) == LINES_A_WAIT
    assert told[-1] == f"fal: ({LINES_A_WAIT} log lines were shown; no more are shown)"
    end = progress.news(Poll(QueueStatus(status="COMPLETED")), Done(VIDEO))
    assert end == [f"fal: ({100 * 60 - LINES_A_WAIT} log lines were left out in total)"]


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("two\nlines\r\nand three", "fal: two lines and three"),
        ("::group::mine", "fal: : :group::mine"),
        ("x::endgroup::y ::GROUP::z", "fal: x: :endgroup::y : :GROUP::z"),
        (":::group::mine", "fal: :: :group::mine"),
        ("##[group]mine", "fal: # #[group]mine"),
        ("::gr\0oup::", "fal: ::gr oup::"),
        ("\x1b[31mred\x07\x08", "fal: [31mred"),
        ("a\u2028b\u2029c\x85d\x0be", "fal: a b c d e"),
        ("\u202eright to left\u2066", "fal: right to left"),
        ("half \ud83d a smile", "fal: half a smile"),
        ("\U0001f468\u200d\U0001f469", "fal: \U0001f468\u200d\U0001f469"),
        ("x" * 10_000, "fal: " + "x" * (LINE_LENGTH - 8) + "..."),
    ],
    ids=lambda text: ascii(text)[:30],
)
def test_a_line_of_fals_log_is_one_line_that_forges_nothing(message: str, line: str) -> None:
    assert Progress().news(running(("1", message)), AGAIN) == ["In progress", line]


def test_nothing_is_told_twice_by_the_next_process() -> None:
    first = Progress()
    first.news(running(("1", "a")), AGAIN)
    memory = json.loads(json.dumps(first.memory()))
    assert Progress(memory).news(running(("1", "a"), ("2", "b")), AGAIN) == ["fal: b"]


def test_the_memory_is_small_however_long_the_log() -> None:
    progress = Progress()
    progress.news(running(*((str(number), "x" * 1000) for number in range(5000))), AGAIN)
    assert len(json.dumps(progress.memory())) < 60_000  # Airflow warns above 65,535 bytes


def foreign(code: int = 403) -> PollAgain:
    error = errors.ForeignAnswer(f"a firewall answered HTTP {code}.", status_code=code)
    return PollAgain(60.0, Wait("r", 0.0, 5.0, 60.0), error)


def test_an_answer_that_is_not_fals_is_a_warning_at_once_and_then_now_and_then() -> None:
    trouble, told = Trouble(), []
    for minute in range(61):
        trouble = Trouble(json.loads(json.dumps(trouble.memory())))  # in whichever process
        told += [(minute, line.level) for line in [trouble.line(foreign(), 60.0 * minute)] if line]
    assert told == [(minute, logging.WARNING) for minute in range(0, 61, 10)]


def test_each_kind_of_foreign_answer_is_told_and_no_more_of_them_than_a_log_can_bear() -> None:
    trouble = Trouble()
    told = [trouble.line(foreign(400 + number % 99), float(number) / 10) for number in range(500)]
    assert 2 <= len([line for line in told if line]) <= 10


def test_what_other_processes_told_later_than_now_is_told_again() -> None:
    assert Trouble({"ForeignAnswer 403": 1e12}).line(foreign(), 5.0)


def test_other_trouble_is_no_warning() -> None:
    busy = errors.RateLimited("slow", status_code=429)
    line = Trouble().line(PollAgain(5.0, Wait("r", 0.0, 5.0, 60.0), busy), 0.0)
    assert line is not None
    assert line.level == logging.INFO
