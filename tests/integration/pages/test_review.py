"""The page of a review: who may see it and who may answer, which clips it shows, and how far it says to be."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from airflow.sdk import DAG, BaseOperator

from airflow_provider_pika.plugins.pages import batches, files, words
from airflow_provider_pika.plugins.pages.files import NotShown
from airflow_provider_pika.task.xcom import DECISION, REVIEW
from tests.integration.pages.conftest import RUN, coordinates, dag
from tests.support.pages import JPEG, MP4, Rows, Server, decision, entry, question, shown_of

#: What a stranger writes into a prompt or a note.
HOSTILE = """<script>alert(1)</script>"><img src=x onerror=alert(1)> {{ 7*7 }} 'a' & b"""

#: The page's addresses.
PAGES = ("review", "api/review", "review/poster")


def shown(answer: httpx.Response) -> str:
    """Return the text of a page that there is, its entities read."""
    assert answer.status_code == 200, (answer.status_code, answer.text[-2000:])
    return html.unescape(answer.text)


def attribute(answer: httpx.Response, name: str) -> str:
    """Return what the page's area says of itself."""
    found = re.search(rf'data-{name}="([^"]*)"', shown(answer))
    assert found is not None
    return found[1]


def has_form(answer: httpx.Response) -> bool:
    return "data-form" in shown(answer)


@dataclass
class Asked:
    """A review of three clips, which waits."""

    server: Server
    rows: Rows
    folder: Path
    entries: list[dict[str, Any]]

    @property
    def clips(self) -> list[dict[str, Any]]:
        """The clips, as the saving task has returned them."""
        return [shown_of(each) for each in self.entries]

    def push(self, **more: Any) -> None:
        """Ask about them."""
        self.rows.push("clips", "review", question(*self.clips, **more), key=REVIEW)

    def page(self, user: str = "decider", page: str = "review", **more: Any) -> httpx.Response:
        """Return what a user sees."""
        return self.server.client(user).get(f"/pika/{page}", params=coordinates("review", **more))


@pytest.fixture
def asked(server: Server, rows: Rows, roots: Path) -> Asked:
    """Make a review of three mapped takes that waits for a person."""
    rows.run(dag(), RUN)
    entries = []
    for number in range(3):
        path = roots / f"take-{number}.mp4"
        path.write_bytes(MP4 + bytes([number]))
        path.with_name(path.name + ".jpg").write_bytes(JPEG)
        entries.append(entry(path, path.read_bytes(), prompt=f"take {number}", seed=number, poster=f"{path}.jpg"))
        rows.push("clips", "saves", entries[-1], map_index=number)
    rows.waits("clips", "review")
    return Asked(server, rows, roots, entries)


class TestAccess:
    @pytest.mark.parametrize("page", PAGES)
    def test_who_has_not_signed_in_sees_nothing(self, asked: Asked, page: str) -> None:
        asked.push()
        answer = asked.server.client(None).get(f"/pika/{page}", params=coordinates("review", place=0))
        assert answer.status_code == 401
        assert "take" not in answer.text

    @pytest.mark.parametrize("page", PAGES)
    def test_a_closed_dag_is_answered_as_one_that_there_is_not(self, asked: Asked, page: str) -> None:
        asked.rows.run(dag("secret"), RUN)
        asked.rows.push("secret", "review", question(*asked.clips), key=REVIEW)
        client = asked.server.client("narrow")
        closed, none = (
            client.get(f"/pika/{page}", params=coordinates("review", name, place=0)) for name in ("secret", "no_such")
        )
        assert closed.status_code == none.status_code == 403
        assert closed.text == none.text

    @pytest.mark.parametrize("page", PAGES)
    def test_who_may_read_no_xcoms_sees_no_review(self, asked: Asked, page: str) -> None:
        asked.push()
        answer = asked.page("no_xcoms", page, place=0)
        assert answer.status_code == 403
        assert "take" not in answer.text

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
    def test_nothing_can_be_changed_here(self, server: Server, method: str) -> None:
        for page in PAGES:
            answer = server.client("decider").request(method, f"/pika/{page}", params=coordinates("review"))
            assert answer.status_code == 405

    def test_a_viewer_sees_the_clips_and_who_may_decide_and_no_form(self, asked: Asked) -> None:
        asked.push()
        text = shown(asked.page("viewer"))
        assert text.count("<video") == 3
        assert "data-form" not in text
        assert "Whoever may answer the required actions of this Dag may decide." in text

    def test_a_question_to_some_users_is_for_them_alone(self, asked: Asked) -> None:
        asked.rows.run(dag(), "other-run")
        asked.rows.clear()
        asked.rows.run(dag(), RUN)
        asked.rows.waits("clips", "review", assigned=["decider"])
        asked.push()
        assert has_form(asked.page("decider"))
        assert not has_form(asked.page("other"))
        assert "decider by name may decide." in shown(asked.page("other"))


