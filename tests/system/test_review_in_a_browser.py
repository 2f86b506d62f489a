"""People decide on clips in a real browser, and a real Airflow goes on with what they have kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlencode

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import CHROMIUM, Person, chromium, people
from tests.support.running_airflow import RunningAirflow
from tests.system.stage import Stage

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

DAG = "judged"

#: States of a task that waits for a person: of Airflow 3.3, and of 3.1.
WAITING = ("awaiting_input", "deferred")

#: Milliseconds that a page may take, on a busy machine; and a task, to judge an answer. On 3.1 its trigger polls.
SOON, JUDGED = 30_000, 120_000


@dataclass(frozen=True)
class Run:
    """A run whose reviews have been asked, all of them about the same takes."""

    airflow: RunningAirflow
    run_id: str

    def url(self, task_id: str) -> str:
        """Return the address of a review's page."""
        at = {"dag_id": DAG, "run_id": self.run_id, "task_id": task_id, "map_index": -1}
        return f"{self.airflow.url}/pika/review?{urlencode(at)}"

    def clips(self, task_id: str) -> list[dict[str, Any]]:
        """Return the clips that a review has asked about."""
        return list(self.xcom(task_id, "pika_review")["clips"])

    def xcom(self, task_id: str, key: str = "return_value") -> Any:
        """Return what a task has pushed."""
        return self.airflow.xcom(DAG, self.run_id, task_id, key)

    def until(self, task_id: str, state: str, map_index: int = -1) -> None:
        """Wait until a task has ended so."""
        self.airflow.until_state(DAG, self.run_id, task_id, state, map_index=map_index)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        expect.set_options(timeout=SOON)
        yield running


@pytest.fixture
def person(browser: Browser, airflow: RunningAirflow) -> Iterator[Callable[[], Person]]:
    """Return what brings a person with a browser of their own."""
    with people(browser, SOON) as come:
        yield lambda: come(airflow.url, airflow.token)


@pytest.fixture(scope="module")
def run(airflow: RunningAirflow, stage: Stage) -> Run:
    run_id = airflow.start_run(DAG, folder=str(stage.clips / DAG))
    for task_id in ("one", "none", "two", "keys", "anew"):
        airflow.until_state(DAG, run_id, task_id, *WAITING)
    return Run(airflow, run_id)


def choose(page: Page, place: int) -> None:
    page.get_by_role("radio", name=f"Keep this one: clip {place + 1}").check()


def send(page: Page) -> None:
    expect(page.get_by_role("button", name="Send the decision")).to_be_enabled()
    page.get_by_role("button", name="Send the decision").click()


def outcome(page: Page, text: str) -> None:
    """Wait until the page says by itself what came of it."""
    expect(page.locator("[data-summary]")).to_contain_text(text, timeout=JUDGED)


def test_one_of_three_is_chosen_and_the_dag_goes_on_with_that_file(person: Callable[[], Person], run: Run) -> None:
    somebody = person()
    page = somebody.page
    page.goto(f"{run.airflow.url}/pika/clips?dag_id={DAG}")
    page.locator(f"a[href^='review?'][href*='task_id=one'][href*='{quote_plus(run.run_id)}']").click()
    expect(page.locator("video")).to_have_count(3)
    played = somebody.play()
    assert played["to"] > played["from"]
    choose(page, 1)
    page.get_by_label("Note on clip 2").fill("the light")
    send(page)
    outcome(page, "Decided: 1 of 3 clips kept.")
    expect(page.get_by_text("the light")).to_be_visible()
    chosen = run.clips("one")[1]
    run.until("publish", "success")
    [published] = run.xcom("publish")
    assert published == chosen["path"]
    assert hashlib.sha256(Path(published).read_bytes()).hexdigest() == chosen["sha256"]
    at = {"dag_id": DAG, "run_id": run.run_id, "task_id": "save"}
    for place, word in enumerate(("rejected", "kept", "rejected")):
        page.goto(f"{run.airflow.url}/pika/clip?{urlencode({**at, 'map_index': place})}")
        expect(page.locator("main a[href^='review?'][href*='task_id=one']")).to_have_text(word)
    assert somebody.trouble == []


