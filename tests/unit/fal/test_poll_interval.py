from __future__ import annotations

import random
import statistics
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_pika.fal.models import QueueStatus
from airflow_provider_pika.fal.poll_interval import (
    JITTER,
    LONGEST,
    LONGEST_QUEUED,
    LONGEST_UNKNOWN,
    SHORTEST,
    SHORTEST_QUEUED,
    UNKNOWN,
    Expectation,
    Experience,
    Kind,
    Sightings,
    pause,
)

KIND = Kind("https://queue.fal.run", "fal-ai/pika/v2.5/text-to-video", "720p", 5)
RUNNING = QueueStatus(status="IN_PROGRESS")
MINUTE = Expectation(60.0, 0.1, known=True)


def queued(position: int | None) -> QueueStatus:
    return QueueStatus(status="IN_QUEUE", queue_position=position)


def running_for(seconds: float) -> Sightings:
    return Sightings().and_then(queued(0), 1000.0).and_then(RUNNING, 1001.0).and_then(RUNNING, 1000.5 + seconds)


def test_nothing_is_asked_while_no_generation_of_its_kind_has_ever_ended() -> None:
    assert pause(running_for(1), MINUTE, "r") == pytest.approx(LONGEST, rel=JITTER)
    assert 10 < pause(running_for(31), MINUTE, "r") < 25


def test_the_looks_come_close_together_where_most_generations_end() -> None:
    around = [pause(running_for(seconds), MINUTE, "r") for seconds in (52, 56, 60, 64, 68)]
    assert max(around) < 4
    assert pause(running_for(20), MINUTE, "r") > 5 * max(around)


def test_a_start_that_is_not_known_exactly_has_the_end_looked_for_earlier() -> None:
    unsure = Sightings().and_then(queued(0), 970.0).and_then(RUNNING, 1001.0).and_then(RUNNING, 1030.0)
    sure = Sightings().and_then(queued(0), 985.0).and_then(RUNNING, 986.0).and_then(RUNNING, 1030.0)
    assert pause(unsure, MINUTE, "r") < pause(sure, MINUTE, "r")


def test_as_long_as_nothing_is_known_the_looks_are_seconds_apart() -> None:
    pauses = [pause(running_for(seconds), UNKNOWN, "r") for seconds in (1, 2, 4, 8, 16, 60, 600)]
    assert all(1 <= seconds <= LONGEST_UNKNOWN * (1 + JITTER) for seconds in pauses)
    assert pauses[0] < 2 < 4 < pauses[-1]


def test_a_queue_that_moves_is_looked_at_half_way_to_its_turn() -> None:
    moving = Sightings().and_then(queued(9), 1000.0).and_then(queued(4), 1010.0)  # two seconds a place
    assert pause(moving, UNKNOWN, "r") == pytest.approx(5.0, rel=JITTER)


def test_a_queue_that_stands_still_is_looked_at_ever_more_rarely() -> None:
    seen, pauses = Sightings(), []
    for n in range(12):
        seen = seen.and_then(queued(7), 1000.0 + n)
        pauses.append(pause(seen, UNKNOWN, "r"))
    assert pauses[0] < 3 < 13 < pauses[-1]


def test_a_request_that_went_back_into_the_queue_starts_anew() -> None:
    back = running_for(50).and_then(queued(3), 1060.0)
    assert back.running is None
    again = back.and_then(RUNNING, 1062.0)
    assert again.start == (1060.0, 1062.0)


def test_requests_that_are_seen_together_are_not_looked_at_together_again() -> None:
    pauses = {pause(running_for(30), MINUTE, f"r-{n}") for n in range(50)}
    assert len(pauses) == 50
    assert pause(running_for(30), MINUTE, "r-1") == pause(running_for(30), MINUTE, "r-1")


def test_what_was_seen_goes_on_in_another_process() -> None:
    seen = running_for(30)
    assert Sightings.from_json(seen.as_json()) == seen
    assert Sightings.from_json(None) == Sightings()


STATUSES = st.sampled_from([queued(None), queued(0), queued(5), queued(10_000), RUNNING, None])