class TestForgedQuestions:
    """Whoever writes a Dag may push our XCom. It counts from a task whose class is ours alone."""

    @pytest.mark.parametrize("task_id", ["foreign", "save", "generate", "unheard-of"])
    def test_a_question_of_another_task_is_none(self, asked: Asked, task_id: str) -> None:
        asked.push()
        if task_id != "unheard-of":
            asked.rows.push("clips", task_id, question(*asked.clips), key=REVIEW)
        for page in PAGES:
            names = coordinates(task_id, place=0)
            answer = asked.server.client("decider").get(f"/pika/{page}", params=names, follow_redirects=False)
            assert answer.status_code == 404
            assert "take" not in answer.text

    def test_a_class_of_our_name_elsewhere_is_not_ours(self, asked: Asked) -> None:
        forged = type("PikaReviewOperator", (BaseOperator,), {"__module__": "somebody.elses"})
        with DAG("forged", schedule=None) as made:
            forged(task_id="review")
        asked.rows.run(made, RUN)
        asked.rows.push("forged", "review", question(*asked.clips), key=REVIEW)
        answer = asked.server.client("decider").get("/pika/review", params=coordinates("review", "forged"))
        assert answer.status_code == 404

    @pytest.mark.parametrize(
        "value",
        [
            None,
            "text",
            [],
            {},
            question(),
            question({"path": "/x"}),
            question(shown_of(entry("/x.mp4")), choose=0),
            question(shown_of(entry("/x.mp4")), choose=True),
            question(shown_of(entry("/x.mp4")), choose="all"),
            question(shown_of(entry("/x.mp4")), asked_at="soon"),
            question(shown_of(entry("/x.mp4")), asked_at=5),
            question(shown_of(entry("/x.mp4")), shown=None),
            question(shown_of(entry("/x.mp4")), clips="all"),
        ],
    )
    def test_what_is_no_question_is_not_asked(self, asked: Asked, value: Any) -> None:
        asked.rows.push("clips", "review", value, key=REVIEW)
        assert "its question cannot be read here" in shown(asked.page())
        assert not has_form(asked.page())

    def test_a_clip_that_no_task_of_ours_has_saved_has_no_bytes(self, asked: Asked) -> None:
        path = asked.folder / "other.mp4"
        path.write_bytes(MP4 + b"other")
        strange = entry(path, path.read_bytes())
        asked.rows.push("clips", "foreign", strange)  # a stranger's task says that it has saved it
        asked.rows.push("clips", "review", question(shown_of(strange)), key=REVIEW)
        text = shown(asked.page())
        assert words.ELSEWHERE in text
        assert "<video" not in text
        assert asked.page(page="review/poster", place=0).status_code == 409

    def test_a_clip_of_another_run_is_not_shown(self, asked: Asked) -> None:
        asked.rows.run(dag(), "another")
        path = asked.folder / "other.mp4"
        path.write_bytes(MP4 + b"other")
        asked.rows.push("clips", "save", entry(path, path.read_bytes()), "another")
        asked.rows.push("clips", "review", question(shown_of(entry(path, path.read_bytes()))), key=REVIEW, run_id=RUN)
        assert "<video" not in shown(asked.page())