@pytest.mark.before_release
def test_all_are_rejected(person: Callable[[], Person], run: Run) -> None:
    page = person().page
    page.goto(run.url("none"))
    page.get_by_text("Reject all", exact=True).click()
    page.get_by_role("button", name="Yes, reject all 3").click()
    outcome(page, "Decided: all 3 clips are rejected.")
    run.until("none", "success")
    assert run.xcom("none") == []


def test_of_two_browsers_at_once_one_answer_counts_and_both_say_which(person: Callable[[], Person], run: Run) -> None:
    pages = [person().page, person().page]
    for place, page in enumerate(pages):
        page.goto(run.url("two"))
        choose(page, place)
        expect(page.get_by_role("button", name="Send the decision")).to_be_enabled()
    for page in pages:
        page.get_by_role("button", name="Send the decision").click(no_wait_after=True)
    for page in pages:
        outcome(page, "Decided: 1 of 3 clips kept.")
    [kept] = run.xcom("two")
    decided = [clip["decision"] for clip in run.xcom("two", "review")["clips"]]
    assert run.clips("two")[decided.index("keep")]["sha256"] == kept["sha256"]
    for page in pages:
        badges = page.locator(".take .state").all_inner_texts()
        assert [text == "kept" for text in badges] == [word == "keep" for word in decided]


@pytest.mark.before_release
def test_a_decision_is_made_with_the_keyboard_alone_on_a_narrow_screen(person: Callable[[], Person], run: Run) -> None:
    somebody = person()
    page = somebody.page
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(run.url("keys"))
    expect(page.get_by_role("button", name="Send the decision")).to_be_enabled()
    assert somebody.overflow() <= 0

    def tab_to(role: Any, name: str) -> None:
        wanted = page.get_by_role(role, name=name)
        for _ in range(80):
            page.keyboard.press("Tab")
            if wanted.evaluate("each => each === document.activeElement"):
                return
        raise AssertionError(f"Tab does not lead to {name}")

    tab_to("radio", "Keep this one: clip 1")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    tab_to("button", "Send the decision")
    page.keyboard.press("Enter")
    outcome(page, "Decided: 1 of 3 clips kept.")
    assert [clip["sha256"] for clip in run.xcom("keys")] == [run.clips("keys")[2]["sha256"]]


@pytest.mark.before_release
def test_what_nobody_decides_ends_at_its_time_and_the_page_says_so(person: Callable[[], Person], run: Run) -> None:
    page = person().page
    page.goto(run.url("late"))
    outcome(page, "Nobody has decided in time: none kept.")
    run.until("late", "skipped")


@pytest.mark.before_release
def test_a_clip_that_is_made_anew_under_an_open_page_is_shown_before_it_is_kept(
    person: Callable[[], Person], run: Run
) -> None:
    page = person().page
    page.goto(run.url("anew"))
    choose(page, 2)
    before = run.clips("anew")
    run.airflow.clear(DAG, run.run_id, ["take", 2], ["save", 2])  # type: ignore[arg-type]
    expect(page.get_by_text("This has changed.")).to_be_visible(timeout=JUDGED)
    run.until("take", "success", 2)
    run.until("save", "success", 2)
    page.get_by_role("button", name="Load again").click()
    expect(page.get_by_text("This clip has been replaced since it was asked about.")).to_be_visible()
    show = page.get_by_role("button", name="Show the new clips")
    expect(show).to_be_enabled()
    show.click()
    expect(page.get_by_role("alert")).to_contain_text("does not count", timeout=JUDGED)
    expect(page.locator("video")).to_have_count(3)
    choose(page, 2)
    send(page)
    outcome(page, "Decided: 1 of 3 clips kept.")
    run.until("anew", "success")
    [kept] = run.xcom("anew")
    digest = hashlib.sha256(Path(kept["path"]).read_bytes()).hexdigest()
    assert digest == kept["sha256"] == run.clips("anew")[2]["sha256"] != before[2]["sha256"]
