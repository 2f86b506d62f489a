"""The pages of clips in a real browser, on a real Airflow: a person finds a clip, plays it, or is told why not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import CHROMIUM, Person, chromium, people
from tests.support.running_airflow import RunningAirflow
from tests.support.s3 import RunningS3
from tests.support.versions import KEEPS_TASK_STATE
from tests.support.waiting import until
from tests.system.stage import SHOWN, Stage

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

#: What runs if it is not escaped.
HOSTILE = "<script>document.title = 'owned'</script><img src=x onerror=\"alert('owned')\"> \"quoted\" & 'so'"

#: Milliseconds that a page may take, on a busy machine; and a clip, from its trigger to its place in the list.
SOON, MADE = 20_000, 180_000


@dataclass(frozen=True)
class Clips:
    """Clips that have been saved, by what is special about them: their Dag, run and map index."""

    base: str
    places: dict[str, tuple[str, str, int]]

    def url(self, name: str, page: str = "clip") -> str:
        """Return the address of a clip's page, or of its bytes."""
        dag_id, run_id, map_index = self.places[name]
        at = {"dag_id": dag_id, "run_id": run_id, "task_id": "save", "map_index": map_index}
        return f"{self.base}/pika/{page}?{urlencode(at)}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def person(browser: Browser, airflow: RunningAirflow) -> Iterator[Person]:
    with people(browser, SOON) as come:
        yield come(airflow.url, airflow.token)


@pytest.fixture(scope="module")
def clips(airflow: RunningAirflow, stage: Stage, s3: RunningS3, tmp_path_factory: pytest.TempPathFactory) -> Clips:
    s3.client.create_bucket(Bucket=SHOWN)
    paths = {
        "hostile": f"{stage.clips}/hostile.mp4",
        "outside": f"{tmp_path_factory.mktemp('outside')}/outside.mp4",
        "replaced": f"{stage.clips}/replaced.mp4",
        "deleted": f"{stage.clips}/deleted.mp4",
        "bucket": f"s3://clips_store@{SHOWN}/bucket.mp4",
    }
    plain = airflow.start_run("shown", prompt="a plain fox", path=f"{stage.clips}/plain.mp4")
    mapped = airflow.start_run("shown_mapped", prompt=HOSTILE, paths=list(paths.values()))
    for dag_id, run_id in (("shown", plain), ("shown_mapped", mapped)):
        assert airflow.end_of_run(dag_id, run_id) == "success"
    Path(paths["replaced"]).write_bytes(b"\0" * Path(paths["replaced"]).stat().st_size)
    Path(paths["deleted"]).unlink()
    places = {name: ("shown_mapped", mapped, number) for number, name in enumerate(paths)}
    return Clips(airflow.url, {"plain": ("shown", plain, -1), **places})


def test_a_clip_goes_from_waiting_to_playing_before_a_persons_eyes(
    person: Person, airflow: RunningAirflow, stage: Stage
) -> None:
    run_id = airflow.start_run("shown", prompt="a watched fox", path=f"{stage.clips}/watched.mp4")
    airflow.until_state("shown", run_id, "video", "running", "deferred")
    person.page.goto(f"{airflow.url}/plugin/pika-clips")
    frame = person.page.frame_locator("iframe")
    expect(frame.get_by_text("Running and waiting")).to_be_visible()
    poster = frame.locator(f"main img[src*='{quote(run_id, safe='')}']")
    expect(poster).to_be_visible(timeout=MADE)  # nobody has loaded the page again
    frame.locator("main").get_by_role("link", name="a watched fox").first.click()
    expect(frame.locator("video")).to_be_visible(timeout=SOON)
    played = person.play()
    assert played["to"] > played["from"]
    assert (played["width"], round(played["duration"])) == (854, 5)
    assert person.play(3.5)["from"] >= 3.5
    assert {status for _, status in person.ranges} == {206}


@pytest.mark.before_release
def test_a_clip_in_a_bucket_plays_through_airflow(person: Person, clips: Clips) -> None:
    person.page.goto(clips.url("bucket"))
    played = person.play(2.0)
    assert played["to"] > played["from"] >= 2.0
    assert {status for _, status in person.ranges} == {206}
    assert (person.trouble, person.refused) == ([], [])