def test_each_clip_is_there_to_play_with_what_is_known_of_it(asked: Asked) -> None:
    asked.push(choose=2)
    text = shown(asked.page())
    for number, each in enumerate(asked.entries):
        for known in (f"take {number}", f"seed {number}", each["path"], "5 s", "0.20 USD"):
            assert known in text
    assert "Choose 2 of 3" in text
    client = asked.server.client("decider")
    videos = [html.unescape(each) for each in re.findall(r'src="(video\?[^"]+)"', asked.page().text)]
    posters = [html.unescape(each) for each in re.findall(r'poster="(poster\?[^"]+)"', asked.page().text)]
    assert [client.get(f"/pika/{each}").content for each in videos] == [MP4 + bytes([n]) for n in range(3)]
    assert [client.get(f"/pika/{each}").content for each in posters] == [JPEG] * 3


@pytest.mark.parametrize(
    ("choose", "radios"), [(1, ["keep"] * 3), (2, [f"clip-{n}" for n in (0, 0, 1, 1, 2, 2)]), ("any", None)]
)
def test_a_choice_of_one_is_one_choice_among_all(asked: Asked, choose: Any, radios: list[str] | None) -> None:
    asked.push(choose=choose)
    found = re.findall(r'type="radio" name="([^"]+)"', shown(asked.page()))
    assert found == (radios or [f"clip-{n}" for n in (0, 0, 1, 1, 2, 2)])
    assert attribute(asked.page(), "choose") == str(choose)


def test_the_answer_goes_to_airflows_own_api_by_a_relative_address(asked: Asked) -> None:
    asked.push()
    address = attribute(asked.page(), "answer")
    assert not address.startswith(("/", "http"))
    there = asked.server.client("decider").get("/pika/review").url.join(address)
    body = {"chosen_options": ["Keep"], "params_input": {"clips": [asked.entries[0]["sha256"]]}}
    assert asked.server.client("viewer").patch(there, json=body).status_code == 403
    assert asked.server.client("decider").patch(there, json=body).status_code == 200
    assert asked.server.client("other").patch(there, json=body).status_code == 409


def test_what_strangers_write_is_shown_and_not_run(asked: Asked) -> None:
    asked.entries[0]["prompt"] = asked.entries[0]["name"] = HOSTILE
    refused = {"why": HOSTILE, "by": HOSTILE, "at": HOSTILE}
    asked.push(refused=refused, shown=HOSTILE)
    told = decision(*asked.clips, note=HOSTILE, reviewed_by=HOSTILE, reviewed_at=HOSTILE)
    told["clips"][0]["note"] = HOSTILE
    pages = [asked.page()]
    asked.rows.push("clips", "review", told, key=DECISION)
    asked.rows.state("clips", "review", "success")
    client = asked.server.client("decider")
    pages += [asked.page(), client.get("/pika/clip", params=coordinates("saves", map_index=0))]
    for answer in pages:
        assert HOSTILE in shown(answer)
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert not re.search(r"<script(?! src=)|<style| style=| on\w+=\"", answer.text.replace("&#34;", ""))


