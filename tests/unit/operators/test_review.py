"""A review from its Dag file to its end, without Airflow's processes: what it refuses, asks, judges, and tells."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, TaskDeferred
from airflow.sdk import DAG
from airflow.sdk.execution_time import task_runner

from airflow_provider_pika.exceptions import InvalidInput, StorageFailed, TryLater
from airflow_provider_pika.operators import review as module
from airflow_provider_pika.operators.review import PikaReviewOperator
from airflow_provider_pika.review.clips import digest_of
from airflow_provider_pika.review.decision import KEEP, REJECT
from airflow_provider_pika.transfers.video_to_object_storage import PikaVideoToObjectStorageOperator
from tests.support.airflow import TaskInstance

ANSWERED = datetime(2026, 11, 27, 9, 12, 44, tzinfo=UTC)


class Supervisor:
    """Keeps what a task tells Airflow of its question."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def send(self, msg: Any) -> None:
        self.asked.append(msg)


@pytest.fixture(autouse=True)
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    here = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", here, raising=False)
    return here


class Reviewing:
    """One task instance that asks, and goes on as Airflow has it: another operator, with what the question kept."""

    def __init__(self, clips: Any, **arguments: Any) -> None:
        self.clips, self._arguments, self.asked = clips, arguments, list[str]()
        self.ti = TaskInstance()
        self.ti.id = "00000000-0000-7000-8000-000000000000"  # type: ignore[attr-defined]
        self.context: Any = {"ti": self.ti, "task_instance": self.ti, "outlet_events": {}}

    def _task(self) -> PikaReviewOperator:
        return PikaReviewOperator(task_id="review", clips=self.clips, **self._arguments)

    def ask(self) -> Any:
        """Ask; gives the question."""
        with pytest.raises(module._PARKED) as parked:
            self._task().execute(self.context)
        return self._kept(parked.value)

    def again(self, option: str, *clips: str, **more: Any) -> Any:
        """Answer what does not count; gives the new question."""
        with pytest.raises(module._PARKED) as parked:
            self.answer(option, *clips, **more)
        return self._kept(parked.value)

    def answer(self, option: str, *clips: str, **more: Any) -> Any:
        """Answer as user ada, who says of a rejection which clips she saw; gives what the task returns."""
        if option == REJECT:
            more = {"shown": digest_of(self.asked), **more}
        return self.event(
            chosen_options=[option],
            params_input={"clips": list(clips), **more},
            responded_at=ANSWERED,
            responded_by_user={"id": "7", "name": "ada"},
        )

    def event(self, **event: Any) -> Any:
        """Go on with an event of Airflow's."""
        return self._task().execute_complete(self.context, event, asked=self.asked)

    def silence(self) -> Any:
        return self.event(error="The timeout has passed.", error_type="timeout")

    def _kept(self, parked: Any) -> Any:
        assert parked.method_name == "execute_complete"
        self.asked = json.loads(json.dumps(parked.kwargs["asked"]))
        return self.ti.xcoms["pika_review"]


@pytest.fixture
def saved(tmp_path: Path) -> list[dict[str, Any]]:
    return [save(tmp_path, name) for name in "abc"]


def save(folder: Path, name: str, content: bytes | None = None) -> dict[str, Any]:
    path = folder / f"{name}.mp4"
    path.write_bytes(content or name.encode())
    known = {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "bytes": 1}
    return {**known, "prompt": f"clip {name}", "seed": 1, "poster": None}


def saving(task_id: str) -> PikaVideoToObjectStorageOperator:
    return PikaVideoToObjectStorageOperator(task_id=task_id, video="{{ x }}", path="/clips/{{ run_id }}.mp4")


def hashes(clips: list[dict[str, Any]]) -> list[str]:
    return [clip["sha256"] for clip in clips]


def test_the_question_names_the_clips_their_number_and_the_deadline(
    saved: list[dict[str, Any]], supervisor: Supervisor
) -> None:
    reviewing = Reviewing(saved, choose=1, timeout=timedelta(hours=2), assigned_users={"id": "7", "name": "ada"})
    question = reviewing.ask()
    assert question["clips"] == saved
    assert (question["choose"], question["shown"], question["refused"]) == (1, digest_of(hashes(saved)), None)
    assert datetime.fromisoformat(question["until"]) - datetime.fromisoformat(question["asked_at"]) == timedelta(
        hours=2
    )
    [asked] = supervisor.asked
    assert (asked.subject, asked.options, asked.multiple) == ("Choose 1 of these 3 clips", [KEEP, REJECT], False)
    assert "clip b" in asked.body
    assert asked.defaults is None
    assert [user.name for user in asked.assigned_users] == ["ada"]