@pytest.mark.before_release
def test_a_prompt_of_a_stranger_is_shown_and_not_run(person: Person, clips: Clips) -> None:
    for url in (clips.url("hostile"), f"{clips.base}/pika/clips?dag_id=shown_mapped"):
        person.page.goto(url)
        expect(person.page.get_by_text(HOSTILE).first).to_be_visible()
        assert "owned" not in person.page.title().partition("Clip: ")[0]
    assert person.trouble == []


@pytest.mark.before_release
@pytest.mark.parametrize("name", ["outside", "replaced", "deleted"])
def test_what_is_not_the_recorded_file_below_a_root_is_not_sent_and_the_page_says_why(
    person: Person, clips: Clips, name: str
) -> None:
    answer = person.page.request.get(clips.url(name, "video"))
    assert 400 <= answer.status < 500
    assert b"ftyp" not in answer.body()
    person.page.goto(clips.url(name))
    notice = person.page.locator(".notice").first
    expect(notice).to_be_visible()
    assert "Traceback" not in person.page.content()


def test_the_pages_follow_airflows_dark_mode_while_they_are_open(person: Person, clips: Clips) -> None:
    person.page.goto(f"{clips.base}/plugin/pika-clips")
    expect(person.page.frame_locator("iframe").get_by_role("heading", name="Clips", exact=True)).to_be_visible()

    def background() -> str:
        return str(person.frame.evaluate("getComputedStyle(document.body).backgroundColor"))

    seen: list[str] = []
    for mode in ("light", "dark", "light"):
        person.page.evaluate("mode => { document.documentElement.className = mode }", mode)
        until(lambda: not seen or background() != seen[-1], f"the page to be {mode}", 5, 0.1)
        seen.append(background())
    assert seen[0] == seen[2] != seen[1]


@pytest.mark.before_release
@pytest.mark.parametrize("page", ["clips", "clip"])
def test_a_narrow_screen_needs_no_scrolling_to_the_side(person: Person, clips: Clips, page: str) -> None:
    person.page.set_viewport_size({"width": 390, "height": 800})
    for name in ("plain", "hostile"):
        person.page.goto(clips.url(name) if page == "clip" else f"{clips.base}/pika/clips")
        assert person.overflow() <= 0


@pytest.mark.before_release
def test_a_clip_is_found_and_opened_with_the_keyboard_alone(person: Person, clips: Clips) -> None:
    person.page.goto(f"{clips.base}/pika/clips?dag_id=shown")
    person.page.keyboard.press("/")
    person.page.keyboard.type("a plain fox")
    person.page.keyboard.press("Enter")
    person.page.wait_for_url("**prompt=a+plain+fox**")
    link = person.page.locator("main").get_by_role("link", name="a plain fox").first
    for _ in range(30):
        person.page.keyboard.press("Tab")
        if link.evaluate("link => link === document.activeElement"):
            break
    person.page.keyboard.press("Enter")
    expect(person.page.locator("video")).to_be_visible()


@pytest.mark.skipif(not KEEPS_TASK_STATE, reason="Airflow 3.1 keeps no task state, so it has no batch")
def test_a_batch_shows_its_clips_and_plays_one(person: Person, airflow: RunningAirflow, stage: Stage) -> None:
    run_id = airflow.start_run("example_pika_batch", number=6, folder=str(stage.clips / "batch"))
    assert airflow.end_of_run("example_pika_batch", run_id) == "success"
    at = {"dag_id": "example_pika_batch", "run_id": run_id, "task_id": "save", "map_index": -1}
    person.page.goto(f"{airflow.url}/pika/batch?{urlencode(at)}")
    links = person.page.locator("main a[href^='clip?']")
    expect(links.first).to_be_visible()
    assert len({link.get_attribute("href") for link in links.all()}) == 6
    links.first.click()
    played = person.play()
    assert played["to"] > played["from"]


def test_the_links_of_a_task_lead_to_its_clip(person: Person, airflow: RunningAirflow, clips: Clips) -> None:
    path = f"/api/v2/dags/shown/dagRuns/{clips.places['plain'][1]}/taskInstances/save/links"
    links = airflow.call("GET", path)["extra_links"]
    person.page.goto(f"{clips.base}/{links['Clip'].lstrip('/')}")
    expect(person.page.locator("video")).to_be_visible()