class TestReplacedClips:
    """A decision is about bytes: a clip that is not the one that was asked about is not shown in its place."""

    @pytest.mark.parametrize("how", ["anew", "cleared"])
    def test_it_is_said_and_cannot_be_kept(self, asked: Asked, how: str) -> None:
        asked.push()
        before = asked.page(page="api/review").json()["version"]
        asked.rows.take_back("clips", "saves", map_index=1)
        if how == "anew":
            path = Path(asked.entries[1]["path"])
            path.write_bytes(MP4 + b"anew")
            asked.rows.push("clips", "saves", entry(path, path.read_bytes()), map_index=1)
        answer = asked.page()
        text = shown(answer)
        assert text.count("<video") == 2
        assert words.REPLACED in text
        assert "Show the new clips" in text
        assert re.findall(r'name="keep" value="\w+"[^>]*?(disabled)?>', answer.text) == ["", "disabled", ""]
        assert "data-replaced" in text
        assert asked.page(page="api/review").json()["version"] != before
        assert "Show the new clips" not in shown(asked.page("viewer"))

    def test_while_it_is_being_made_nobody_can_ask_for_it(self, asked: Asked) -> None:
        asked.push()
        version = asked.page(page="api/review").json()["version"]
        asked.rows.state("clips", "generate", "deferred")
        assert asked.page(page="api/review").json()["version"] == version  # other clips, or the same: all are there
        asked.rows.take_back("clips", "saves", map_index=1)
        text, version = shown(asked.page()), asked.page(page="api/review").json()["version"]
        assert "Show the new clips" not in text
        assert "When it is done, the new clips can be shown." in text
        asked.rows.state("clips", "generate", "success")
        assert "Show the new clips" in shown(asked.page())
        assert asked.page(page="api/review").json()["version"] != version

    def test_where_none_of_the_clips_is_of_the_run_they_can_be_decided_on(self, asked: Asked) -> None:
        asked.entries = [entry(asked.folder / f"elsewhere-{number}.mp4", bytes([number])) for number in range(2)]
        asked.push()
        text = shown(asked.page())
        assert text.count(words.ELSEWHERE) == 2
        assert re.findall(r'name="keep" value="\w+"[^>]*?(disabled)?>', text) == ["", ""]
        assert "data-replaced" not in text

    def test_its_picture_is_not_sent_in_place_of_the_other(self, asked: Asked) -> None:
        asked.push()
        first = asked.page(page="review/poster", place=0, sha256=asked.entries[0]["sha256"], user="viewer")
        assert first.status_code == 307
        there = first.url.join(first.headers["location"])
        assert asked.server.client("viewer").get(there).content == JPEG
        assert asked.page(page="review/poster", place=0, sha256=asked.entries[1]["sha256"]).status_code == 409
        asked.rows.take_back("clips", "saves", map_index=0)
        assert asked.page(page="review/poster", place=0).status_code == 409
        assert asked.server.client("viewer").get(there).status_code == 404

    @pytest.mark.parametrize("place", [3, 2**31 - 1, None, "x", -1])
    def test_a_picture_of_no_number_is_none(self, asked: Asked, place: Any) -> None:
        asked.push()
        assert asked.page(page="review/poster", **({} if place is None else {"place": place})).status_code == 404

    @pytest.mark.parametrize("page", ["video", "poster"])
    @pytest.mark.parametrize("digest", ["", "x", "ab" * 32, "the right one"])
    def test_bytes_of_another_hash_than_was_asked_for_are_refused(self, asked: Asked, page: str, digest: str) -> None:
        right = digest == "the right one"
        names = coordinates("saves", map_index=0, sha256=asked.entries[0]["sha256"] if right else digest)
        answer = asked.server.client("viewer").get(f"/pika/{page}", params=names)
        assert answer.status_code == (200 if right else 409)
        assert right or words.REPLACED in answer.text

    def test_of_two_files_of_the_same_bytes_each_is_shown_as_itself(self, asked: Asked) -> None:
        twin = {**asked.entries[0], "path": str(asked.folder / "twin.mp4")}
        asked.rows.push("clips", "save", twin)
        asked.entries = [twin, asked.entries[0]]
        asked.push()
        assert re.findall(r'src="video\?[^"]*task_id=(\w+)', asked.page().text) == ["save", "saves"]