def test_the_kept_clips_are_returned_as_they_were_saved_with_who_kept_them(saved: list[dict[str, Any]]) -> None:
    reviewing = Reviewing(saved, choose="any")
    reviewing.ask()
    a, _, c = hashes(saved)
    kept = reviewing.answer(KEEP, c, a, note="fine", notes={c: "the light"})
    who = {"reviewed_by": "ada", "reviewed_at": "2026-11-27T09:12:44Z"}
    assert kept == [{**saved[0], **who, "note": "fine"}, {**saved[2], **who, "note": "the light"}]
    decided = reviewing.ti.xcoms["review"]
    assert (decided["answer"], decided["reviewed_by_id"], decided["note"]) == ("keep", "7", "fine")
    assert [clip["decision"] for clip in decided["clips"]] == ["keep", "reject", "keep"]


def test_the_audit_lies_beside_each_clip_and_keeps_other_reviews_of_the_same_bytes(
    saved: list[dict[str, Any]], tmp_path: Path
) -> None:
    beside = tmp_path / "a.mp4.review.json"
    for task_id in ("legal", "brand", "brand"):
        reviewing = Reviewing(saved, choose="any")
        reviewing.ti.task_id = task_id
        reviewing.ask()
        reviewing.answer(KEEP, hashes(saved)[0])
    audit = json.loads(beside.read_text())
    assert audit["sha256"] == saved[0]["sha256"]
    assert [each["task_id"] for each in audit["reviews"]] == ["legal", "brand"]
    assert audit["reviews"][0].items() >= {"decision": "keep", "reviewed_by": "ada", "map_index": -1}.items()
    saved[0] = save(tmp_path, "a", b"made anew")
    reviewing = Reviewing(saved, on_reject="empty")
    reviewing.ask()
    reviewing.answer(REJECT)
    assert [each["decision"] for each in json.loads(beside.read_text())["reviews"]] == ["reject"]


def test_what_lies_in_the_place_of_an_audit_stays_and_the_decision_holds(
    saved: list[dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.mp4.review.json").write_text("a letter")
    reviewing = Reviewing(saved[:1])
    reviewing.ask()
    assert len(reviewing.answer(KEEP, *hashes(saved[:1]))) == 1
    assert (tmp_path / "a.mp4.review.json").read_text() == "a letter"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param(lambda clips, folder: clips.__setitem__(1, save(folder, "b", b"anew")), "Clip 2", id="made anew"),
        pytest.param(lambda clips, folder: clips.append(save(folder, "d")), "there are 4 now", id="one more"),
        pytest.param(lambda clips, folder: (folder / "a.mp4").write_bytes(b"x"), "not what was shown", id="replaced"),
        pytest.param(lambda clips, folder: (folder / "a.mp4").unlink(), "or is gone", id="removed"),
        pytest.param(lambda clips, folder: _as_folder(folder / "a.mp4"), "or is gone", id="a folder"),
    ],
)
def test_it_asks_again_when_the_clips_are_no_longer_what_was_shown(
    saved: list[dict[str, Any]], tmp_path: Path, change: Any, why: str
) -> None:
    reviewing = Reviewing(saved, choose="any")
    before = reviewing.ask()
    first = saved[0]["sha256"]
    change(saved, tmp_path)
    again = reviewing.again(KEEP, first)
    assert why in again["refused"]["why"]
    assert (again["refused"]["by"], again["refused"]["at"]) == ("ada", "2026-11-27T09:12:44Z")
    assert again["asked_at"] > before["asked_at"]
    assert again["clips"] == saved
    assert "review" not in reviewing.ti.xcoms


def _as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def test_an_answer_that_airflow_itself_refused_is_asked_for_again(saved: list[dict[str, Any]]) -> None:
    reviewing = Reviewing(saved)
    reviewing.ask()
    with pytest.raises(module._PARKED):
        reviewing.event(error="Invalid input for param clips", error_type="validation")
    assert "Invalid input for param clips" in reviewing.ti.xcoms["pika_review"]["refused"]["why"]