@given(
    st.lists(st.tuples(STATUSES, st.floats(min_value=0, max_value=1e5)), min_size=1, max_size=30),
    st.floats(min_value=0.01, max_value=1e5),
    st.floats(min_value=0.03, max_value=3),
    st.booleans(),
)
def test_whatever_was_seen_the_next_look_is_neither_at_once_nor_far_away(
    looks: list[tuple[QueueStatus | None, float]], median: float, spread: float, known: bool
) -> None:
    seen, now = Sightings(), 1e9
    for status, later in looks:
        now += later
        seen = seen.and_then(status, now)
        seconds = pause(seen, Expectation(median, spread, known), "r")
        assert min(SHORTEST, SHORTEST_QUEUED) * (1 - JITTER) <= seconds
        assert seconds <= max(LONGEST, LONGEST_QUEUED) * (1 + JITTER)


def test_what_it_took_is_fals_word_as_far_as_it_fits_what_was_seen() -> None:
    seen = running_for(58)  # started at 1000 to 1001, still running at 1058.5
    assert seen.took(1062.0, 59.0) == 59.0
    assert seen.took(1062.0, None) == pytest.approx(61.5)
    assert seen.took(1062.0, 40.0) == pytest.approx(57.5)  # it ran at least that long
    assert seen.took(1062.0, 99.0) == pytest.approx(62.0)  # and at most so long
    assert Sightings().took(1062.0, 59.0) == 59.0
    assert Sightings().took(1062.0, None) is None


def test_a_kind_is_learned_from_its_own_and_else_from_all_of_its_endpoint() -> None:
    experience, other = Experience(), KIND._replace(resolution="1080p")
    assert not experience.expect(KIND).known
    for seconds in (58, 60, 62):
        experience.learn(KIND, seconds)
    assert experience.expect(KIND).median == pytest.approx(60, rel=0.01)
    assert experience.expect(other).median == pytest.approx(60, rel=0.01)
    experience.learn(other, 200)
    assert experience.expect(other).median == pytest.approx(200)
    assert experience.expect(KIND).median == pytest.approx(60, rel=0.01)
    assert not experience.expect(KIND._replace(queue_url="https://elsewhere.example")).known


def test_the_more_is_seen_the_surer_it_is_and_nonsense_teaches_nothing() -> None:
    experience, spreads = Experience(), []
    for _ in range(20):
        experience.learn(KIND, 60)
        spreads.append(experience.expect(KIND).spread)
    assert spreads == sorted(spreads, reverse=True)
    before = experience.expect(KIND)
    for nonsense in (None, 0.0, -1.0, float("inf"), float("nan")):
        experience.learn(KIND, nonsense)
    assert experience.expect(KIND) == before


@dataclass
class Simulated:
    """Generations of about a minute after up to 15 s in the queue, looked at without a clock."""

    random: random.Random
    spread: float

    def clip(self) -> tuple[float, float]:
        start = self.random.uniform(0, 15)
        return start, start + 60 * self.random.lognormvariate(0, self.spread)

    def paced(self, experience: Experience, name: str) -> tuple[float, int]:
        start, end = self.clip()
        seen, now = Sightings(), self.random.uniform(0, 2)
        while now < end:
            seen = seen.and_then(queued(0) if now < start else RUNNING, now)
            now += pause(seen, experience.expect(KIND), name)
        experience.learn(KIND, seen.took(now, end - start))
        return now - end, seen.looks + 1

    def fixed(self, interval: float) -> tuple[float, int]:
        (_, end), now, looks = self.clip(), self.random.uniform(0, interval), 1
        while now < end:
            now, looks = now + interval, looks + 1
        return now - end, looks


def test_half_the_clips_are_noticed_within_a_second_with_a_third_of_the_looks_of_a_fixed_interval() -> None:
    simulated, experience = Simulated(random.Random(7), 0.1), Experience()
    paced = [simulated.paced(experience, f"r-{n}") for n in range(1000)][50:]
    late = statistics.median(seconds for seconds, _ in paced)
    assert late <= 1
    fixed = [simulated.fixed(2 * late) for _ in range(1000)]
    assert statistics.median(seconds for seconds, _ in fixed) >= 0.9 * late
    assert statistics.mean(looks for _, looks in paced) <= statistics.mean(looks for _, looks in fixed) / 3