class TestNotStreamed:
    """A clip that the server may not show can be decided on all the same: the path says which it is."""

    def test_without_roots_there_are_sentences_and_paths(self, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
        asked.push()
        monkeypatch.setenv("AIRFLOW__PIKA__CLIP_ROOTS", "")
        text = shown(asked.page())
        assert "<video" not in text
        assert "[pika] clip_roots is empty" in text
        assert all(each["path"] in text for each in asked.entries)
        assert "data-form" in text
        assert words.REPLACED not in text
        assert asked.page(page="review/poster", place=0).status_code == 404

    def test_a_clip_outside_the_roots_says_so(self, asked: Asked, tmp_path: Path) -> None:
        outside = entry(tmp_path / "outside.mp4", prompt="outside")
        asked.rows.push("clips", "save", outside)
        asked.entries.append(outside)
        asked.push()
        text = shown(asked.page())
        assert text.count("<video") == 3
        assert "not under [pika] clip_roots" in text
        assert "disabled" not in re.search(r"<li[^>]*>(?:(?!<li).)*outside\.mp4.*?</li>", text, re.DOTALL)[0]  # type: ignore[index]


class TestHowFarItIs:
    def test_nothing_is_asked_yet(self, asked: Asked) -> None:
        asked.rows.state("clips", "review", None)
        assert "Nothing is asked yet" in shown(asked.page())
        assert asked.page(page="api/review").json()["phase"] == "before"

    @pytest.mark.parametrize("state", ["awaiting_input", "deferred"])
    def test_it_waits_and_can_be_answered(self, asked: Asked, state: str) -> None:
        asked.push(until="2099-01-01T00:00:00+00:00")
        asked.rows.state("clips", "review", state)
        asked.rows.settle("clips", "review")
        answer = asked.page()
        assert has_form(answer)
        assert attribute(answer, "wait") == "0"
        assert "You can decide until 2099-01-01 00:00:00 UTC." in re.sub("<[^>]+>", "", shown(answer))

    def test_the_form_opens_when_the_task_is_parked_and_settled(self, asked: Asked) -> None:
        asked.push()
        asked.rows.state("clips", "review", "running")
        parking, version = asked.page(), asked.page(page="api/review").json()["version"]
        assert has_form(parking)
        assert attribute(parking, "wait") == ""
        asked.rows.state("clips", "review", "awaiting_input")
        told = asked.page(page="api/review").json()
        assert told["version"] == version  # so the form stays as it is, and opens
        assert 5 < told["wait"] <= 10
        asked.rows.state("clips", "review", "deferred")  # on Airflow 3.1
        assert 5 < asked.page(page="api/review").json()["wait"] <= 10

    def test_another_machines_clock_keeps_nobody_waiting(self, asked: Asked) -> None:
        asked.push(asked_at="2099-01-01T00:00:00+00:00")
        assert asked.page(page="api/review").json()["wait"] == 10

    def test_an_answer_is_with_the_task(self, asked: Asked) -> None:
        asked.push()
        before = asked.page(page="api/review").json()["version"]
        asked.rows.answered("clips", "review", "decider")
        text = shown(asked.page())
        assert "decider by name has answered. The task checks the answer." in text
        assert "data-form" not in text
        assert asked.page(page="api/review").json()["version"] != before

    def test_an_answer_that_did_not_count_is_said_above_the_new_question(self, asked: Asked) -> None:
        why = "A clip has been made anew."
        asked.push(refused={"why": why, "by": "Ada", "at": "2026-11-27T09:00:00+00:00"})
        text = re.sub("<[^>]+>", "", shown(asked.page()))
        said = "The answer of Ada at 2026-11-27 09:00:00 UTC does not count: A clip has been made anew. Decide about"
        assert said in text

    @pytest.mark.parametrize("state", ["success", "skipped", "failed", "running"])
    def test_it_is_decided(self, asked: Asked, state: str) -> None:
        asked.push()
        told = decision(*asked.clips, kept=[1], note="sharper")
        told["clips"][1]["note"] = "the best light"
        asked.rows.push("clips", "review", told, key=DECISION)
        asked.rows.state("clips", "review", state)
        text = shown(asked.page("viewer"))
        for known in ("Decided: 1 of 3 clips kept.", "By Ada", "2026-11-27 09:00:00", "sharper", "the best light"):
            assert known in text
        assert re.findall(r">(kept|rejected)<", text) == ["rejected", "kept", "rejected"]
        assert not has_form(asked.page())
        assert text.count("<video") == 3

    @pytest.mark.parametrize(
        ("answer", "kept", "by", "said"),
        [
            ("reject", [], "Ada", "Decided: all 3 clips are rejected."),
            ("timeout", [], None, "Nobody has decided in time: none kept."),
            ("timeout", [0, 1, 2], None, "Nobody has decided in time: 3 of 3 clips kept."),
        ],
    )
    def test_what_was_decided_is_one_sentence(
        self, asked: Asked, answer: str, kept: list[int], by: str | None, said: str
    ) -> None:
        asked.push()
        more = {"answer": answer, "reviewed_by": by, "reviewed_by_id": by}
        asked.rows.push("clips", "review", decision(*asked.clips, kept=kept, **more), key=DECISION)
        asked.rows.state("clips", "review", "success")
        assert said in shown(asked.page())

    @pytest.mark.parametrize(
        ("answer", "said"),
        [("keep", "Decided: the clip is kept."), ("timeout", "Nobody has decided in time: the clip is kept.")],
    )
    def test_what_was_decided_on_one_clip_is_one_sentence(self, asked: Asked, answer: str, said: str) -> None:
        asked.rows.push("clips", "review", question(asked.clips[0]), key=REVIEW)
        asked.rows.push("clips", "review", decision(asked.clips[0], answer=answer), key=DECISION)
        asked.rows.state("clips", "review", "success")
        assert said in shown(asked.page())

    def test_what_the_dag_says_about_it_is_shown_as_text_while_it_is_asked(self, asked: Asked) -> None:
        asked.push(body=f"If none is good, say why. {HOSTILE}")
        answer = asked.page()
        assert f"If none is good, say why. {HOSTILE}" in shown(answer)
        assert "<script>alert" not in answer.text

    def test_one_clip_is_kept_or_rejected_and_has_one_note(self, asked: Asked) -> None:
        asked.rows.push("clips", "review", question(asked.clips[0]), key=REVIEW)
        text = shown(asked.page())
        assert "Keep this clip, or reject it" in text
        assert "Yes, reject it" in text
        assert text.count("<textarea") == 1

    @pytest.mark.parametrize(
        ("state", "said"),
        [
            ("success", "The task was marked as success, and nobody has decided."),
            ("failed", "The task has failed, and nobody has decided."),
            ("skipped", "The task was skipped, and nobody has decided."),
        ],
    )
    def test_it_ended_without_a_decision(self, asked: Asked, state: str, said: str) -> None:
        asked.push()
        asked.rows.state("clips", "review", state)
        assert said in shown(asked.page())
        assert not has_form(asked.page())

    def test_an_answer_after_the_end_has_no_effect_and_that_is_said(self, asked: Asked) -> None:
        asked.push()
        asked.rows.answered("clips", "review", "other")
        asked.rows.state("clips", "review", "success")
        assert "so the answer of other by name has no effect." in shown(asked.page())

    def test_a_decision_of_a_task_that_is_cleared_counts_no_more(self, asked: Asked) -> None:
        asked.push()
        asked.rows.push("clips", "review", decision(*asked.clips), key=DECISION)
        asked.rows.cleared("clips", "review")
        for state in (None, "scheduled", "queued"):
            asked.rows.state("clips", "review", state)
            assert "Nothing is asked yet" in shown(asked.page())

    def test_the_version_stands_still_while_nothing_happens(self, asked: Asked) -> None:
        asked.push()
        first, second = (asked.page(page="api/review").json()["version"] for _ in range(2))
        assert attribute(asked.page(), "version") == first == second


def test_each_of_mapped_reviews_has_its_own_page(asked: Asked) -> None:
    for index, each in enumerate(asked.clips[:2]):
        asked.rows.push("clips", "reviews", question(each), key=REVIEW, map_index=index)
        asked.rows.waits("clips", "reviews", map_index=index)
        answer = asked.server.client("decider").get("/pika/review", params=coordinates("reviews", map_index=index))
        assert f"take {index}" in shown(answer)
        assert "Keep this clip, or reject it" in shown(answer)
        assert f"taskInstances/reviews/{index}/hitlDetails" in answer.text


class TestBatches:
    """A clip of a batch is the line of its index, with its hash."""

    @pytest.fixture(params=["returned", "manifest"])
    def lines(self, asked: Asked, request: pytest.FixtureRequest) -> list[dict[str, Any]]:
        import json

        lines = [{"index": n, "state": "saved", **shown_of(each)} for n, each in enumerate(asked.entries)]
        manifest = asked.folder / "manifest.jsonl" if request.param == "manifest" else None
        if manifest:
            manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
        about = {
            "kind": "batch",
            "total": 3,
            "saved": 3,
            "failed": 0,
            "bytes": 5,
            "manifest": manifest and str(manifest),
        }
        for index in range(3):
            asked.rows.take_back("clips", "saves", map_index=index)
        asked.rows.push("clips", "save_all", about)
        asked.rows.push("clips", "save_all", {"clips": None if manifest else lines}, key="return_value")
        return lines

    def test_its_clips_play(self, asked: Asked, lines: list[dict[str, Any]]) -> None:
        asked.rows.push("clips", "review", question(lines[2], lines[0]), key=REVIEW)
        client = asked.server.client("decider")
        videos = [html.unescape(each) for each in re.findall(r'src="(video\?[^"]+)"', asked.page().text)]
        assert [client.get(f"/pika/{each}").content for each in videos] == [MP4 + b"\2", MP4 + b"\0"]
        poster = client.get("/pika/review/poster", params=coordinates("review", place=1), follow_redirects=True)
        assert poster.content == JPEG

    @pytest.mark.parametrize("lines", ["manifest"], indirect=True)
    @pytest.mark.parametrize("is_down", [False, True])
    def test_a_manifest_is_opened_once_for_a_page_and_asked_no_more_when_its_storage_is_down(
        self, asked: Asked, lines: list[dict[str, Any]], is_down: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened, really = list[Any](), files.text_at

        def text_at(*where: Any) -> Any:
            opened.append(where)
            if is_down:
                raise NotShown(502, "The storage does not answer.")
            return really(*where)

        monkeypatch.setattr(batches, "text_at", text_at)
        asked.rows.push("clips", "review", question(*lines), key=REVIEW)
        text = shown(asked.page())
        assert len(opened) == 1
        assert text.count("<video") == (0 if is_down else 3)
        assert text.count("The storage does not answer.") == (3 if is_down else 0)

    def test_a_line_of_another_hash_is_a_replaced_clip(self, asked: Asked, lines: list[dict[str, Any]]) -> None:
        asked.rows.push("clips", "review", question({**lines[0], "index": 1}), key=REVIEW)
        assert words.REPLACED in shown(asked.page())
        names = coordinates("save_all", item=1, sha256=lines[0]["sha256"])
        assert asked.server.client("decider").get("/pika/video", params=names).status_code == 409


class TestTheOtherPages:
    def test_a_clips_page_of_a_review_leads_to_the_review(self, asked: Asked) -> None:
        asked.push()
        answer = asked.page(page="clip")
        assert answer.status_code == 307
        assert answer.headers["location"].startswith("review?dag_id=clips&")

    @pytest.mark.parametrize("state", ["awaiting_input", "deferred"])
    def test_the_list_says_what_waits_for_a_decision(self, asked: Asked, state: str) -> None:
        asked.push()
        asked.rows.state("clips", "review", state)
        answer = asked.server.client("viewer").get("/pika/clips")
        assert re.search(
            r'<a href="review\?[^"]*task_id=review[^"]*"><span class="state \w+">waits for a decision<', answer.text
        )

    def test_the_list_says_which_clips_are_asked_about(self, asked: Asked) -> None:
        asked.push()
        client = asked.server.client("viewer")
        for prompt, number in (("", 1), ("take 2", 1), ("another", 0)):
            text = shown(client.get("/pika/clips", params={"prompt": prompt}))
            assert text.count('take 0 · take 1 · take 2</span> <span class="count">3 clips<') == number

    def test_the_list_has_the_last_decision_on_each_clip(self, asked: Asked) -> None:
        client = asked.server.client("viewer")
        asked.rows.push("clips", "review", decision(*asked.clips, kept=[1], note="sharper"), key=DECISION)
        text = shown(client.get("/pika/clips"))
        assert [text.count(f">{word}</span></a> by Ada") for word in ("kept", "rejected")] == [1, 2]
        assert text.count("sharper") == 3
        later = decision(*asked.clips[:2], kept=[0], reviewed_by="Bo", reviewed_at="2026-11-27T09:30:00+00:00")
        asked.rows.push("clips", "reviews", later, map_index=0, key=DECISION)
        text = shown(client.get("/pika/clips"))
        told = re.findall(r">(kept|rejected)</span></a> by (\w+)", text)  # the newest first: the third clip comes first
        assert told == [("rejected", "Ada"), ("rejected", "Bo"), ("kept", "Bo")]

    def test_a_clips_page_has_the_newest_decision_first(self, asked: Asked) -> None:
        for number, (task_id, by) in enumerate((("reviews", "Cy"), ("review", "Bo"), ("reviews", "Di"))):
            told = decision(asked.clips[0], reviewed_by=by, reviewed_at=f"2026-11-27T09:0{number}:00+00:00")
            index = {"Cy": 1, "Di": 0}.get(by, -1)
            asked.rows.push("clips", task_id, told, map_index=index, key=DECISION)
        text = shown(asked.server.client("viewer").get("/pika/clip", params=coordinates("saves", map_index=0)))
        assert re.findall(r"</a> by (\w+)", text) == ["Di", "Bo", "Cy"]

    @pytest.mark.parametrize("how", ["of a stranger's task", "of another run", "on other bytes"])
    def test_the_list_has_no_decision_that_is_not_of_this_clip(self, asked: Asked, how: str) -> None:
        task_id, run_id, clips = "review", RUN, asked.clips
        if how == "of a stranger's task":
            task_id = "foreign"
        elif how == "of another run":
            asked.rows.run(dag(), run_id := "another-run")
        else:
            clips = [{**clip, "sha256": "0" * 64} for clip in clips]
        asked.rows.push("clips", task_id, decision(*clips), run_id=run_id, key=DECISION)
        assert "Ada" not in shown(asked.server.client("viewer").get("/pika/clips"))

    def test_a_clips_page_has_the_decision_on_it(self, asked: Asked) -> None:
        told = decision(*asked.clips, kept=[1], note="sharper")
        asked.rows.push("clips", "review", told, key=DECISION)
        client = asked.server.client("viewer")
        for index, word in enumerate(("rejected", "kept", "rejected")):
            text = shown(client.get("/pika/clip", params=coordinates("saves", map_index=index)))
            assert f">{word}</span></a> by Ada" in text
            assert "sharper" in text
            assert 'href="review?dag_id=clips' in text

    def test_a_decision_of_a_strangers_task_is_not_shown_there(self, asked: Asked) -> None:
        asked.rows.push("clips", "foreign", decision(*asked.clips), key=DECISION)
        text = shown(asked.server.client("viewer").get("/pika/clip", params=coordinates("saves", map_index=0)))
        assert "Ada" not in text

    def test_a_decision_on_other_bytes_is_not_shown_there(self, asked: Asked) -> None:
        asked.rows.push("clips", "review", decision({**asked.clips[0], "sha256": "0" * 64}), key=DECISION)
        text = shown(asked.server.client("viewer").get("/pika/clip", params=coordinates("saves", map_index=0)))
        assert "Ada" not in text