@pytest.mark.parametrize("cleared", [[0], [1], [1, 2], [0, 1, 2]])
@pytest.mark.parametrize("how", ["an answer", "a rejection", "silence that approves", "silence that skips"])
def test_a_clip_that_is_cleared_while_its_answer_comes_is_waited_for_by_a_retry(
    saved: list[dict[str, Any]], cleared: list[int], how: str
) -> None:
    reviewing = Reviewing(saved, choose=3, timeout=60, on_timeout="approve" if "approves" in how else "skip")
    reviewing.ask()
    reviewing.clips = [None if place in cleared else clip for place, clip in enumerate(saved)]
    option = REJECT if how == "a rejection" else KEEP
    go_on = reviewing.silence if "silence" in how else lambda: reviewing.answer(option, *hashes(saved))
    with pytest.raises(TryLater, match="A retry asks again"):
        go_on()
    assert "review" not in reviewing.ti.xcoms


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to a bucket of a host that refuses every connection, without a second try."""
    extra = {"endpoint_url": "http://127.0.0.1:1", "config_kwargs": {"retries": {"total_max_attempts": 1}}}
    connection = {"conn_type": "aws", "login": "id", "password": "secret", "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_NOWHERE", json.dumps(connection))


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize("path", ["s3://nowhere@clips/a.mp4", "ftpx://nowhere/a.mp4"])
def test_a_storage_that_cannot_be_asked_is_found_before_a_person_is(
    saved: list[dict[str, Any]], supervisor: Supervisor, path: str
) -> None:
    saved[0] = {**saved[0], "path": path}
    reviewing = Reviewing(saved)
    with pytest.raises((StorageFailed, AirflowFailException)):
        reviewing._task().execute(reviewing.context)
    assert not [each for each in supervisor.asked if hasattr(each, "subject")]


@pytest.mark.usefixtures("nowhere")
def test_a_storage_that_cannot_be_read_fails_the_judging_and_not_the_clip(saved: list[dict[str, Any]]) -> None:
    reviewing = Reviewing(saved)
    reviewing.ask()
    saved[0] = {**saved[0], "path": "s3://nowhere@clips/a.mp4"}
    with pytest.raises(StorageFailed, match="A retry asks the person again"):
        reviewing.answer(KEEP, hashes(saved)[0])


@pytest.mark.parametrize(("on_reject", "end"), [("skip", AirflowSkipException), ("fail", AirflowFailException)])
def test_what_a_rejection_does_is_the_dags_choice(saved: list[dict[str, Any]], on_reject: str, end: Any) -> None:
    reviewing = Reviewing(saved, on_reject=on_reject)
    reviewing.ask()
    with pytest.raises(end, match=r"All clips were rejected\. The note says: too dark"):
        reviewing.answer(REJECT, note="too dark")
    assert reviewing.ti.xcoms["review"]["answer"] == "reject"


def test_a_rejection_may_be_an_empty_list(saved: list[dict[str, Any]]) -> None:
    reviewing = Reviewing(saved, on_reject="empty")
    reviewing.ask()
    assert reviewing.answer(REJECT) == []


@pytest.mark.parametrize(("on_timeout", "end"), [("skip", AirflowSkipException), ("fail", AirflowFailException)])
def test_what_silence_does_is_the_dags_choice(saved: list[dict[str, Any]], on_timeout: str, end: Any) -> None:
    reviewing = Reviewing(saved, timeout=60, on_timeout=on_timeout, on_reject="empty")
    reviewing.ask()
    with pytest.raises(end, match="Nobody answered within 60 s"):
        reviewing.silence()
    decided = reviewing.ti.xcoms["review"]
    assert (decided["answer"], {clip["decision"] for clip in decided["clips"]}) == ("timeout", {"reject"})


@pytest.mark.parametrize("on_timeout", ["skip", "fail"])
def test_silence_rejects_nothing_that_was_not_shown(
    saved: list[dict[str, Any]], tmp_path: Path, on_timeout: str
) -> None:
    reviewing = Reviewing(saved, timeout=60, on_timeout=on_timeout)
    reviewing.ask()
    saved[1] = save(tmp_path, "b", b"anew")
    with pytest.raises(module._PARKED) as parked:
        reviewing.silence()
    assert "made anew" in reviewing._kept(parked.value)["refused"]["why"]
    assert "review" not in reviewing.ti.xcoms
    assert not (tmp_path / "b.mp4.review.json").exists()


def test_silence_approves_no_file_that_is_not_what_was_shown_and_that_ends(saved: list[dict[str, Any]]) -> None:
    reviewing = Reviewing(saved, choose=3, timeout=60, on_timeout="approve")
    reviewing.ask()
    Path(saved[1]["path"]).unlink()
    with pytest.raises(AirflowFailException, match=r"nothing is approved: The file of clip 2 .* is gone\. Put it back"):
        reviewing.silence()
    assert "review" not in reviewing.ti.xcoms


def test_silence_approves_only_what_was_shown(saved: list[dict[str, Any]], tmp_path: Path) -> None:
    reviewing = Reviewing(saved, choose=3, timeout=60, on_timeout="approve")
    reviewing.ask()
    saved[1] = save(tmp_path, "b", b"anew")
    with pytest.raises(module._PARKED) as parked:
        reviewing.silence()
    assert "made anew" in reviewing._kept(parked.value)["refused"]["why"]
    kept = reviewing.silence()
    assert hashes(kept) == hashes(saved)
    assert {clip["reviewed_by"] for clip in kept} == {None}


@pytest.mark.parametrize("number", [1, 4])
def test_a_number_that_does_not_fit_is_refused_before_anybody_is_asked(
    saved: list[dict[str, Any]], supervisor: Supervisor, number: int
) -> None:
    more: dict[str, Any] = {"timeout": 60, "on_timeout": "approve"} if number == 1 else {}
    reviewing = Reviewing("{{ ti }}", choose=number, **more)
    task = reviewing._task()
    task.clips = saved
    with pytest.raises(AirflowFailException, match=f"choose={number}" if number == 4 else "on_timeout='approve'"):
        task.execute(reviewing.context)
    assert supervisor.asked == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"choose": 0}, "choose=0"),
        ({"choose": True}, "choose=True"),
        ({"choose": "all"}, "choose='all'"),
        ({"choose": 1.5}, "choose=1.5"),
        ({"on_reject": "stop"}, "on_reject='stop'"),
        ({"on_timeout": "reject", "timeout": 5}, "on_timeout='reject'"),
        ({"on_timeout": "approve"}, "without a timeout"),
        ({"options": ["Yes"]}, "options is not allowed"),
        ({"response_timeout": timedelta(1)}, "Its deadline is timeout"),
        ({"defaults": "Keep"}, "defaults is not allowed"),
        ({"choose": 2}, "there are 1 clips"),
    ],
)
def test_what_cannot_be_is_refused_when_the_dag_is_parsed(arguments: dict[str, Any], named: str) -> None:
    with DAG("refused"):
        save = saving("save")
        with pytest.raises((InvalidInput, AirflowFailException), match=named):
            PikaReviewOperator(task_id="review", clips=save.output, **arguments)


def test_approving_by_silence_one_of_several_is_refused_when_the_dag_is_parsed() -> None:
    with DAG("refused"):
        both = [saving(name).output for name in ("one", "two")]
        with pytest.raises(AirflowFailException, match="choose=1 of 2 clips"):
            PikaReviewOperator(task_id="review", clips=both, timeout=60, on_timeout="approve")


def test_a_task_in_place_of_its_output_is_refused_when_the_dag_is_parsed() -> None:
    with DAG("refused"):
        save = saving("save")
        with pytest.raises(AirflowFailException, match=r"save\.output"):
            PikaReviewOperator(task_id="review", clips=save)  # type: ignore[arg-type]


@pytest.mark.parametrize("where", ["of the Dag", "of the task"])
def test_the_limit_of_a_worker_is_not_the_persons_deadline(where: str) -> None:
    limit: dict[str, Any] = {"execution_timeout": timedelta(minutes=1)}
    with DAG("limited", default_args=limit if where == "of the Dag" else {}):
        more = limit if where == "of the task" else {}
        review = PikaReviewOperator(task_id="review", clips="{{ x }}", **more)
    assert review.response_timeout is None
    assert review.execution_timeout == timedelta(minutes=1)


def test_the_operator_waits_as_airflows_own_does(saved: list[dict[str, Any]]) -> None:
    with pytest.raises(module._PARKED) as parked:
        Reviewing(saved, timeout=60)._task().execute(Reviewing(saved).context)
    assert isinstance(parked.value, TaskDeferred) == (len(module._PARKED) == 1)


def test_a_notifier_finds_the_clips_and_the_address(saved: list[dict[str, Any]]) -> None:
    told = list[Any]()

    def notify(context: Any) -> None:
        task = context["task"]
        told.append((task.shown, task.page_url(context)))

    reviewing = Reviewing(saved, notifiers=[notify])
    task = reviewing._task()
    reviewing.context["task"] = task
    with pytest.raises(module._PARKED):
        task.execute(reviewing.context)
    [(shown, url)] = told
    assert shown == saved
    assert url.startswith("http")
    assert "/pika/review?dag_id=a_dag&run_id=manual__2026-11-27T00%3A00%3A00%2B00%3A00&task_id=task&map_index=-1" in url
