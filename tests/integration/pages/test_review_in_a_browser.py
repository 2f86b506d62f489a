"""The form of a review in a real browser, which answers Airflow's own API; the task's part is played by the tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from airflow.models.hitl import HITLDetail
from airflow.utils.session import create_session
from playwright.sync_api import Browser, Page, Route, expect
from sqlalchemy import delete, select

from airflow_provider_pika.task.xcom import DECISION, REVIEW
from tests.integration.pages.conftest import coordinates
from tests.integration.pages.test_review import HOSTILE, Asked, asked
from tests.support.browser import CHROMIUM, Person, chromium, people
from tests.support.pages import Server, decision, question

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
    pytest.mark.before_release,
]

__all__ = ["asked"]

#: Milliseconds that a page may take, on a busy machine.
SOON = 30_000

Open = Callable[..., Person]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def open_page(browser: Browser, server: Server) -> Iterator[Open]:
    """Return what opens the page of the review for a user."""
    with people(browser, SOON) as come:

        def opened(user: str = "decider", width: int = 1300) -> Person:
            person = come(server.url, server.token(user), width)
            person.page.goto(f"{server.url}/pika/review?{urlencode(coordinates('review'))}")
            return person

        yield opened


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    expect.set_options(timeout=SOON)


def ask(asked: Asked, **more: Any) -> None:
    """Ask, and have the task be parked for a while."""
    asked.push(**more)
    asked.rows.settle("clips", "review")


def answers() -> list[tuple[Any, Any, Any]]:
    """Return what Airflow has stored as answers: the option, the values, and who it was."""
    with create_session(scoped=False) as session:
        rows = session.scalars(select(HITLDetail)).all()
        return [(row.chosen_options, row.params_input, row.responded_by) for row in rows if row.responded_at]


def choose(page: Page, place: int) -> None:
    page.get_by_role("radio", name=f"Keep this one: clip {place + 1}").check()


def send(page: Page) -> None:
    page.get_by_role("button", name="Send the decision").click()


def said(page: Page) -> Any:
    return page.locator("[data-sent]")


def test_a_decision_is_sent_once_and_the_page_follows_what_comes_of_it(asked: Asked, open_page: Open) -> None:
    ask(asked)
    person = open_page()
    sent: list[str] = []
    person.page.on("request", lambda request: sent.append(request.method) if request.method == "PATCH" else None)
    expect(person.page.locator("[data-missing]")).to_have_text("Choose 1 of 3: none chosen yet.")
    choose(person.page, 1)
    expect(person.page.locator("[data-missing]")).to_have_text("Ready to send: 1 of 3 kept.")
    person.page.get_by_label("Note on clip 2").fill(" sharper ")
    person.page.get_by_label("Note for all").fill("thank you")
    person.page.get_by_role("button", name="Send the decision").dblclick()
    expect(said(person.page)).to_have_text("Your decision was received.")
    expect(person.page.locator("[data-summary]")).to_have_text("decider has answered. The task checks the answer.")
    assert sent == ["PATCH"]
    digest = asked.entries[1]["sha256"]
    values = {"clips": [digest], "shown": "ab" * 32, "note": "thank you", "notes": {digest: "sharper"}}
    assert answers() == [(["Keep"], values, {"id": "decider", "name": "decider"})]

    asked.rows.push("clips", "review", decision(*asked.clips, kept=[1]), key=DECISION)
    asked.rows.state("clips", "review", "success")
    expect(person.page.locator("[data-summary]")).to_have_text("Decided: 1 of 3 clips kept.")
    expect(said(person.page)).to_have_text("Decided: 1 of 3 clips kept.")
    expect(said(person.page)).to_have_class("notice hidden")  # it is read aloud, and seen once
    assert (person.trouble, person.refused) == ([], [])


def test_one_clip_is_kept_with_one_note_and_what_is_missing_is_said_in_its_words(asked: Asked, open_page: Open) -> None:
    asked.rows.push("clips", "review", question(asked.clips[0]), key=REVIEW)
    asked.rows.settle("clips", "review")
    page = open_page().page
    missing = page.locator("[data-missing]")
    expect(missing).to_have_text("Keep the clip, or reject it.")
    send(page)
    expect(missing).to_have_class("missing bad")
    page.get_by_label("Note", exact=True).fill("fine")
    page.get_by_label("Keep this one: clip 1").check()
    expect(missing).to_have_text("Ready to send: kept.")
    expect(missing).to_have_class("missing")
    send(page)
    expect(said(page)).to_have_text("Your decision was received.")
    [(option, values, _)] = answers()
    assert (option, values["clips"], values["note"]) == (["Keep"], [asked.clips[0]["sha256"]], "fine")


def test_all_clips_can_be_rejected_and_a_single_click_does_not(asked: Asked, open_page: Open) -> None:
    ask(asked)
    page = open_page().page
    page.get_by_text("Reject all", exact=True).click()
    assert answers() == []
    page.get_by_role("button", name="Yes, reject all 3").click()
    expect(said(page)).to_have_text("Your decision was received.")
    [(option, values, _)] = answers()
    assert (option, values["clips"]) == (["Reject"], [])


def test_each_clip_is_kept_or_rejected_where_any_number_is_asked_for(asked: Asked, open_page: Open) -> None:
    ask(asked, choose="any")
    page = open_page().page
    missing = page.locator("[data-missing]")
    expect(missing).to_have_text("Keep or reject each: 3 of 3 not decided yet.")
    for place, word in enumerate(("Keep", "Reject")):
        page.get_by_role("group", name=f"Clip {place + 1}").get_by_label(word).check()
    expect(missing).to_have_text("Keep or reject each: 1 of 3 not decided yet.")
    send(page)
    expect(page.get_by_role("group", name="Clip 3").get_by_label("Keep")).to_be_focused()
    assert answers() == []
    page.get_by_role("group", name="Clip 3").get_by_label("Keep").check()
    send(page)
    expect(said(page)).to_have_text("Your decision was received.")
    assert answers()[0][1]["clips"] == [asked.entries[place]["sha256"] for place in (0, 2)]


def test_of_two_people_the_second_is_told_who_was_first(asked: Asked, open_page: Open) -> None:
    ask(asked)
    first, second = open_page("decider"), open_page("other")
    choose(first.page, 0)
    choose(second.page, 2)
    second.page.get_by_label("Note for all").fill("mine")
    send(first.page)
    expect(said(first.page)).to_have_text("Your decision was received.")
    expect(second.page.get_by_text("This has changed.")).to_be_visible()
    expect(second.page.get_by_label("Note for all")).to_have_value("mine")  # nothing was taken from under their hands
    send(second.page)
    expect(said(second.page)).to_have_text("decider answered first: 1 clip kept.")
    assert answers()[0][1]["clips"] == [asked.entries[0]["sha256"]]


@pytest.mark.parametrize("begun", ["a note", "a choice"])
def test_what_a_person_begins_while_the_page_is_fetched_anew_is_not_taken_away(
    asked: Asked, open_page: Open, begun: str
) -> None:
    ask(asked)
    page = open_page().page
    held, anew = list[Route](), re.compile(r"/pika/review\?")
    page.route(anew, lambda route: held.append(route))
    with page.expect_request(anew):
        asked.rows.answered("clips", "review", "other")
    note, choice = page.get_by_label("Note for all"), page.get_by_role("radio", name="Keep this one: clip 2")
    note.fill("mine") if begun == "a note" else choice.check()
    held.pop().continue_()
    expect(page.get_by_text("This has changed.")).to_be_visible()
    expect(note).to_have_value("mine" if begun == "a note" else "")
    expect(choice).to_be_checked(checked=begun == "a choice")


def test_what_another_wrote_over_an_answer_counts_and_is_said(asked: Asked, open_page: Open) -> None:
    """Airflow tells both of two that answer at once that it has taken their answer."""
    ask(asked)
    person = open_page()

    def late(route: Route) -> None:
        route.fetch()
        with create_session(scoped=False) as session:
            row = session.scalars(select(HITLDetail)).one()
            row.responded_by, row.chosen_options = {"id": "other", "name": "Bo"}, ["Reject"]
        route.fulfill(status=200, json={})

    person.page.route(
        "**/hitlDetails", lambda route: late(route) if route.request.method == "PATCH" else route.continue_()
    )
    choose(person.page, 0)
    send(person.page)
    expect(said(person.page)).to_have_text("Bo answered first: all rejected.")


def test_without_a_network_it_says_so_and_can_be_sent_again(asked: Asked, open_page: Open) -> None:
    ask(asked)
    page = open_page().page
    page.route("**/hitlDetails", lambda route: route.abort())
    choose(page, 0)
    send(page)
    expect(said(page)).to_contain_text("Airflow cannot be reached")
    page.unroute("**/hitlDetails")
    expect(page.get_by_role("button", name="Send the decision")).to_be_enabled()
    send(page)
    expect(said(page)).to_have_text("Your decision was received.")


def test_an_answer_that_arrived_though_its_reply_did_not_is_known_as_ones_own(asked: Asked, open_page: Open) -> None:
    ask(asked)
    page = open_page().page

    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route("**/hitlDetails", lambda route: lose(route) if route.request.method == "PATCH" else route.continue_())
    choose(page, 0)
    send(page)
    expect(said(page)).to_contain_text("Airflow cannot be reached")
    page.unroute("**/hitlDetails")
    if page.locator("[data-form]").count():  # else the page has seen it by itself
        send(page)
        expect(said(page)).to_have_text("Your decision was received.")
    expect(page.locator("[data-summary]")).to_contain_text("decider has answered.")


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, {"detail": "x"}, "You are not signed in any more."),
        (403, {"detail": "Forbidden"}, "You may not decide here. Forbidden"),
        (404, {"detail": "x"}, "Nothing is asked here any more"),
        (422, {"detail": [{"msg": "<b>no</b>"}]}, "<b>no</b>"),
        (500, {}, "Airflow has had an error (500). Send again."),
    ],
)
def test_each_refusal_is_said_in_words(
    asked: Asked, open_page: Open, status: int, body: dict[str, Any], words: str
) -> None:
    ask(asked)
    page = open_page().page
    page.route("**/hitlDetails", lambda route: route.fulfill(status=status, json=body))
    choose(page, 0)
    send(page)
    expect(said(page)).to_contain_text(words)
    expect(page.get_by_role("button", name="Send the decision")).to_be_enabled()


def test_a_question_that_is_gone_is_said_to_be(asked: Asked, open_page: Open) -> None:
    ask(asked)
    page = open_page().page
    choose(page, 0)
    with create_session(scoped=False) as session:
        session.execute(delete(HITLDetail))
    send(page)
    expect(said(page)).to_contain_text("Nothing is asked here any more")


def test_a_viewer_sees_the_clips_and_no_form(asked: Asked, open_page: Open) -> None:
    ask(asked)
    page = open_page("viewer").page
    expect(page.locator("video")).to_have_count(3)
    expect(page.get_by_text("You may look, and not decide.")).to_be_visible()
    expect(page.get_by_role("button", name="Send the decision")).to_have_count(0)
    asked.rows.answered("clips", "review", "decider")
    expect(page.locator("[data-summary]")).to_contain_text("has answered")  # by itself


def test_a_clip_that_is_replaced_under_an_open_page_cannot_be_kept(asked: Asked, open_page: Open) -> None:
    ask(asked)
    page = open_page().page
    choose(page, 1)
    asked.rows.take_back("clips", "saves", map_index=1)
    page.get_by_role("button", name="Load again").click()
    expect(page.get_by_text("This clip has been replaced since it was asked about.")).to_be_visible()
    expect(page.get_by_role("button", name="Send the decision")).to_be_disabled()
    page.get_by_role("button", name="Show the new clips").click()
    expect(said(page)).to_have_text("The task asks again, about the new clips.")
    assert answers()[0][1]["clips"] == []
    # the task has refused that, and asks about what there is
    asked.rows.take_back("clips", "review", key="pika_review")
    asked.entries.pop(1)
    asked.rows.asks_again("clips", "review")
    ask(
        asked, shown="cd" * 32, refused={"why": "3 clips were shown, and there are 2 now.", "by": "decider", "at": None}
    )
    expect(page.get_by_role("alert")).to_contain_text("does not count: 3 clips were shown, and there are 2 now.")
    choose(page, 1)
    send(page)
    expect(said(page)).to_have_text("Your decision was received.")
    assert answers()[0][1]["shown"] == "cd" * 32


def test_the_form_opens_when_the_task_waits(asked: Asked, open_page: Open) -> None:
    asked.push()
    asked.rows.state("clips", "review", "running")
    page = open_page().page
    choose(page, 0)
    expect(page.locator("[data-missing]")).to_contain_text("You can send in a moment.")
    expect(page.get_by_role("button", name="Send the decision")).to_be_disabled()
    asked.rows.state("clips", "review", "awaiting_input")
    asked.rows.settle("clips", "review")
    expect(page.get_by_role("button", name="Send the decision")).to_be_enabled()
    expect(page.get_by_text("This has changed.")).to_be_hidden()


def test_a_decision_is_made_with_the_keyboard_alone(asked: Asked, open_page: Open) -> None:
    ask(asked)
    page = open_page().page
    radio = page.get_by_role("radio", name="Keep this one: clip 1")
    for _ in range(60):
        page.keyboard.press("Tab")
        if radio.evaluate("radio => radio === document.activeElement"):
            break
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio", name="Keep this one: clip 2")).to_be_checked()
    button = page.get_by_role("button", name="Send the decision")
    for _ in range(60):
        page.keyboard.press("Tab")
        if button.evaluate("button => button === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(said(page)).to_have_text("Your decision was received.")
    assert answers()[0][1]["clips"] == [asked.entries[1]["sha256"]]


@pytest.mark.parametrize("how", [1, "any"])
def test_a_narrow_screen_needs_no_scrolling_to_the_side(asked: Asked, open_page: Open, how: Any) -> None:
    for each in asked.entries:
        each["prompt"] = HOSTILE + "x" * 200
    ask(asked, choose=how, refused={"why": "y" * 200, "by": HOSTILE, "at": None})
    person = open_page(width=390)
    expect(person.page.locator("video")).to_have_count(3)
    assert person.overflow() <= 0
    assert person.trouble == []
