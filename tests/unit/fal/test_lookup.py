"""What is asked of fal, call by call, with the answers given by hand."""

from __future__ import annotations

from typing import Any

import pendulum
import pytest

from airflow_provider_pika import exceptions as errors
from airflow_provider_pika.fal import TEXT_TO_VIDEO
from airflow_provider_pika.fal.lookup import SEARCH_PAUSES, poll, remember, search
from airflow_provider_pika.fal.models import HistoryPage, PastRequest, QueueStatus, Video
from airflow_provider_pika.fal.record import Record
from airflow_provider_pika.fal.recovery import Wanted
from airflow_provider_pika.fal.requests import Call
from airflow_provider_pika.fal.sansio import Conversation, hold
from airflow_provider_pika.fal.submission import CLOCK_SKEW, Submission
from tests.support.records import submitted_for

PLATFORM = "https://api.fal.ai/v1"
SENT = {"prompt": "a fox", "seed": 7}
VIDEO = {"video": {"url": "https://v3b.fal.media/a.mp4"}}
UNKNOWN = errors.UnknownRequest("fal does not know this request.", request_id="r-1")


class Fal:
    """Gives these answers in turn, the last one for ever; keeps the calls and the pauses."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls: list[Call[Any]] = []
        self.pauses: list[float] = []

    def hold(self, conversation: Conversation[Any]) -> Any:
        return hold(conversation, self._send, self.pauses.append)

    def _send(self, call: Call[Any]) -> Any:
        self.calls.append(call)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def page(*rows: tuple[str, Any], cursor: str | None = None) -> HistoryPage:
    items = tuple(PastRequest(request_id=id, json_input=json_input) for id, json_input in rows)
    return HistoryPage(items=items, next_cursor=cursor, has_more=cursor is not None)


def past(status_code: int | None, json_output: Any = None) -> HistoryPage:
    return HistoryPage(items=(PastRequest(request_id="r-1", status_code=status_code, json_output=json_output),))


# --- the search


def test_a_search_reads_every_page() -> None:
    fal = Fal(page(("r-1", {"prompt": "a hare"}), cursor="next"), page(("r-2", SENT)))
    assert fal.hold(search(PLATFORM, TEXT_TO_VIDEO, SENT, 0.0)).request_ids == ("r-2",)
    assert [call.options["params"].get("cursor") for call in fal.calls] == [None, "next"]
    assert fal.calls[0].path == f"{PLATFORM}/models/requests/by-endpoint"


@pytest.mark.parametrize("other", [{"prompt": "a hare", "seed": 7}, {"prompt": "a fox", "seed": 8}, None])
def test_a_search_takes_nothing_with_another_input(other: Any) -> None:
    fal = Fal(page(("r-1", other)))
    assert fal.hold(search(PLATFORM, TEXT_TO_VIDEO, SENT, 0.0)).request_ids == ()
    assert fal.pauses == [0.0, *SEARCH_PAUSES]


def test_a_search_looks_again_after_trouble_and_says_so_if_it_lasts() -> None:
    busy = errors.ServerUnavailable("busy")
    assert Fal(busy, page(("r-1", SENT))).hold(search(PLATFORM, TEXT_TO_VIDEO, SENT, 0.0)).request_ids == ("r-1",)
    assert Fal(busy).hold(search(PLATFORM, TEXT_TO_VIDEO, SENT, 0.0)).trouble is busy


def test_a_history_without_an_end_is_trouble_and_not_an_empty_one() -> None:
    found = Fal(page(("r-1", None), cursor="next")).hold(search(PLATFORM, TEXT_TO_VIDEO, SENT, 0.0))
    assert found.trouble is not None
    assert "was not read completely" in str(found.trouble)


# --- a poll


def test_a_poll_reads_the_history_where_the_queue_knows_no_more() -> None:
    seen = Fal(UNKNOWN, past(200, VIDEO)).hold(poll(PLATFORM, TEXT_TO_VIDEO, "r-1"))
    assert isinstance(seen.outcome, Video)
    completed = QueueStatus(status="COMPLETED")
    seen = Fal(completed, UNKNOWN, past(422, {"detail": "no"})).hold(poll(PLATFORM, TEXT_TO_VIDEO, "r-1"))
    assert isinstance(seen.outcome, errors.InputRejected)


@pytest.mark.parametrize(
    ("history", "kind"),
    [
        (past(None), errors.ServerUnavailable),  # it runs
        (errors.ServerUnavailable("busy"), errors.ServerUnavailable),  # one bad read ends no wait
        (errors.AccessDenied("not for this key"), errors.UnknownRequest),
        (past(200), errors.UnknownRequest),  # fal was told not to keep it
        (HistoryPage(items=()), errors.UnknownRequest),
    ],
)
def test_only_what_the_history_does_not_know_either_is_unknown(history: Any, kind: type[errors.PikaError]) -> None:
    seen = Fal(UNKNOWN, history).hold(poll(PLATFORM, TEXT_TO_VIDEO, "r-1"))
    assert type(seen.outcome) is kind


# --- the submission


class Records:
    """A record in memory."""

    def __init__(self, record: Record | None) -> None:
        self.record = record

    def read(self) -> Record | None:
        return self.record

    def write(self, record: Record) -> None:
        self.record = record


WANTED = Wanted(TEXT_TO_VIDEO, {"prompt": "a fox"}, "https://queue.fal.run", generation=2, attempt=2)
EARLIER = submitted_for(WANTED)


def obtain(fal: Fal, records: Records, wanted: Wanted = WANTED) -> Record:
    record: Record = fal.hold(Submission(wanted, records, PLATFORM, lambda _: None).obtain())
    return record


def test_a_search_begins_before_the_submit_by_as_much_as_clocks_may_differ() -> None:
    intent = EARLIER.model_copy(update={"state": "intent", "request_id": None})
    fal = Fal(page(("r-9", SENT)), QueueStatus(status="IN_PROGRESS"))
    assert obtain(fal, Records(intent)).request_id == "r-9"
    start = pendulum.parse(fal.calls[0].options["params"]["start"])
    assert isinstance(start, pendulum.DateTime)
    assert start.timestamp() == EARLIER.intended_at - CLOCK_SKEW


def test_a_request_that_fal_does_not_know_just_now_is_looked_at_again() -> None:
    gone = (UNKNOWN, HistoryPage(items=()))
    fal = Fal(*gone, *gone, QueueStatus(status="IN_PROGRESS"))
    assert obtain(fal, Records(EARLIER)).request_id == "r-1"


@pytest.mark.parametrize(("status", "cancels"), [("IN_QUEUE", 1), ("IN_PROGRESS", 0), ("COMPLETED", 0)])
@pytest.mark.parametrize("why", ["cleared", "changed"])
def test_only_an_old_request_that_still_waits_is_cancelled(why: str, status: Any, cancels: int) -> None:
    arguments, generation = ({"prompt": "a fox"}, 4) if why == "cleared" else ({"prompt": "a hare"}, 2)
    wanted = Wanted(TEXT_TO_VIDEO, arguments, "https://queue.fal.run", generation=generation, attempt=2)
    fal = Fal(QueueStatus(status=status), *([True] if cancels else []), "r-2")
    assert obtain(fal, Records(EARLIER), wanted).request_id == "r-2"
    assert [call.method for call in fal.calls] == ["GET", *["PUT"] * cancels, "POST"]


def test_a_request_that_a_person_reuses_is_no_cleared_one_in_the_next_try() -> None:
    records = Records(EARLIER)
    reusing = Wanted(TEXT_TO_VIDEO, {"prompt": "a fox"}, "https://queue.fal.run", 4, 2, on_clear="reuse")
    obtain(Fal(QueueStatus(status="IN_PROGRESS")), records, reusing)
    assert records.record is not None
    assert records.record.generation == 4


def test_with_the_users_seed_this_tasks_own_earlier_requests_are_not_what_is_searched_for() -> None:
    intent = EARLIER.model_copy(
        update={"state": "intent", "request_id": None, "seed": None, "replaced": ["r-0"], "generation": 1}
    )
    fal = Fal(page(("r-1", SENT), ("r-0", SENT)), QueueStatus(status="IN_PROGRESS"))
    wanted = Wanted(TEXT_TO_VIDEO, SENT, "https://queue.fal.run", generation=2, attempt=2)
    intent = intent.model_copy(update={"fingerprint": wanted.fingerprint})
    assert obtain(fal, Records(intent), wanted).request_id == "r-1"


# --- what fal keeps


@pytest.mark.parametrize(("known", "calls"), [(None, 2), (5.0, 1), (0.0, 1)])
def test_the_result_is_not_asked_for_again_where_its_units_are_known(known: float | None, calls: int) -> None:
    video = Video(url="https://v3b.fal.media/a.mp4", request_id="r-1", endpoint=TEXT_TO_VIDEO, billable_units=5.0)
    fal = Fal(*([video] if known is None else []), past(200))
    remembered = fal.hold(remember(PLATFORM, TEXT_TO_VIDEO, "r-1", known))
    assert remembered.billable_units == (5.0 if known is None else known)
    assert remembered.row is not None
    assert len(fal.calls) == calls
