"""The decisions of a wait, pure: what did we see, what time is it, so what now.

No clock, no network and no event loop: the sensor's loop, the trigger and the tests all call :func:`decide`, so they
cannot drift apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pendulum

from airflow_provider_pika.exceptions import DoubtfulAnswer, GenerationFailed, PikaError
from airflow_provider_pika.fal import poll_interval
from airflow_provider_pika.fal.models import QueueStatus, Video
from airflow_provider_pika.fal.poll_interval import UNKNOWN, Expectation, Sightings
from airflow_provider_pika.fal.responses import believed

#: A limit that a deadline may come from, by the name that users set it by: the operator's own.
TIMEOUT = "timeout"
#: Airflow's limit of a task's attempt.
EXECUTION_TIMEOUT = "execution_timeout"

#: Seconds between two polls, before it grows, while fal does not answer and the user gave no interval.
SHORTEST_BACKOFF = 5.0

#: Seconds between two polls, at most, while fal does not answer.
LONGEST_BACKOFF = 60.0
#: Seconds between two polls, at most, where fal itself asked for a pause. It keeps a result for an hour, and a large
#: one for minutes (fal-protocol.md, section 3).
LONGEST_RETRY_AFTER = 300.0

#: Refusals that may be a gateway's after which they are taken for fal's, if fal has said nothing else meanwhile. With
#: the pauses above, the last is ten minutes after the first: a gateway that restarts is back by then, and fal still has
#: a result.
MOST_DOUBTS = 13


@dataclass(frozen=True)
class Poll:
    """One poll of a request: where it stands, if that could be read, and how it ended or what went wrong, if so."""

    status: QueueStatus | None = None
    outcome: Video | PikaError | None = None


@dataclass(frozen=True)
class Wait:
    """A wait for one request, as far as it has come.

    :param deadline: unix seconds.
    :param poll_interval: seconds between two polls; None: where they matter, as ``poll_interval.py`` has it.
    :param timeout: seconds that lie before the deadline, as the user set them.
    :param failures: looks in a row that brought nothing.
    :param doubts: refusals among them that may have been fal's.
    :param seen: what the polls have shown.
    :param limit: which of the task's limits ``timeout`` is: :data:`TIMEOUT` or :data:`EXECUTION_TIMEOUT`.
    """

    request_id: str
    deadline: float
    poll_interval: float | None
    timeout: float
    failures: int = 0
    doubts: int = 0
    seen: Sightings = field(default_factory=Sightings)
    limit: str = TIMEOUT

    def first_pause(self, now: float, expected: Expectation) -> float:
        """Return the seconds until a wait that another process has begun is polled here for the first time."""
        if self.seen.last is None:
            return 0.0
        pause = self.poll_interval or poll_interval.pause(self.seen, expected, self.request_id)
        due = min(self.seen.last + pause, self.deadline) - now
        return min(max(0.0, due), pause)  # another machine's clock may be ahead


@dataclass(frozen=True)
class PollAgain:
    """Poll again ``after`` seconds, and go on from ``wait``; ``trouble`` is why the last poll brought nothing."""

    after: float
    wait: Wait
    trouble: PikaError | None = None


@dataclass(frozen=True)
class Done:
    """The video is there."""

    video: Video


@dataclass(frozen=True)
class Failed:
    """Waiting longer cannot help."""

    error: PikaError


@dataclass(frozen=True)
class TooLate:
    """The deadline has passed, and a last poll brought no end.

    :param message: what was waited for, how long, and what was seen last.
    :param completed: whether it ended all the same, and only its result could not be read.
    :param cancelled: whether fal has taken a cancellation since.
    :param limit: which of the task's limits has passed.
    """

    request_id: str
    message: str
    completed: bool = False
    cancelled: bool = False
    limit: str = TIMEOUT

    @property
    def consequence(self) -> str:
        """Say what has become of the request."""
        if self.cancelled:
            return "fal accepted the cancellation. A request that runs may still complete, and may be charged."
        if self.completed:
            return "fal keeps results for about an hour."
        return "It was not cancelled. It may still run, and may be charged."


Ending = Done | Failed | TooLate


def decide(wait: Wait, poll: Poll, now: float, expected: Expectation = UNKNOWN) -> PollAgain | Ending:
    """Say what follows from one poll.

    An error that passes is tolerated until the deadline, with growing pauses, and so is an answer that is not fal's; a
    refusal that may be fal's is, until it was repeated often enough. Any other error ends the wait.

    :param now: unix seconds.
    :param expected: how long such a generation runs.
    """
    match poll.outcome:
        case Video() as video:
            return Done(video)
        case PikaError() as error if isinstance(error, GenerationFailed) or not error.retry_helps:
            return Failed(error)
        case DoubtfulAnswer() as doubtful if wait.doubts + 1 >= MOST_DOUBTS:
            return Failed(believed(doubtful))
        case trouble:
            failures = wait.failures + 1 if trouble else 0
            doubts = (wait.doubts + isinstance(trouble, DoubtfulAnswer)) if trouble else 0
            wait = replace(wait, failures=failures, doubts=doubts, seen=wait.seen.and_then(poll.status, now))
    if now >= wait.deadline:
        return _too_late(wait, poll)
    pause = min(_pause(wait, trouble, expected), wait.deadline - now)  # the last poll is at the deadline, not before it
    return PollAgain(pause, wait, trouble)


def _pause(wait: Wait, trouble: PikaError | None, expected: Expectation) -> float:
    if trouble is None:
        return wait.poll_interval or poll_interval.pause(wait.seen, expected, wait.request_id)
    interval = wait.poll_interval or SHORTEST_BACKOFF
    backoff = min(interval * 2.0 ** min(wait.failures, 10), LONGEST_BACKOFF)
    return max(backoff, interval, min(trouble.retry_after or 0.0, LONGEST_RETRY_AFTER))


def _too_late(wait: Wait, poll: Poll) -> TooLate:
    deadline = pendulum.from_timestamp(wait.deadline).start_of("second").isoformat()
    timeout = pendulum.duration(seconds=wait.timeout).in_words()
    within = timeout if wait.limit == TIMEOUT else f"the {wait.limit} of {timeout}"
    trouble = f"the last poll failed: {poll.outcome.message}" if isinstance(poll.outcome, PikaError) else ""
    last = "; ".join(part for part in (_last_seen(poll.status) if poll.status else "", trouble) if part).rstrip(".")
    completed = poll.status is not None and poll.status.status == "COMPLETED"
    what = "has ended, but its result could not be read" if completed else "did not end"
    message = f"Request {wait.request_id} {what} within {within}, until {deadline}; {last}."
    return TooLate(wait.request_id, message, completed, limit=wait.limit)


def _last_seen(status: QueueStatus) -> str:
    position = f" at position {status.queue_position}" if status.queue_position is not None else ""
    return f"last seen {status.status}{position}"
